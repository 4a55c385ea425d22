//! Pipelining: steps that wait for the next one, to travel with it in one round trip.
//!
//! A step waits only where the script's text shows that another step, or the end of what runs it, comes next,
//! whatever happens ([`lookahead`]). So nothing that a script can see or do lies between the two, and what the
//! user sees is as if each had been sent alone.

mod lookahead;

use std::cell::RefCell;

use rhai::{EvalAltResult, NativeCallContext};

use super::dispatch::{Ready, Sent, send_all};
use super::fault::throw;
use crate::error::Result;

pub(super) use lookahead::Lookahead;

/// How many steps travel together at most. What waits is lost when mk is killed, and nobody watches it meanwhile.
const MOST: usize = 64;

type Raised<T> = std::result::Result<T, Box<EvalAltResult>>;

thread_local! {
    /// All of one host.
    static WAITING: RefCell<Vec<Ready>> = const { RefCell::new(Vec::new()) };
}

/// Lets a step wait for the next one.
///
/// # Errors
/// The fault of one that waited before, where these had to be sent first.
pub(super) fn wait(step: Ready) -> Result {
    make_room(&step)?;
    let full = WAITING.with_borrow_mut(|waiting| {
        waiting.push(step);
        waiting.len() >= MOST
    });
    if full { flush() } else { Ok(()) }
}

/// Sends a step, and with it those that wait.
///
/// # Errors
/// The fault of the first that fails.
pub(super) fn send(step: &Ready) -> Result<Sent> {
    make_room(step)?;
    let waiting = WAITING.take();
    let all: Vec<&Ready> = waiting.iter().chain([step]).collect();
    send_all(&all)
}

/// Sends what waits.
///
/// # Errors
/// The fault of the first that fails.
pub(super) fn flush() -> Result {
    let waiting = WAITING.take();
    let Some(last) = waiting.last() else { return Ok(()) };
    let sent = send_all(&waiting.iter().collect::<Vec<_>>())?;
    last.done(&sent, &sent.outcome)
}

/// The same before a function of mk does anything that could be seen.
pub(super) fn first(context: &NativeCallContext) -> Raised<()> {
    settled(context, Ok(()))
}

/// The same at the end of what a script ran: a step that fails was written before whatever ended it.
pub(super) fn settled<T>(context: &NativeCallContext, result: Raised<T>) -> Raised<T> {
    flush().map_err(|e| throw(context, e)).and(result)
}

/// What waits for another host goes first.
fn make_room(step: &Ready) -> Result {
    let other = WAITING.with_borrow(|waiting| waiting.first().is_some_and(|first| first.host.name != step.host.name));
    if other { flush() } else { Ok(()) }
}
