//! The connection to the control side, as the running step and the reader share it.

use std::cell::{Cell, RefCell};
use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::due::Notes;
use crate::error::{Error, Kind, Result};
use crate::sys::Peer;
use crate::wire::{Answer, Ask, CHUNK, Due, Frame, FromAgent, Request, Stream, to_frame, write_frame};

/// How long the control side may take to answer a question, in the middle of a step.
const PATIENCE: Duration = Duration::from_secs(600);

/// What the reader hands to the running step.
pub(super) enum Reply {
    /// The answer to a question.
    Answer(Answer),
    /// A piece of a blob; an empty one is its end.
    Blob(Vec<u8>),
}

/// Where frames go out. Shared with the reader, which answers pings while a step runs.
pub(super) struct Outlet(Mutex<Box<dyn Write + Send>>);

impl Outlet {
    pub(super) fn new(stream: Box<dyn Write + Send>) -> Self {
        Self(Mutex::new(stream))
    }

    /// Sends a frame. A control side that is gone is noticed by the reader, so failures are passed over.
    pub(super) fn send(&self, frame: &Frame) {
        let mut stream = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = write_frame(&mut *stream, frame);
    }

    pub(super) fn say(&self, message: &FromAgent) {
        self.send(&to_frame(message));
    }
}

/// The peer of the steps of this agent.
pub(super) struct Link<'a> {
    pub(super) outlet: &'a Outlet,
    pub(super) replies: Receiver<Reply>,
    /// The request that runs now.
    pub(super) request: Cell<u64>,
    /// The steps that it notifies.
    notify: RefCell<Vec<Due>>,
    /// The ids of those that are due because of it.
    standing: RefCell<Vec<String>>,
    /// Where it is noted what is due; `None` in the agent of another user, which asks the one above.
    notes: Option<Notes>,
    /// How long it has waited for replies.
    waited: Cell<Duration>,
    gone: Arc<AtomicBool>,
}

impl<'a> Link<'a> {
    /// A link and the end the reader feeds.
    pub(super) fn new(outlet: &'a Outlet, notes: Option<Notes>) -> (SyncSender<Reply>, Self) {
        let (sender, replies) = sync_channel(8);
        let link = Self {
            outlet,
            replies,
            request: Cell::new(0),
            notify: RefCell::default(),
            standing: RefCell::default(),
            notes,
            waited: Cell::default(),
            gone: Arc::default(),
        };
        (sender, link)
    }

    /// A step begins.
    pub(super) fn begin(&self, request: &Request) {
        self.request.set(request.id);
        self.notify.borrow_mut().clone_from(&request.notify);
        self.standing.borrow_mut().clear();
    }

    /// The ids of the steps that are due because of the one that has ended.
    pub(super) fn standing(&self) -> Vec<String> {
        self.standing.take()
    }

    /// Strikes off a step that is due no more.
    ///
    /// # Errors
    /// When the host refuses.
    pub(super) fn strike(&self, id: &str) -> Result {
        self.notes.as_ref().map_or(Ok(()), |notes| notes.strike(id))
    }

    /// The steps that are due on this host.
    pub(super) fn pending(&self) -> Vec<Due> {
        self.notes.as_ref().map(Notes::all).unwrap_or_default()
    }

    /// What says that nobody will answer any more.
    pub(super) fn gone(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.gone)
    }

    fn ask_for(&self, ask: Ask) {
        self.outlet.say(&FromAgent::Ask { id: self.request.get(), ask });
    }

    /// The next reply.
    pub(super) fn reply(&self) -> Result<Reply> {
        let begun = Instant::now();
        let reply = self.reply_until(begun + PATIENCE);
        self.waited.set(self.waited.get() + begun.elapsed());
        reply
    }

    /// How long the steps so far have waited for replies.
    pub(super) fn waited(&self) -> Duration {
        self.waited.get()
    }

    fn reply_until(&self, until: Instant) -> Result<Reply> {
        let why = loop {
            match self.replies.recv_timeout(Duration::from_millis(500)) {
                Ok(reply) => return Ok(reply),
                Err(RecvTimeoutError::Disconnected) => break "the control side is gone",
                Err(RecvTimeoutError::Timeout) if self.gone.load(Ordering::SeqCst) => break "the control side is gone",
                Err(RecvTimeoutError::Timeout) if Instant::now() > until => break "the control side does not answer",
                Err(RecvTimeoutError::Timeout) => {}
            }
        };
        Err(Error::new(Kind::Interrupted, why))
    }
}

