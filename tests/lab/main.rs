//! Tests against the lab's real hosts. They need it to be up, and say so when it is not:
//! `mk run playbooks/lab/up.rhai -i inventories/lab`. They run one after another, and each says what else it needs.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod away;
mod canary;
#[path = "../suite/canary_rows.rs"]
#[allow(dead_code, reason = "the suite looks at more of it")]
mod canary_rows;
mod choices;
mod clean;
mod cluster_faults;
mod drills;
mod faults;
mod foretold;
#[path = "../suite/forms.rs"]
#[allow(dead_code, reason = "the suite looks for more of them")]
mod forms;
mod kubernetes;
mod labs;
mod needs;
mod operations;
mod support;
mod thirteen;
