//! The bytes below SSH: TCP, or the stdin and stdout of a proxy command. (The third kind, a channel
//! through a jump host, is in `tunnel`.)

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::sync::watch;
use tokio::time::Sleep;

use super::config::percent;
use super::local;
use super::route::Route;
use crate::error::{Error, Kind, Result};

/// Anything SSH can be spoken over.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A stream, and the last words of the command behind it, if there is one.
pub(super) struct Stream {
    pub bytes: Box<dyn Duplex>,
    pub complaints: Complaints,
}

/// What a proxy command wrote to its stderr, up to a bound.
#[derive(Debug, Clone, Default)]
pub(super) struct Complaints {
    said: Arc<Mutex<Vec<u8>>>,
    /// Its other end is dropped when there is no more to come.
    more: Option<watch::Receiver<()>>,
}

impl Complaints {
    const MOST: usize = 4096;

    /// Collects from `stderr` in the background.
    fn of(stderr: impl AsyncRead + Send + Unpin + 'static) -> Self {
        let (done, more) = watch::channel(());
        let said = Arc::default();
        tokio::spawn(Self::collect(Arc::clone(&said), stderr, done));
        Self { said, more: Some(more) }
    }

    /// `error` with what was complained. A command that just died may still have words in its pipe.
    pub(super) async fn explain(self, error: Error) -> Error {
        if let Some(mut more) = self.more {
            let _ = tokio::time::timeout(Duration::from_millis(500), more.changed()).await;
        }
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let said = String::from_utf8_lossy(&said).trim().to_owned();
        if said.is_empty() { error } else { error.note(said) }
    }

    async fn collect(said: Arc<Mutex<Vec<u8>>>, mut stderr: impl AsyncRead + Unpin, _done: watch::Sender<()>) {
        let mut chunk = [0; 1024];
        while let Ok(n @ 1..) = stderr.read(&mut chunk).await {
            let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
            let room = Self::MOST.saturating_sub(said.len());
            said.extend_from_slice(&chunk[..n.min(room)]);
        }
    }
}

/// Connects to the first address of the host that answers.
pub(super) async fn tcp(host: &str, port: u16, limit: Duration) -> Result<Stream, String> {
    let late = || format!("no answer within {} s", limit.as_secs_f32());
    let addresses = match tokio::time::timeout(limit, tokio::net::lookup_host((host, port))).await {
        Err(_) => return Err(format!("its name was not resolved within {} s", limit.as_secs_f32())),
        Ok(Err(e)) => return Err(format!("its name cannot be resolved: {}", plain(&e))),
        Ok(Ok(addresses)) => addresses.collect::<Vec<_>>(),
    };
    // An address that swallows packets must not use up the time of the others.
    let each = limit / u32::try_from(addresses.len().clamp(1, 4)).unwrap_or(1);
    let mut reason = String::from("its name has no address");
    for address in addresses {
        match tokio::time::timeout(each, TcpStream::connect(address)).await {
            Err(_) => reason = late(),
            Ok(Err(e)) => reason = plain(&e),
            Ok(Ok(stream)) => {
                // Frames are small and wait for their answers.
                let _ = stream.set_nodelay(true);
                return Ok(Stream { bytes: Box::new(stream), complaints: Complaints::default() });
            }
        }
    }
    Err(reason)
}

/// Starts a proxy command for a host.
pub(super) fn command(route: &Route, command: &str) -> Result<Stream> {
    let filled = fill(route, command)?;
    // `exec`, so that killing the command does not leave it behind as the shell's orphan.
    let mut child = local::shell(&format!("exec {filled}"))
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| Error::new(Kind::Unreachable, "cannot start the proxy command").because(e))?;
    let (Some(stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(Error::internal("a proxy command was started without its pipes"));
    };
    let complaints = Complaints::of(stderr);
    Ok(Stream { bytes: Box::new(Proxy { child, stdin: Some(stdin), stdout }), complaints })
}

/// Fills in the tokens SSH knows. A host or user that a shell could read as more than a word is refused:
/// a name must not become a command.
fn fill(route: &Route, command: &str) -> Result<String> {
    let config = &route.config;
    for word in [&config.hostname, &config.user, &route.name] {
        let plain = |c: char| c.is_alphanumeric() || "-_.:@%+/[]".contains(c);
        if word.starts_with('-') || !word.chars().all(plain) {
            let message = format!("`{}` cannot stand in a proxy command", word.escape_debug());
            return Err(Error::new(Kind::Inventory, message));
        }
    }
    Ok(percent(command, |token| match token {
        'h' => Some(config.hostname.clone()),
        'n' => Some(route.name.clone()),
        'p' => Some(config.port.to_string()),
        'r' => Some(config.user.clone()),
        _ => None,
    }))
}

/// An operating system's error without its number.
pub(super) fn plain(e: &io::Error) -> String {
    let text = e.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    text.trim_start_matches("failed to lookup address information: ").to_lowercase()
}

/// A proxy command, killed with everything it started when it is dropped.
struct Proxy {
    child: Child,
    /// Gone once shut down: a pipe has no other way to say so.
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        local::kill_group(&self.child);
    }
}

impl AsyncRead for Proxy {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stdout).poll_read(cx, buf)
    }
}

impl AsyncWrite for Proxy {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.stdin {
            Some(stdin) => Pin::new(stdin).poll_write(cx, buf),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stdin {
            Some(stdin) => Pin::new(stdin).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stdin = None;
        Poll::Ready(Ok(()))
    }
}

/// A stream whose writes fail when the other side takes nothing for too long.
///
/// SSH's keepalive does not notice a peer that vanishes during an upload: the session waits for the write
/// before it looks at its clock.
pub(super) struct Impatient<S> {
    stream: S,
    limit: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<S> Impatient<S> {
    pub(super) fn new(stream: S, limit: Duration) -> Self {
        Self { stream, limit, waiting: None }
    }

    fn judge<T>(&mut self, cx: &mut Context<'_>, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.waiting = None;
            return poll;
        }
        let limit = self.limit;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        match waiting.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("the host took nothing for {} s", limit.as_secs_f32()),
            ))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Impatient<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Impatient<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.judge(cx, poll)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_flush(cx);
        self.judge(cx, poll)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.judge(cx, poll)
    }
}
