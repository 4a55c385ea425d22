//! The client of one agent: frames to it, frames from it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::sync::Mutex;

use super::agent_stderr::AgentStderr;
use super::heartbeat::{Canceller, Writer, ping};
use super::pool::Pipe;
use super::traffic::Trip;
use crate::change::{Left, Outcome, Trace};
use crate::control::{Offers, Pieces, Responder, unasked};
use crate::error::{Error, Kind, Result};
use crate::wire::{
    Ask, BUILD, Due, Frame, FromAgent, Hello, Mode, PROTOCOL, Record, Request, ToAgent, decode, encode, encode_piece,
    from_body, to_frame,
};

/// Without a word from an agent for this long, its host is taken for lost.
const SILENCE: Duration = Duration::from_secs(60);

/// The room for what an agent says next, in bytes.
const ROOM: usize = 4096;

/// How long content waits at a time for hosts that are behind with the same, a tenth of the time at most.
const BREATH: Duration = Duration::from_millis(2);

/// How often a lock that another run has is tried again.
const LOCK_POLL: Duration = Duration::from_millis(100);

/// What becomes of the bytes that a host sends.
enum Taking {
    Kept(Box<dyn std::io::Write + Send>),
    Dropped,
}

/// What the caller of a step hears while it runs.
pub(super) trait Listener: Send {
    /// A piece of output.
    fn output(&mut self, id: u64, stderr: bool, bytes: &[u8]);

    /// What the step made and took away; told before its outcome is.
    ///
    /// # Errors
    /// When it cannot be kept: then the agent is to keep it.
    fn made(&mut self, traces: Vec<Trace>) -> Result;

    /// Whether the run was stopped.
    fn is_stopped(&self) -> bool;

    /// The ids of the steps that are due because of it; told before its outcome is.
    fn due(&mut self, ids: Vec<String>);
}

/// A running agent.
pub(super) struct AgentClient {
    writer: Writer,
    reader: Box<dyn AsyncRead + Send + Unpin>,
    buffer: Vec<u8>,
    pinger: tokio::task::JoinHandle<()>,
    /// What it said of itself.
    pub hello: Hello,
    /// Whether it holds the host's lock for us.
    pub locked: bool,
    /// Whether the connection to it is gone.
    pub lost: bool,
    /// The round trip of the last step.
    pub trip: Trip,
    under_way: Trip,
    /// What the agent before this one wrote down, whose connection was lost.
    pub records: Vec<Record>,
    /// The ids of what was due when that one had ended.
    pub due_after: Vec<String>,
    /// The agent holds what nobody has kept yet.
    untold: bool,
    stderr: AgentStderr,
}

/// What comes with a host's lock.
pub(super) struct Taken {
    /// The steps that an earlier run notified and did not live to run.
    pub pending: Vec<Due>,
    /// What an earlier agent of this run did last.
    pub records: Vec<Record>,
    /// Whether another run had it first.
    pub waited: bool,
    /// What an earlier run made and could not tell.
    pub left: Vec<Left>,
}

/// The agent of this run whose connection was lost.
pub(super) struct Earlier {
    /// Its process on the host.
    pub pid: u32,
    /// How long it may still hold the lock.
    pub wait: Duration,
}

impl AgentClient {
    /// Takes over a pipe whose other end has become an agent.
    pub(super) async fn begin(pipe: Pipe) -> Result<Self> {
        let (stdin, stdout, stderr) = pipe.split();
        let writer: Writer = Arc::new(Mutex::new(stdin));
        let pinger = tokio::spawn(ping(Arc::clone(&writer)));
        let mut agent = Self {
            writer,
            reader: stdout,
            buffer: Vec::new(),
            pinger,
            hello: Hello::default(),
            locked: false,
            lost: false,
            trip: Trip::begin(),
            under_way: Trip::begin(),
            records: Vec::new(),
            due_after: Vec::new(),
            untold: false,
            stderr: AgentStderr::listen(stderr),
        };
        match agent.message().await? {
            FromAgent::Hello(hello) if hello.protocol == PROTOCOL => agent.hello = hello,
            FromAgent::Hello(hello) => {
                let error = protocol(format!("the agent speaks protocol {}, not {PROTOCOL}", hello.protocol));
                return Err(stale(error, &hello.build));
            }
            _ => return Err(protocol("the agent did not introduce itself")),
        }
        Ok(agent)
    }

    /// A handle that can stop what the agent runs, from another task.
    pub(super) fn canceller(&self) -> Canceller {
        Canceller::new(&self.writer)
    }

