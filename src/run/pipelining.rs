//! Pipelining: steps that wait for the next one, to travel with it in one round trip.
//!
//! Whoever calls says of a step that it may wait: that nothing looks at what comes of it before another step follows, or
//! before what waits is sent. So what a user sees is as if each had been sent alone.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::dispatch::{Ready, Sent, send_all};
use super::scope::Scope;
use crate::error::{Error, Result};

/// How many steps travel together at most. What waits is lost when mk is killed, and nobody watches it meanwhile.
const MOST: usize = 64;

/// The steps that wait in a scope: all of one host.
#[derive(Default)]
pub(super) struct Waiting {
    steps: Mutex<Vec<Ready>>,
    /// The fault of a step that was sent because somebody looked at what came of one. Not everybody who looks passes a
    /// fault on: a language makes a text of a value whatever happens.
    unheard: Mutex<Option<Error>>,
}

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, Vec<Ready>> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Vec<Ready> {
        std::mem::take(&mut self.lock())
    }

    fn unheard(&self) -> MutexGuard<'_, Option<Error>> {
        self.unheard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends what waits, for somebody who looks at what came of it.
    pub(super) fn look(&self) -> Result {
        self.flush().inspect_err(|error| *self.unheard() = Some(error.clone()))
    }

    /// Sends what waits.
    fn flush(&self) -> Result {
        if let Some(error) = self.unheard().take() {
            return Err(error);
        }
        let waiting = self.take();
        let Some(last) = waiting.last() else { return Ok(()) };
        let sent = send_all(&waiting.iter().collect::<Vec<_>>())?;
        last.done(&sent, &sent.outcome)
    }

    /// What waits for another host goes first.
    fn make_room(&self, step: &Ready) -> Result {
        if let Some(error) = self.unheard().take() {
            return Err(error);
        }
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

    /// Sends what waits at the end of something, whatever came of that: a step that fails was written before whatever
    /// ended it.
    ///
    /// # Errors
    /// The fault of the first that fails, or else what came of it. `raise` makes the one of the other.
    pub(crate) fn ended<T, E>(&self, result: Result<T, E>, raise: impl Fn(Error) -> E) -> Result<T, E> {
        // Taken before, since the lock is needed again below.
        let unheard = self.waiting.unheard().take();
        match (unheard, result) {
            (Some(error), Ok(_)) => Err(raise(error)),
            // It was heard.
            (Some(_), heard) => heard,
            (None, result) => self.flush().map_err(raise).and(result),
        }
    }
}
