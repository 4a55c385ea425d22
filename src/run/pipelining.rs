//! Pipelining: steps that wait for the next one, to travel with it in one round trip.
//!
//! Whoever calls says of a step that it may wait: that nothing looks at what comes of it before another step follows, or
//! before what waits is sent. So what a user sees is as if each had been sent alone.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::dispatch::{Ready, Sent, send_all};
use super::scope::Scope;
use crate::error::Result;

/// How many steps travel together at most. What waits is lost when mk is killed, and nobody watches it meanwhile.
const MOST: usize = 64;

/// The steps that wait in a scope: all of one host.
#[derive(Default)]
pub(super) struct Waiting(Mutex<Vec<Ready>>);

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, Vec<Ready>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Vec<Ready> {
        std::mem::take(&mut self.lock())
    }

    /// Sends what waits.
    pub(super) fn flush(&self) -> Result {
        let waiting = self.take();
        let Some(last) = waiting.last() else { return Ok(()) };
        let sent = send_all(&waiting.iter().collect::<Vec<_>>())?;
        last.done(&sent, &sent.outcome)
    }

    /// What waits for another host goes first.
    fn make_room(&self, step: &Ready) -> Result {
        let other = self.lock().first().is_some_and(|first| first.host.name != step.host.name);
        if other { self.flush() } else { Ok(()) }
    }
}

impl Scope {
    /// Lets a step wait for the next one.
    ///
    /// # Errors
    /// The fault of one that waited before, where these had to be sent first.
    pub(crate) fn wait(&self, step: Ready) -> Result {
        self.waiting.make_room(&step)?;
        let mut waiting = self.waiting.lock();
        waiting.push(step);
        let full = waiting.len() >= MOST;
        drop(waiting);
        if full { self.flush() } else { Ok(()) }
    }

    /// Sends a step, and with it those that wait.
    ///
    /// # Errors
    /// The fault of the first that fails.
    pub(crate) fn send(&self, step: &Ready) -> Result<Sent> {
        self.waiting.make_room(step)?;
        let waiting = self.waiting.take();
        let all: Vec<&Ready> = waiting.iter().chain([step]).collect();
        send_all(&all)
    }

    /// Sends what waits.
    ///
    /// # Errors
    /// The fault of the first that fails.
    pub(crate) fn flush(&self) -> Result {
        self.waiting.flush()
    }
}