    /// Takes the host's lock, waiting for another run to end for at most `wait`. An earlier agent of this run is told to
    /// go, and has a while of its own for what must be finished.
    pub(super) async fn lock(
        &mut self,
        holder: &str,
        ledger: &str,
        wait: Duration,
        earlier: Option<Earlier>,
    ) -> Result<Taken> {
        let begun = tokio::time::Instant::now();
        let instead_of = earlier.as_ref().map(|earlier| earlier.pid);
        let mut waited = false;
        loop {
            self.say(&ToAgent::Lock { holder: holder.to_owned(), instead_of, ledger: ledger.to_owned() }).await?;
            let (other, taken) = loop {
                match self.message().await? {
                    FromAgent::Locked { holder, pending, records, left } => {
                        break (holder, Taken { pending, records, waited, left });
                    }
                    FromAgent::Pong => {}
                    _ => return Err(protocol("the agent answered something else than the lock")),
                }
            };
            waited = true;
            match other {
                None => {
                    self.locked = true;
                    return Ok(taken);
                }
                Some(other) => {
                    let own = earlier.as_ref().filter(|_| other == holder);
                    if begun.elapsed() < own.map_or(wait, |earlier| earlier.wait) {
                        tracing::debug!(target: "mk::wire", agent = self.hello.pid, other, "the host is locked");
                        tokio::time::sleep(LOCK_POLL).await;
                        continue;
                    }
                    if let Some(Earlier { pid, wait }) = own {
                        let after = wait.as_secs();
                        let message = format!("the agent of the connection that was lost still works after {after} s");
                        return Err(Error::new(Kind::Locked, message)
                            .because(format!("it is process {pid} of the host"))
                            .hint("what must not be cut in the middle goes on: give it longer, `--lock-wait 10m`"));
                    }
                    return Err(Error::new(Kind::Locked, format!("another run has this host: {other}"))
                        .hint("wait for it to end, or let mk wait: `--lock-wait 5m`"));
                }
            }
        }
    }

    /// Has steps run, one after another up to the first that fails. Each is waited for by [`AgentClient::outcome`].
    pub(super) async fn steps(&mut self, requests: &[Request]) -> Result {
        self.under_way = Trip::begin();
        self.say(&ToAgent::Do { steps: requests.to_vec() }).await
    }

    /// The outcome of the next step. What the time was spent on is in [`AgentClient::trip`] then.
    pub(super) async fn outcome(
        &mut self,
        request: &Request,
        responder: Option<&dyn Responder>,
        listener: &mut dyn Listener,
    ) -> Result<Outcome> {
        let result = self.listen(request, responder, listener).await;
        let next = Trip::begin();
        self.trip = Trip { ended: next.begun, ..std::mem::replace(&mut self.under_way, next) };
        result
    }

    /// Has the host strike off notified steps.
    pub(super) async fn forget(&mut self, ids: &[String]) -> Result {
        self.say(&ToAgent::Forget { due: ids.to_vec() }).await?;
        loop {
            match self.message().await? {
                FromAgent::Forgotten { result } => return result.map_err(|e| e.told_by_host(false, false)),
                FromAgent::Pong => {}
                _ => return Err(protocol("the agent answered something else than what is due")),
            }
        }
    }

    /// Waits until the agent has told of every step that it did not run, because one before it failed.
    pub(super) async fn dropped(&mut self, requests: &[Request]) -> Result {
        for request in requests {
            loop {
                match self.message().await? {
                    FromAgent::Dropped { id } if id == request.id => break,
                    FromAgent::Pong => {}
                    _ => return Err(protocol("the agent went on after a step that failed")),
                }
            }
        }
        Ok(())
    }

