//! A connection to a host, whatever it is made of.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;

use super::process::{Process, Ran, Reader};
use super::session::Session;
use super::{channel, local};
use crate::error::{Context, Error, Kind, Result};

/// How many [`Connection::run`]s share a connection at a time. Hosts allow ten commands by default, and
/// free the slot of one only some time after it ended.
const AT_ONCE: usize = 4;

/// A connection to a host: an SSH session, or nothing but this machine. Cheap to clone; the session ends
/// with its last clone, when nothing runs on it any more, or with [`Connection::close`].
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    host: String,
    inner: Inner,
    turns: Arc<Semaphore>,
}

#[derive(Debug, Clone)]
enum Inner {
    Local,
    Ssh(Arc<Session>),
}

impl Connection {
    /// This machine, under the name `host` has in the inventory.
    pub(crate) fn local(host: &str) -> Self {
        Self::new(host, Inner::Local)
    }

    pub(super) fn ssh(host: &str, session: Arc<Session>) -> Self {
        Self::new(host, Inner::Ssh(session))
    }

    fn new(host: &str, inner: Inner) -> Self {
        Self { host: host.to_owned(), inner, turns: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// Whether the host is this machine, without SSH.
    #[cfg_attr(not(test), expect(dead_code, reason = "its tests run commands on a bare connection"))]
    pub(crate) fn is_local(&self) -> bool {
        matches!(self.inner, Inner::Local)
    }

    /// Where it leads: `root@10.0.0.2:22 via jumpbox`, or `this machine`.
    pub(crate) fn describe(&self) -> &str {
        match &self.inner {
            Inner::Local => "this machine",
            Inner::Ssh(session) => session.describe(),
        }
    }

    /// Whether the connection is known to be lost or closed.
    #[cfg_attr(not(test), expect(dead_code, reason = "its tests run commands on a bare connection"))]
    pub(crate) fn is_closed(&self) -> bool {
        match &self.inner {
            Inner::Local => false,
            Inner::Ssh(session) => session.is_closed(),
        }
    }

    /// Starts `command`: the login user's shell reads it on a remote host, `/bin/sh` on this machine. So
    /// it is for what mk itself starts; the words of a user go to the agent, which needs no shell.
    ///
    /// Over SSH a command does not die with its connection. One that must not survive ends when its stdin
    /// does.
    pub(crate) async fn spawn(&self, command: &str) -> Result<Process> {
        let process = match &self.inner {
            Inner::Local => local::spawn(command),
            Inner::Ssh(session) => channel::spawn(session, command).await,
        };
        process.map_err(|e| e.on(&self.host))
    }

    /// Runs `command` with `stdin`, keeping up to `limit` bytes of each of its outputs. After `timeout`
    /// it is ended, as far as that can be done from here, and the fault is of [`Kind::Step`].
    #[cfg_attr(not(test), expect(dead_code, reason = "its tests run commands on a bare connection"))]
    pub(crate) async fn run(&self, command: &str, stdin: &[u8], limit: usize, timeout: Duration) -> Result<Ran> {
        let ran = async {
            let _turn = self.turns.acquire().await.or_kind(Kind::Internal, || "no more commands are run".into())?;
            let Process { stdin: mut input, stdout, stderr, mut end } = self.spawn(command).await?;
            let conversation = async {
                let feed = async move {
                    // A command need not read what it is given.
                    let _ = input.write_all(stdin).await;
                    let _ = input.shutdown().await;
                };
                let ((), (out, more_out), (err, more_err), exit) =
                    tokio::join!(feed, collect(stdout, limit), collect(stderr, limit), end.wait());
                exit.map(|exit| Ran { exit, stdout: out, stderr: err, truncated: more_out || more_err })
            };
            if let Ok(ran) = tokio::time::timeout(timeout, conversation).await {
                return ran;
            }
            end.kill();
            Err(Error::step(format!("the command did not end within {} s", timeout.as_secs_f32())))
        };
        ran.await.map_err(|e| e.on(&self.host))
    }

    /// Ends the connection. Streams of commands still running on it end too, and their ends are faults.
    pub(crate) async fn close(&self) {
        if let Inner::Ssh(session) = &self.inner {
            session.close().await;
        }
    }
}

/// The first `limit` bytes, reading on to the end; whether there were more.
async fn collect(mut from: Reader, limit: usize) -> (Vec<u8>, bool) {
    let mut kept = Vec::new();
    let mut more = false;
    let mut chunk = vec![0; 64 << 10];
    while let Ok(n @ 1..) = from.read(&mut chunk).await {
        let room = limit.saturating_sub(kept.len());
        kept.extend_from_slice(&chunk[..n.min(room)]);
        more |= n > room;
    }
    (kept, more)
}
