//! What an operation may see of a host, and what it may do to it.
//!
//! [`Probe`] can only read; in check mode it sees the host as the steps before this one would have left it.
//! [`Hands`] can change things; only the loop in `op` makes one, and only when applying.

mod accounts;
mod assumptions;
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
mod memory;
mod mounts;
mod peer;
mod plan;
mod plan_shared;
mod planned_accounts;
mod probe;
mod rehearsal;
mod tree;
mod units;
mod write;

pub(crate) use accounts::{User, group_of, home_of, is_private_group, user_name};
pub(crate) use command::{Command, OUTPUT_LIMIT, Ran, shell};
pub(crate) use creations::Creations;
pub(crate) use digests::{Digests, file_version};
pub(crate) use edit::{Edited, Editing, Lines};
pub(crate) use files::{Attrs, FileSpec, FileState, room_for};
pub(crate) use glob::Glob;
pub(crate) use guarded_command::GuardedCommand;
pub(crate) use hands::Hands;
pub(crate) use jobs::Jobs;
pub(crate) use key::{new_private_key, public_half};
pub(crate) use memory::keep_memory_private;
pub(crate) use mounts::unescaped;
pub(crate) use peer::{NoPeer, Peer};
pub(crate) use plan::{Effect, Kind, Plan, Planned};
pub(crate) use probe::{Look, Probe, directories};
pub(crate) use tree::{Paths, Tree};
pub(crate) use units::unit_files;
pub(crate) use write::Placement;