    async fn listen(
        &mut self,
        request: &Request,
        responder: Option<&dyn Responder>,
        listener: &mut dyn Listener,
    ) -> Result<Outcome> {
        let mut taking: Option<Taking> = None;
        // What this side could not do is told only when the agent has ended the step: it goes on talking until then.
        let mut fault = None;
        loop {
            match self.frame().await? {
                // What nobody asked to see is not kept anywhere.
                Frame::Output(id, ..) if id == request.id && !request.stream => {}
                Frame::Output(id, stream, bytes) if id == request.id => listener.output(id, stream == 2, &bytes),
                Frame::Blob(id, piece) if id == request.id => {
                    let Some(sink) = taking.as_mut() else {
                        return Err(protocol("the agent sent bytes nobody asked for"));
                    };
                    let kept = match sink {
                        Taking::Dropped => Ok(()),
                        Taking::Kept(sink) if piece.is_empty() => sink.flush(),
                        Taking::Kept(sink) => sink.write_all(&piece),
                    };
                    if let Err(e) = kept {
                        fault.get_or_insert(Error::step("cannot keep what the host sent").because(e));
                        taking = Some(Taking::Dropped);
                    }
                    if piece.is_empty() {
                        taking = None;
                    }
                }
                Frame::Message(body) => match from_body(&body)? {
                    FromAgent::Done { id, result, worked, made, due } if id == request.id => {
                        self.under_way.worked = worked;
                        listener.due(due);
                        if !made.is_empty() {
                            listener.made(made).inspect_err(|_| self.untold = true)?;
                        }
                        let (checking, stopped) = (request.mode == Mode::Check, listener.is_stopped());
                        let result = result.map_err(|e| stale(e, &self.hello.build).told_by_host(checking, stopped));
                        return fault.map_or(result, Err);
                    }
                    FromAgent::Ask { id, ask } if id == request.id => match ask {
                        Ask::Blob { sha256 } => {
                            let content = offers(responder).and_then(|offers| offers.open(&sha256));
                            self.send_pieces(request.id, content).await?;
                        }
                        Ask::Blobs { sha256 } => {
                            let content = offers(responder).and_then(|offers| offers.open_all(&sha256));
                            self.send_pieces(request.id, content).await?;
                        }
                        Ask::Other { question } => {
                            let answer = half(responder, "asks a question").and_then(|half| half.answer(&question));
                            self.say(&ToAgent::Answer { id, answer }).await?;
                        }
                        Ask::Due { .. } => return Err(unasked("asks what only its own agent answers")),
                        Ask::Take { sha256, size } => {
                            match half(responder, "sends content").and_then(|half| half.take(&sha256, size)) {
                                Ok(sink) => taking = Some(Taking::Kept(sink)),
                                Err(e) => {
                                    fault.get_or_insert(e);
                                    taking = Some(Taking::Dropped);
                                }
                            }
                        }
                    },
                    FromAgent::Pong => {}
                    _ => return Err(protocol("the agent answered something else than the step")),
                },
                _ => return Err(protocol("the agent sent a frame that belongs to no step")),
            }
        }
    }

    async fn send_pieces(&mut self, id: u64, pieces: Result<Pieces>) -> Result {
        let mut pieces = match pieces {
            Ok(pieces) => pieces,
            Err(e) => return self.say(&ToAgent::Answer { id, answer: Err(e) }).await,
        };
        let (begun, mut waited) = (Instant::now(), Duration::ZERO);
        loop {
            while pieces.is_ahead() && waited * 10 < begun.elapsed() {
                tokio::time::sleep(BREATH).await;
                waited += BREATH;
            }
            let piece = match pieces.take() {
                Ok(piece) => piece,
                Err(e) => return self.say(&ToAgent::Answer { id, answer: Err(e) }).await,
            };
            self.send_encoded(&encode_piece(id, &piece)).await?;
            if piece.is_end() {
                return Ok(());
            }
        }
    }

    /// Ends the agent.
    pub(super) async fn end(mut self) {
        if !self.untold {
            let _ = self.say(&ToAgent::Bye).await;
        }
        let _ = self.writer.lock().await.shutdown().await;
        // The agent goes when its running step has; what it says last is read so that it can.
        let mut rest = [0; 4096];
        let gone = async { while matches!(self.reader.read(&mut rest).await, Ok(count) if count > 0) {} };
        let _ = tokio::time::timeout(Duration::from_secs(5), gone).await;
    }

    async fn say(&mut self, message: &ToAgent) -> Result {
        self.send(&to_frame(message)).await
    }

    async fn send(&mut self, frame: &Frame) -> Result {
        self.send_encoded(&encode(frame)).await
    }

    async fn send_encoded(&mut self, bytes: &[u8]) -> Result {
        tracing::trace!(target: "mk::wire", agent = self.hello.pid, bytes = bytes.len(), "frame sent");
        let begun = Instant::now();
        let mut writer = self.writer.lock().await;
        let sending = async {
            writer.write_all(bytes).await?;
            writer.flush().await
        };
        let sent = match tokio::time::timeout(SILENCE, sending).await {
            Ok(sent) => sent.map_err(lost),
            Err(_) => Err(silent()),
        };
        self.under_way.away += begun.elapsed();
        self.lost |= sent.is_err();
        sent
    }

    /// Waits until the host has ended the connection, or the time is up. Says whether it has.
    pub(super) async fn ended(&mut self, limit: Duration) -> bool {
        let gone = async { while self.frame().await.is_ok() {} };
        let _ = tokio::time::timeout(limit, gone).await;
        self.lost
    }

    async fn message(&mut self) -> Result<FromAgent> {
        match self.frame().await? {
            Frame::Message(body) => from_body(&body),
            _ => Err(protocol("the agent sent a frame that belongs to no step")),
        }
    }

