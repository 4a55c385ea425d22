//! What an operation may see of a host, and what it may do to it.
//!
//! [`Probe`] can only read; in check mode it sees the host as the steps before this one would have left it.
//! [`Hands`] can change things; only the loop in `op` makes one, and only when applying.

mod accounts;
mod command;
mod creations;
mod digests;
mod edit;
mod files;
mod glob;
mod guarded_command;
mod hands;
mod jobs;
mod key;
mod peer;
mod plan;
mod probe;
mod tree;
mod write;

pub use accounts::{Group, User, home_of, is_private_group, user_name};
pub use command::{Command, OUTPUT_LIMIT, Ran, shell};
pub use creations::Creations;
pub use digests::{Digests, file_version};
pub use edit::{Edited, Editing, Lines};
pub use files::{Attrs, FileSpec, FileState, room_for};
pub use glob::Glob;
pub use guarded_command::GuardedCommand;
pub use hands::Hands;
pub use jobs::Jobs;
pub use key::{new_private_key, public_half};
pub use peer::{NoPeer, Peer};
pub use plan::{Effect, Kind, Plan, Planned};
pub use probe::{Look, Probe, directories};
pub use tree::{Paths, Tree};
pub use write::Placement;
