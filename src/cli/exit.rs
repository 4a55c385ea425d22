//! Exit codes, one a class: 0 converged, 1 a step failed, 2 usage, playbook or inventory, 3 a check found
//! changes (with `--exit-code`), 4 a host could not be reached, 130 interrupted.

use crate::error::{Error, Kind};

/// The exit code of a class of fault.
pub(crate) fn code(kind: Kind) -> u8 {
    match kind {
        Kind::Usage | Kind::Playbook | Kind::Inventory => 2,
        Kind::Step | Kind::Assertion | Kind::Locked | Kind::Unknown | Kind::Internal => 1,
        Kind::Unreachable | Kind::HostKey | Kind::Auth | Kind::Protocol => 4,
        Kind::Interrupted => 130,
    }
}

/// The code of a run in which several things happened: 130, then 2, 1, 4, 3.
pub(super) fn of_run<'a>(faults: impl Iterator<Item = &'a Error>, changes: bool) -> u8 {
    let codes: Vec<u8> = faults.map(|error| code(error.kind())).collect();
    let first = [130, 2, 1, 4].into_iter().find(|code| codes.contains(code));
    first.unwrap_or(if changes { 3 } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_faults_the_gravest_gives_the_code() {
        let errors = [Error::new(Kind::Unreachable, "x"), Error::step("x")];
        assert_eq!(of_run(errors.iter(), true), 1);
        assert_eq!(of_run(errors[..1].iter(), true), 4);
        assert_eq!((of_run([].iter(), true), of_run([].iter(), false)), (3, 0));
    }
}