    async fn frame(&mut self) -> Result<Frame> {
        let begun = Instant::now();
        let frame = self.next_frame().await;
        self.under_way.away += begun.elapsed();
        self.lost |= matches!(&frame, Err(e) if e.kind() == Kind::Unreachable);
        frame
    }

    async fn next_frame(&mut self) -> Result<Frame> {
        loop {
            let filled = self.buffer.len();
            if let Some(frame) = decode(&mut self.buffer)? {
                let bytes = filled - self.buffer.len();
                tracing::trace!(target: "mk::wire", agent = self.hello.pid, bytes, "frame received");
                if self.buffer.is_empty() {
                    // A thousand hosts wait at once; none needs to keep the room that its longest answer took.
                    self.buffer.shrink_to(ROOM);
                }
                return Ok(frame);
            }
            self.buffer.reserve(ROOM.max(filled));
            match tokio::time::timeout(SILENCE, self.reader.read_buf(&mut self.buffer)).await {
                Err(_) => return Err(silent()),
                Ok(Ok(0)) => {
                    let error = Error::new(Kind::Unreachable, "the connection to the host was lost");
                    return Err(self.stderr.heard(error).await);
                }
                Ok(Ok(_)) => {}
                Ok(Err(e)) => return Err(lost(e)),
            }
        }
    }
}

impl Drop for AgentClient {
    fn drop(&mut self) {
        self.pinger.abort();
    }
}

/// This side's half of a step.
fn half<'a>(responder: Option<&'a dyn Responder>, what: &str) -> Result<&'a dyn Responder> {
    responder.ok_or_else(|| unasked(what))
}

/// What is on offer to the host of a step.
fn offers(responder: Option<&dyn Responder>) -> Result<&Offers> {
    responder.and_then(Responder::offers).ok_or_else(|| unasked("asks for content"))
}

/// An error that another build of the agent may be the reason of. What a playbook says was checked on this side
/// before it was sent, so an agent that does not understand it knows other operations.
fn stale(error: Error, build: &str) -> Error {
    let ours = !matches!(error.kind(), Kind::Playbook | Kind::Protocol);
    if ours || build == BUILD {
        return error;
    }
    let agent = if build.is_empty() { "unknown" } else { build };
    error
        .because(format!("the agent's build is {agent}, and mk's is {BUILD}"))
        .hint("build the agents and mk from the same sources: `.ci/build`")
}

fn protocol(message: impl Into<String>) -> Error {
    Error::new(Kind::Protocol, message)
}

fn lost(e: std::io::Error) -> Error {
    Error::new(Kind::Unreachable, "the connection to the host was lost").because(e)
}

fn silent() -> Error {
    Error::new(Kind::Unreachable, format!("the host has been silent for {} s", SILENCE.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An agent that says of every lock that this run's own earlier agent has it.
    async fn locked_for_ever(mut stream: tokio::io::DuplexStream) {
        let hello = Hello { protocol: PROTOCOL, ..Hello::default() };
        stream.write_all(&encode(&to_frame(&FromAgent::Hello(hello)))).await.unwrap();
        let mut heard = Vec::new();
        while stream.read_buf(&mut heard).await.is_ok_and(|count| count > 0) {
            while let Ok(Some(Frame::Message(body))) = decode(&mut heard) {
                if let Ok(ToAgent::Lock { holder, .. }) = from_body(&body) {
                    let (pending, records, left) = (Vec::new(), Vec::new(), Vec::new());
                    let locked = FromAgent::Locked { holder: Some(holder), pending, records, left };
                    stream.write_all(&encode(&to_frame(&locked))).await.unwrap();
                }
            }
        }
    }

    #[tokio::test]
    async fn an_earlier_agent_that_never_ends_is_not_waited_for_for_ever() {
        let (ours, theirs) = tokio::io::duplex(4096);
        let agent = tokio::spawn(locked_for_ever(theirs));
        let (stdout, stdin) = tokio::io::split(ours);
        let pipe = Pipe { stdin: Box::new(stdin), stdout: Box::new(stdout), stderr: Box::new(tokio::io::empty()) };
        let mut client = AgentClient::begin(pipe).await.unwrap();
        let earlier = Earlier { pid: 7, wait: Duration::from_millis(300) };
        let taken = client.lock("me", "x", Duration::ZERO, Some(earlier));
        let taken = tokio::time::timeout(Duration::from_secs(20), taken).await.expect("it comes to an end");
        let error = taken.err().expect("nobody let go of the lock");
        assert_eq!(error.kind(), Kind::Locked);
        assert!(error.message().contains("still works") && error.to_string().contains("process 7"), "{error}");
        drop(client);
        agent.await.unwrap();
    }
}
