//! The host's lock: one run at a time changes a host.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::Path;

use rustix::fs::{FlockOperation, Mode, OFlags};

use crate::error::{Context, Error, Result};

/// The lock while it is held. The kernel lets go of it when this process ends, however it ends.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

/// Takes the lock for `holder`; when another run has it, that run's holder.
///
/// # Errors
/// When the lock file cannot be made.
pub(super) fn take(run_dir: &Path, holder: &str) -> Result<std::result::Result<Lock, String>> {
    let failed = || format!("cannot take the lock in `{}`", run_dir.display());
    std::fs::create_dir_all(run_dir).or_step(failed)?;
    let flags = OFlags::CREATE | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::open(run_dir.join("lock"), flags, Mode::from_raw_mode(0o600)).or_step(failed)?;
    let mut file = File::from(fd);
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {
            file.set_len(0).or_step(failed)?;
            file.rewind().or_step(failed)?;
            file.write_all(holder.as_bytes()).or_step(failed)?;
            Ok(Ok(Lock { _file: file }))
        }
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut other = String::new();
            let _ = file.take(4096).read_to_string(&mut other);
            Ok(Err(if other.is_empty() { "another run".to_owned() } else { other }))
        }
        Err(e) => Err(Error::step(failed()).because(e)),
    }
}
