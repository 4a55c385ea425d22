//! Processes on this machine.
//!
//! Architecture invariant: [`shell`] is the only function in mk that starts a shell.

use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;

use tokio::process::{Child, Command};
use tokio::sync::{Notify, oneshot};

use super::files::with_limit_as_given;
use super::process::{End, Exit, Process, signal_name};
use crate::error::{Context, Error, Kind, Result};

/// A shell about to run `command`, in a process group of its own: an interrupt from the terminal reaches
/// mk alone, which then decides what becomes of the command.
pub(super) fn shell(command: &str) -> Command {
    let mut shell = Command::new("/bin/sh");
    let command = with_limit_as_given(command);
    shell.arg("-c").arg(command).process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for name in crate::secret::hidden_variables() {
        shell.env_remove(name);
    }
    shell
}

/// Runs `command` on this machine. Its streams are pipes: one that is not read holds up nothing but the
/// command.
pub(super) fn spawn(command: &str) -> Result<Process> {
    let mut child = shell(command).spawn().or_kind(Kind::Unreachable, || "cannot start `/bin/sh`".into())?;
    let (Some(stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(Error::internal("a process was started without its pipes"));
    };
    let stop = Arc::new(Notify::new());
    let (told, outcome) = oneshot::channel();
    tokio::spawn(watch(child, Arc::clone(&stop), told));
    Ok(Process {
        stdin: Box::new(stdin),
        stdout: Box::new(stdout),
        stderr: Box::new(stderr),
        end: End::new(outcome, stop),
    })
}

/// Reaps the child, killing its group first when asked to. The child is not reaped before it is killed,
/// so the group cannot be another's.
async fn watch(mut child: Child, stop: Arc<Notify>, told: oneshot::Sender<Result<Exit>>) {
    let status = tokio::select! {
        status = child.wait() => status,
        () = stop.notified() => {
            kill_group(&child);
            child.wait().await
        }
    };
    let _ = told.send(status.map(exit).or_kind(Kind::Step, || "cannot learn how the command ended".into()));
}

/// Kills the group a child of [`shell`] leads. Nothing happens when it has been reaped.
pub(super) fn kill_group(child: &Child) {
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
    }
}

fn exit(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(u32::from_ne_bytes(code.to_ne_bytes())),
        (None, Some(signal)) => Exit::Signal(signal_name(signal)),
        (None, None) => Exit::Code(255),
    }
}
