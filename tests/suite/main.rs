//! Tests that need neither a network nor the lab.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod aarch64;
mod architecture;
mod command_line;
mod commands;
mod faults;
mod lint;
mod playbooks;
mod reference;
mod support;
