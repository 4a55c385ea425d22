//! Hosts, groups, variables and where each value came from. Never connects, never prints.
//!
//! An inventory is a folder with `inventory.yml` in it (`group_vars/NAME.yml` and `host_vars/NAME.yml`
//! beside it), or one such file:
//!
//! ```yaml
//! vars: { cluster: lab }            # for every host
//! defaults:                         # for hosts that do not say otherwise
//!   become: root                    # the user to become through sudo; absent: stay the login user
//!   ways: [{ ssh: { user: admin } }]
//! groups:
//!   controllers: { hosts: ["controller-[1..3]"], vars: { role: controller } }
//!   all-nodes: { children: [controllers] }
//! hosts:
//!   jumpbox: { ways: [{ ssh: { address: 10.0.0.2 } }] }
//!   "controller-[1..3]":            # a range
//!     ways: [{ ssh: { address: "10.7.1.1{n}", jump: [jumpbox] } }]
//!     vars: { node_ip: "10.7.1.1{n}" }
//! ```
//!
//! In an entry whose name is a range, `{n}` (as written, with its zeros) and `{name}` are filled into
//! every text below; with several ranges they are `{1}`, `{2}`…. `{name}` is filled into every way.
//!
//! Of several values for a variable the whole of the highest wins, from low to high: the caller's
//! defaults, `vars`, `group_vars/all.yml`, groups from ancestors to descendants (of one depth by name; a
//! group's file beats its entry), the host's entry, its file, what playbooks learned of it, the command line.
//!
//! Everything is checked on loading, so that no question asked later finds the inventory wrong.

mod decode;
mod extra;
mod groups;
mod hosts;
mod load;
mod model;
mod names;
mod pattern;
mod range;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod vars;
mod way;
mod yaml;

pub(crate) use extra::{LABEL as COMMAND_LINE, parse_extra};
pub(crate) use model::ALL;
pub use model::Inventory;
pub use vars::Extras;
pub(crate) use vars::{LEARNED, Variable};
pub(crate) use way::{SshWay, Way};
