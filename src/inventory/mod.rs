//! Hosts, groups and how to reach them.

mod way;
pub use way::{SshWay, Way};
