//! Tests against the lab's real hosts. They need it to be up: `mk run playbooks/lab/up.rhai -i inventories/lab`.
