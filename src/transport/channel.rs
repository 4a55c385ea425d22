//! One command on one channel of an SSH session.
//!
//! A channel that is not read holds up every other one of its connection, so each is drained in a task of
//! its own, into buffers of its own.

use std::sync::{Arc, Weak};
use std::time::Duration;

use russh::client::Msg;
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Sig};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::{Notify, oneshot};

use super::process::{End, Exit, Process};
use super::session::{Session, Watcher};
use crate::error::{Error, Kind, Result};

/// What is kept of a stream that is not read yet.
const BUFFER: usize = 8 << 20;

/// What is written ahead of the host's window.
const AHEAD: usize = 256 << 10;

/// How long a reader may stand still once its buffer is full.
const STANDSTILL: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 10 });

/// How long a host may take to end a channel it was asked to end.
const GOODBYE: Duration = Duration::from_secs(2);

type Write = ChannelWriteHalf<Msg>;

/// Starts `command` on the host. That the host refuses it is learned from the process's end.
pub(super) async fn spawn(session: &Session, command: &str) -> Result<Process> {
    let (read, write) = session.open().await?.split();
    let watcher = session.watcher();
    write.exec(true, command).await.map_err(|_| watcher.error())?;
    let write = Arc::new(write);
    let (stdin, from) = duplex(AHEAD);
    let (to_stdout, stdout) = duplex(BUFFER);
    let (to_stderr, stderr) = duplex(BUFFER);
    let (told, outcome) = oneshot::channel();
    let stop = Arc::new(Notify::new());
    // Only the feeder holds the sending half: once stdin is closed, a session nobody else uses may end.
    let weak = Arc::downgrade(&write);
    let feeder = tokio::spawn(feed(from, write));
    let drain = Drain {
        read,
        write: weak,
        stdout: Some(to_stdout),
        stderr: Some(to_stderr),
        stop: Arc::clone(&stop),
        watcher,
        cut: None,
    };
    tokio::spawn(async move {
        let outcome = drain.run().await;
        // Nobody reads on the other side any more; what is still written finds a closed pipe.
        feeder.abort();
        let _ = told.send(outcome);
    });
    Ok(Process {
        stdin: Box::new(stdin),
        stdout: Box::new(stdout),
        stderr: Box::new(stderr),
        end: End::new(outcome, stop),
    })
}

/// Carries stdin to the host. Writing straight into the channel would wait for ever when the connection
/// is lost while the host's window is exhausted.
async fn feed(mut from: DuplexStream, write: Arc<Write>) {
    loop {
        let mut chunk = Vec::with_capacity(64 << 10);
        let Ok(1..) = from.read_buf(&mut chunk).await else {
            let _ = write.eof().await;
            return;
        };
        if write.data_bytes(chunk).await.is_err() {
            return;
        }
    }
}

struct Drain {
    read: ChannelReadHalf,
    write: Weak<Write>,
    /// Gone when its reader is, or when it stood still.
    stdout: Option<DuplexStream>,
    stderr: Option<DuplexStream>,
    stop: Arc<Notify>,
    watcher: Watcher,
    /// The stream that lost data.
    cut: Option<&'static str>,
}

impl Drain {
    async fn run(mut self) -> Result<Exit> {
        let (mut exit, mut refused, mut closed, mut stopped) = (None, false, false, false);
        loop {
            let message = if stopped {
                match tokio::time::timeout(GOODBYE, self.read.wait()).await {
                    Ok(message) => message,
                    Err(_) => return Ok(exit.unwrap_or_else(|| Exit::Signal("KILL".to_owned()))),
                }
            } else {
                tokio::select! {
                    message = self.read.wait() => message,
                    () = self.stop.notified() => {
                        stopped = true;
                        self.end().await;
                        continue;
                    }
                }
            };
            match message {
                Some(ChannelMsg::Data { data }) => {
                    Self::pass(&mut self.stdout, &data, "stdout", &mut self.cut).await;
                }
                Some(ChannelMsg::ExtendedData { data, ext: 1 }) => {
                    Self::pass(&mut self.stderr, &data, "stderr", &mut self.cut).await;
                }
                Some(ChannelMsg::Eof) => (self.stdout, self.stderr) = (None, None),
                Some(ChannelMsg::ExitStatus { exit_status }) => exit = Some(Exit::Code(exit_status)),
                Some(ChannelMsg::ExitSignal { signal_name, .. }) => {
                    exit = Some(Exit::Signal(signal(&signal_name)));
                }
                Some(ChannelMsg::Failure) => {
                    refused = true;
                    self.end().await;
                }
                Some(ChannelMsg::Close) => closed = true,
                Some(_) => {}
                None => break,
            }
        }
        let host = self.watcher.host();
        match (exit, self.cut) {
            (_, Some(stream)) => Err(Error::internal(format!(
                "the {stream} of a command on `{host}` was cut: nobody read it for {} s",
                STANDSTILL.as_secs()
            ))),
            (Some(exit), None) => Ok(exit),
            (None, None) if refused => Err(Error::new(Kind::Unreachable, format!("`{host}` runs no commands"))
                .because("it refused the request")
                .hint("`ForceCommand` or a shell like `nologin` can be why")),
            (None, None) if stopped => Ok(Exit::Signal("KILL".to_owned())),
            (None, None) if closed => {
                let message = format!("`{host}` ended a command without saying how");
                Err(Error::new(Kind::Unreachable, message))
            }
            (None, None) => Err(self.watcher.error()),
        }
    }

    /// Hands data to its reader. While a full buffer waits for the reader the connection stands still, so
    /// that wait has a bound.
    async fn pass(
        stream: &mut Option<DuplexStream>,
        mut data: &[u8],
        name: &'static str,
        cut: &mut Option<&'static str>,
    ) {
        while let Some(to) = stream.as_mut().filter(|_| !data.is_empty()) {
            match tokio::time::timeout(STANDSTILL, to.write(data)).await {
                Ok(Ok(written @ 1..)) => data = &data[written..],
                // The reader was dropped: it wants no more.
                Ok(_) => *stream = None,
                Err(_) => {
                    *stream = None;
                    *cut = Some(name);
                }
            }
        }
    }

    async fn end(&self) {
        if let Some(write) = self.write.upgrade() {
            let _ = tokio::time::timeout(GOODBYE, async {
                let _ = write.signal(Sig::KILL).await;
                let _ = write.close().await;
            })
            .await;
        }
    }
}

/// A signal's name, without `SIG`.
fn signal(signal: &Sig) -> String {
    match signal {
        Sig::Custom(name) => name.chars().filter(char::is_ascii_alphanumeric).take(16).collect(),
        known => format!("{known:?}"),
    }
}
