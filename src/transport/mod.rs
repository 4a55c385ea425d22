//! One connection a host, over SSH or to this machine. It carries bytes and knows no operation.
//!
//! A [`Dialer`] holds what the hosts of a run have in common: the options, what `ssh -G` said, unlocked
//! keys, and the connections to jump hosts. It makes one [`Connection`] a host, and a connection makes
//! any number of [`Process`]es, each with its own stdin, stdout and stderr.
//!
//! - `dialer`: tries the ways into a host in turn and names what failed
//! - `settings`, `config`: what the user's SSH configuration says, as `ssh -G` resolves it
//! - `route`: way, command line and configuration together: where to connect, through what
//! - `stream`: the bytes below SSH: TCP, a proxy command; `tunnel`: a channel through a jump host
//! - `session`: the handshake, channels, keepalive; `channel`: one command on a channel
//! - `trust`, `known_hosts`, `remember`: whether a host key is the right one
//! - `auth`, `credentials`, `keys`, `private_key`: logging in
//! - `files`: how many connections there can be at once
//! - `local`: processes on this machine; the only place in mk that starts a shell
//!
//! What it deliberately does not know: frames, operations, and how anything is shown. It never prints.
//! Questions (a passphrase, a password) go through [`Prompt`]; remarks are left in [`Dialer::notices`].

mod auth;
mod channel;
mod config;
mod connection;
mod credentials;
mod dialer;
mod files;
mod jumps;
mod keys;
mod known_hosts;
mod local;
mod options;
mod private_key;
mod process;
mod remember;
mod route;
mod scan;
mod session;
mod settings;
mod stream;
mod trust;
mod tunnel;

#[cfg(test)]
mod tests;

pub(crate) use connection::Connection;
pub(crate) use dialer::Dialer;
pub(crate) use known_hosts::Verdict;
pub(crate) use options::{HostKeyPolicy, Options, Prompt, Question};
pub(crate) use scan::ScannedKey;
