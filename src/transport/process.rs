//! A running command, wherever it runs.

use std::fmt;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, oneshot};

use crate::error::{Error, Kind, Result};

/// What a command writes.
pub(crate) type Reader = Box<dyn AsyncRead + Send + Unpin>;

/// What a command reads.
pub(crate) type Writer = Box<dyn AsyncWrite + Send + Unpin>;

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Exit {
    /// By itself, with this status.
    Code(u32),
    /// By a signal, named without `SIG`.
    Signal(String),
}

impl Exit {
    /// Whether it ended with status zero.
    #[cfg_attr(not(test), expect(dead_code, reason = "its tests run commands on a bare connection"))]
    pub(crate) fn success(&self) -> bool {
        *self == Self::Code(0)
    }

    /// The status a shell would report: 128 and more for a signal.
    #[cfg_attr(not(test), expect(dead_code, reason = "its tests run commands on a bare connection"))]
    pub(crate) fn code(&self) -> u32 {
        match self {
            Self::Code(code) => *code,
            Self::Signal(name) => 128 + signal_number(name),
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit status {code}"),
            Self::Signal(name) => write!(f, "killed by SIG{name}"),
        }
    }
}

/// The signals SSH has names for, with their numbers on Linux.
const SIGNALS: [(&str, u32); 12] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("ABRT", 6),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
];

fn signal_number(name: &str) -> u32 {
    SIGNALS.iter().find(|(known, _)| *known == name).map_or(0, |(_, number)| *number)
}

/// The name of a signal by its number, without `SIG`.
pub(super) fn signal_name(number: i32) -> String {
    SIGNALS
        .iter()
        .find(|(_, known)| i64::from(*known) == i64::from(number))
        .map_or_else(|| number.to_string(), |(name, _)| (*name).to_owned())
}

/// A running command. Its parts are independent: move them to where they are used.
///
/// Shut down or drop `stdin` for the command to see its end; read `stdout` and `stderr` to their ends, or
/// drop them, and what is still to come is discarded.
///
/// Over SSH each stream is buffered (8 MiB). A stream whose buffer is full holds up the whole connection,
/// since SSH's flow control is not ours to steer; but only while its reader takes something at least every
/// ten seconds. A reader that stands still longer loses the stream: it ends early, and [`End::wait`]
/// reports that. So one forgotten stream can delay, never block.
pub(crate) struct Process {
    /// What the command reads.
    pub stdin: Writer,
    /// What it writes.
    pub stdout: Reader,
    /// What it complains.
    pub stderr: Reader,
    /// How it ends.
    pub end: End,
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process").finish_non_exhaustive()
    }
}

/// The end of a command, to wait for or to bring about. Dropping it leaves the command alone.
#[derive(Debug)]
pub(crate) struct End {
    outcome: oneshot::Receiver<Result<Exit>>,
    known: Option<Result<Exit>>,
    stop: Arc<Notify>,
}

impl End {
    /// An end that is told by `outcome` and asked for by `stop`.
    pub(super) fn new(outcome: oneshot::Receiver<Result<Exit>>, stop: Arc<Notify>) -> Self {
        Self { outcome, known: None, stop }
    }

    /// Waits for the command to end. Read its output meanwhile: one that cannot write does not end.
    ///
    /// A lost connection is an error of [`Kind::Unreachable`]. Waiting again gives the same answer.
    pub(crate) async fn wait(&mut self) -> Result<Exit> {
        if let Some(known) = &self.known {
            return known.clone();
        }
        let gone = |_| Err(Error::new(Kind::Internal, "nobody is left who could tell how a command ended"));
        let outcome = (&mut self.outcome).await.unwrap_or_else(gone);
        self.known.insert(outcome).clone()
    }

    /// Ends the command: locally its process group is killed; over SSH its channel is closed after asking
    /// the host to kill it, which hosts do not do for root. [`End::wait`] afterwards does not block for long.
    pub(crate) fn kill(&self) {
        self.stop.notify_one();
    }
}

/// A command that ended, and what it wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ran {
    /// How it ended.
    pub exit: Exit,
    /// What it wrote, up to the limit.
    pub stdout: Vec<u8>,
    /// What it complained, up to the limit.
    pub stderr: Vec<u8>,
    /// Whether it wrote more than the limit to either; the rest was discarded.
    pub truncated: bool,
}
