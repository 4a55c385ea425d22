//! The loop that runs on a host: frames in, steps run one after another, frames out.
//!
//! It knows no SSH, no script and no network. When its input ends or falls silent it stops what runs and
//! goes; work that must not be cut in half finishes first.

mod become_user;
mod due;
mod link;
mod lock;
mod record;
mod serve;

pub use become_user::become_user;
pub use serve::serve;
