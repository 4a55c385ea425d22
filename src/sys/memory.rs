//! The memory of this process, in which secrets are: mk's own, and that of its agents, which write them on hosts.

/// Keeps it out of core dumps, and from other processes of its user. What it starts is not concerned.
pub(crate) fn keep_memory_private() {
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_is_in_no_core_dump() {
        keep_memory_private();
        assert_eq!(rustix::process::dumpable_behavior().unwrap(), rustix::process::DumpableBehavior::NotDumpable);
    }
}