impl Peer for Link<'_> {
    fn blob(&self, sha256: &str) -> Result<Box<dyn Read + '_>> {
        self.incoming(Ask::Blob { sha256: sha256.to_owned() })
    }

    fn blobs(&self, sha256: &[String]) -> Result<Box<dyn Read + '_>> {
        self.incoming(Ask::Blobs { sha256: sha256.to_vec() })
    }

    fn ask(&self, question: Value) -> Result<Value> {
        self.ask_for(Ask::Other { question });
        match self.reply()? {
            Reply::Answer(answer) => answer,
            Reply::Blob(_) => Err(out_of_turn()),
        }
    }

    fn give(&self, sha256: &str, size: u64) -> Result<Box<dyn Write + '_>> {
        self.ask_for(Ask::Take { sha256: sha256.to_owned(), size });
        Ok(Box::new(Outgoing { link: self, buffer: Vec::new() }))
    }

    fn output(&self, stream: Stream, bytes: &[u8]) {
        for piece in bytes.chunks(CHUNK) {
            self.outlet.send(&Frame::Output(self.request.get(), stream.number(), piece.to_vec()));
        }
    }

    fn due(&self, stands: bool) -> Result {
        let Some(notes) = &self.notes else {
            self.ask_for(Ask::Due { stands });
            return match self.reply()? {
                Reply::Answer(answer) => answer.map(drop),
                Reply::Blob(_) => Err(out_of_turn()),
            };
        };
        if stands {
            let new = notes.add(&self.notify.borrow())?;
            self.standing.borrow_mut().extend(new);
            return Ok(());
        }
        // Another step may have called for the others.
        self.standing.take().iter().try_for_each(|id| notes.strike(id))
    }
}

impl Link<'_> {
    fn incoming(&self, ask: Ask) -> Result<Box<dyn Read + '_>> {
        self.ask_for(ask);
        // A refusal comes as an answer instead of the first piece.
        match self.reply()? {
            Reply::Blob(piece) => Ok(Box::new(Incoming { link: self, ended: piece.is_empty(), piece, at: 0 })),
            Reply::Answer(Err(e)) => Err(e),
            Reply::Answer(Ok(_)) => Err(out_of_turn()),
        }
    }
}

fn out_of_turn() -> Error {
    Error::new(Kind::Protocol, "the control side answered something else")
}

/// A blob on its way in.
struct Incoming<'a> {
    link: &'a Link<'a>,
    piece: Vec<u8>,
    at: usize,
    ended: bool,
}

impl Read for Incoming<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.piece.len() && !self.ended {
            match self.link.reply().map_err(io::Error::other)? {
                Reply::Blob(piece) => {
                    self.ended = piece.is_empty();
                    (self.piece, self.at) = (piece, 0);
                }
                // An answer in place of a piece is the last that comes.
                Reply::Answer(answer) => {
                    self.ended = true;
                    return Err(io::Error::other(answer.err().unwrap_or_else(out_of_turn)));
                }
            }
        }
        let count = buffer.len().min(self.piece.len() - self.at);
        buffer[..count].copy_from_slice(&self.piece[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

/// Bytes on their way out; dropping it sends the end.
struct Outgoing<'a> {
    link: &'a Link<'a>,
    buffer: Vec<u8>,
}

impl Outgoing<'_> {
    fn send(&mut self) {
        if !self.buffer.is_empty() {
            let piece = std::mem::take(&mut self.buffer);
            self.link.outlet.send(&Frame::Blob(self.link.request.get(), piece));
        }
    }
}

impl Write for Outgoing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(CHUNK - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..count]);
        if self.buffer.len() == CHUNK {
            self.send();
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send();
        Ok(())
    }
}

impl Drop for Outgoing<'_> {
    fn drop(&mut self) {
        self.send();
        self.link.outlet.send(&Frame::Blob(self.link.request.get(), Vec::new()));
    }
}
