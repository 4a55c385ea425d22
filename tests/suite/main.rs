//! Tests that need neither a network nor the lab.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod aarch64;
mod architecture;
mod bad_hosts;
mod bad_input;
mod bench;
mod canary;
mod canary_rows;
mod command_line;
mod commands;
mod faults;
mod forms;
mod frames;
mod hostile;
mod kills;
mod ledger;
mod lint;
mod many;
mod pending;
mod playbooks;
mod predictions;
mod profile;
mod reference;
mod refusals;
mod resume;
mod secrets;
mod sinks;
mod sshd;
mod streams;
mod support;
mod tailnet;
mod terminal;
mod together;
mod told;
mod transfers;
mod trust;
