//! Tests that need neither a network nor the lab.

mod architecture;
mod command_line;
mod playbooks;
mod support;
