//! Tests against the lab's real hosts. They need it to be up, and say so when it is not:
//! `mk run playbooks/lab/up.rhai -i inventories/lab`. They run one after another, in the order of their names.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod a_labs;
mod b_operations;
mod c_faults;
mod d_away;
mod d_choices;
mod d_cluster_faults;
mod d_drills;
mod d_kubernetes;
mod e_clean;
mod e_thirteen;
mod support;
