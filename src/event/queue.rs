//! The way from those who tell to the one who shows: a bounded channel, with back-pressure a host.
//!
//! Each host, and the script beside them, has a share of the queue; who has used it up waits until some of that is
//! taken. So a host that prints without end is as fast as what shows it, takes no more memory than its share, and the
//! others wait for no more than the shares before them.
//!
//! Nothing waits for ever for what takes nothing, such as a terminal that was halted: a host whose output stands still
//! for long would be lost. Its output is left out then, and that is told; anything else goes in all the same, up to a
//! bound that output cannot reach.

use std::collections::{HashMap, VecDeque};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Event, EventKind, VERSION};
use crate::change;
use crate::error::Error;

/// How much of one host waits to be taken, in bytes; one event more, if that is longer.
const SHARE: usize = 256 << 10;

/// How much waits in all when nothing is taken any more, in bytes.
const ALL: usize = 16 << 20;

/// How long nothing may have been taken before output is left out.
const PATIENCE: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 5 });

/// What an event takes beside its texts, in bytes.
const LEAST: usize = 256;

/// A queue of events: its two ends.
pub(crate) fn channel() -> (Sender, Receiver) {
    let state = Queue {
        events: VecDeque::new(),
        of_host: HashMap::new(),
        all: 0,
        left_out: HashMap::new(),
        moved: Instant::now(),
        senders: 1,
        is_read: true,
    };
    let shared = Arc::new(Shared { state: Mutex::new(state), room: Condvar::new(), more: Condvar::new() });
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

/// Where events go in.
pub(crate) struct Sender(Arc<Shared>);

/// Where events come out, in the order in which they went in.
pub(crate) struct Receiver(Arc<Shared>);

struct Shared {
    state: Mutex<Queue>,
    /// A host has room again.
    room: Condvar,
    /// There is something to take, or there never will be.
    more: Condvar,
}

/// What waits to be taken.
struct Queue {
    events: VecDeque<Event>,
    /// How much waits, by host.
    of_host: HashMap<Option<String>, usize>,
    all: usize,
    /// How much output was left out since that was told, by host.
    left_out: HashMap<Option<String>, usize>,
    /// When something was taken last, or began to wait for it.
    moved: Instant,
    senders: usize,
    is_read: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn push(&mut self, event: Event) {
        if self.events.is_empty() {
            self.moved = Instant::now();
        }
        let weight = weight(&event.what);
        *self.of_host.entry(host(&event.what)).or_default() += weight;
        self.all += weight;
        self.events.push_back(event);
    }

    fn has_room(&self, host: Option<&str>, weight: usize) -> bool {
        self.of_host.get(&host.map(str::to_owned)).is_none_or(|waits| waits + weight <= SHARE)
    }
}

impl Sender {
    /// Puts an event in; waits for room first. When nobody takes events any more, there is nobody to tell.
    pub(crate) fn send(&self, event: Event) {
        let (host, weight) = (host(&event.what), weight(&event.what));
        let output = if let EventKind::Output { text, .. } = &event.what { Some(text.len()) } else { None };
        let mut state = self.0.lock();
        while state.is_read && !state.has_room(host.as_deref(), weight) {
            let still = state.moved.elapsed();
            if still >= PATIENCE {
                if let Some(bytes) = output {
                    *state.left_out.entry(host).or_default() += bytes;
                    return;
                }
                if state.all + weight <= ALL {
                    break;
                }
            }
            // What goes in over the share is looked at anew now and then: nothing announces that it may.
            let wait = PATIENCE.saturating_sub(still).max(Duration::from_millis(200));
            state = self.0.room.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
        if !state.is_read {
            return;
        }
        if let Some(bytes) = state.left_out.remove(&host) {
            let text = format!("{bytes} bytes of output were left out: nothing took them");
            state.push(Event { v: VERSION, ms: event.ms, what: EventKind::Said { host, warning: true, text } });
        }
        state.push(event);
        self.0.more.notify_one();
    }
}

impl Clone for Sender {
    fn clone(&self) -> Self {
        self.0.lock().senders += 1;
        Self(Arc::clone(&self.0))
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.0.lock().senders -= 1;
        self.0.more.notify_one();
    }
}

impl Receiver {
    /// Takes the next event; waits for one as long as it is told to.
    ///
    /// # Errors
    /// When none came in that time, or none can come any more.
    pub(crate) fn take(&self, wait: Duration) -> Result<Event, RecvTimeoutError> {
        let until = Instant::now() + wait;
        let mut state = self.0.lock();
        loop {
            if let Some(event) = state.events.pop_front() {
                let (host, weight) = (host(&event.what), weight(&event.what));
                state.moved = Instant::now();
                state.all -= weight;
                let waits = state.of_host.remove(&host).unwrap_or_default();
                let left = waits.saturating_sub(weight);
                if left > 0 {
                    state.of_host.insert(host, left);
                }
                // Not for every event: whoever waits is woken for half a share, and when nothing is left of it.
                if left == 0 || waits > SHARE / 2 && left <= SHARE / 2 {
                    self.0.room.notify_all();
                }
                return Ok(event);
            }
            if state.senders == 0 {
                return Err(RecvTimeoutError::Disconnected);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(RecvTimeoutError::Timeout);
            }
            state = self.0.more.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.is_read = false;
        state.events.clear();
        self.0.room.notify_all();
    }
}

/// Whose share an event takes of.
fn host(what: &EventKind) -> Option<String> {
    match what {
        EventKind::Connected { host, .. }
        | EventKind::HostFailed { host, .. }
        | EventKind::HostKept { host, .. }
        | EventKind::Unpredicted { host, .. }
        | EventKind::Output { host, .. } => Some(host.clone()),
        EventKind::StepStarted { step }
        | EventKind::StepDone { step, .. }
        | EventKind::StepFailed { step, .. }
        | EventKind::Retry { step, .. } => Some(step.host.clone()),
        EventKind::Said { host, .. } => host.clone(),
        EventKind::Spent(span) => span.host.clone(),
        EventKind::RunStarted { .. }
        | EventKind::PredictionEnded { .. }
        | EventKind::PlayStarted { .. }
        | EventKind::PlaySkipped { .. }
        | EventKind::TaskStarted { .. }
        | EventKind::TaskDone { .. }
        | EventKind::RunDone { .. } => None,
    }
}

/// About how much memory an event takes: of what a host may make long, all.
fn weight(what: &EventKind) -> usize {
    let texts = match what {
        EventKind::Output { text, .. } | EventKind::Said { text, .. } => text.len(),
        EventKind::StepDone { outcome, .. } => {
            let fields = outcome.diff.iter().flat_map(|diff| &diff.fields);
            let differs =
                fields.flat_map(|field| field.before.iter().chain(&field.after)).map(change::weight).sum::<usize>();
            outcome.values.values().map(change::weight).sum::<usize>() + differs
        }
        EventKind::StepFailed { error, .. }
        | EventKind::Retry { error, .. }
        | EventKind::HostFailed { error, .. }
        | EventKind::HostKept { error, .. } => of_error(error),
        _ => 0,
    };
    LEAST + texts
}

fn of_error(error: &Error) -> usize {
    let texts = error.causes().iter().chain(error.notes()).chain(error.hints());
    error.message().len() + texts.map(String::len).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(host: &str, bytes: usize) -> Event {
        let what = EventKind::Output { id: 1, host: host.to_owned(), stderr: false, text: "x".repeat(bytes) };
        Event { v: VERSION, ms: 0, what }
    }

    fn said(text: &str) -> Event {
        Event { v: VERSION, ms: 0, what: EventKind::Said { host: None, warning: false, text: text.to_owned() } }
    }

    fn waiting(sender: &Sender) -> usize {
        sender.0.lock().all
    }

    #[test]
    fn a_host_that_prints_without_end_waits_and_the_others_do_not() {
        let (sender, receiver) = channel();
        let flood = sender.clone();
        let flooding = std::thread::spawn(move || (0..400).for_each(|_| flood.send(output("loud", 8 << 10))));
        std::thread::sleep(Duration::from_millis(200));
        assert!(!flooding.is_finished() && waiting(&sender) <= SHARE, "{}", waiting(&sender));
        // Another host's event goes in at once, and comes out behind no more than a share.
        sender.send(output("quiet", 10));
        let mut before = 0;
        loop {
            match receiver.take(Duration::from_secs(5)).unwrap().what {
                EventKind::Output { host, text, .. } if host == "loud" => before += text.len(),
                _ => break,
            }
            assert!(waiting(&sender) <= SHARE + 1024);
        }
        assert!(before <= SHARE, "{before}");
        drop(sender);
        let mut rest = 0;
        while let Ok(event) = receiver.take(Duration::from_secs(5)) {
            let EventKind::Output { text, .. } = event.what else { panic!("only output was told") };
            rest += text.len();
        }
        assert_eq!(before + rest, 400 * (8 << 10));
        flooding.join().unwrap();
    }

    #[test]
    fn one_event_may_be_longer_than_a_share() {
        let (sender, receiver) = channel();
        sender.send(output("a", 10 * SHARE));
        assert!(receiver.take(Duration::ZERO).is_ok());
        assert_eq!(receiver.take(Duration::ZERO).unwrap_err(), RecvTimeoutError::Timeout);
        drop(sender);
        assert_eq!(receiver.take(Duration::from_secs(5)).unwrap_err(), RecvTimeoutError::Disconnected);
    }

    #[test]
    fn where_nothing_is_taken_output_is_left_out_and_that_is_told() {
        let (sender, receiver) = channel();
        let begun = Instant::now();
        (0..100).for_each(|_| sender.send(output("loud", 8 << 10)));
        assert!(begun.elapsed() >= PATIENCE && waiting(&sender) <= SHARE, "{:?}", begun.elapsed());
        // What is no output goes in all the same, at once by now.
        (0..4000).for_each(|n| sender.send(said(&n.to_string())));
        assert!(begun.elapsed() < PATIENCE * 2, "{:?}", begun.elapsed());
        let mut shown = 0;
        for _ in 0..SHARE / (8 << 10) / 2 {
            let EventKind::Output { text, .. } = receiver.take(Duration::ZERO).unwrap().what else {
                panic!("output first")
            };
            shown += text.len();
        }
        sender.send(output("loud", 1));
        let mut told = Vec::new();
        while let Ok(event) = receiver.take(Duration::ZERO) {
            match event.what {
                EventKind::Said { host: Some(host), warning: true, text } => told.push(format!("{host}: {text}")),
                EventKind::Output { text, .. } => shown += text.len(),
                _ => {}
            }
        }
        let left = 100 * (8 << 10) + 1 - shown;
        assert_eq!(told, [format!("loud: {left} bytes of output were left out: nothing took them")]);
    }

    #[test]
    fn nobody_waits_for_a_receiver_that_is_gone() {
        let (sender, receiver) = channel();
        let flood = sender.clone();
        let flooding = std::thread::spawn(move || (0..100).for_each(|_| flood.send(output("a", SHARE))));
        std::thread::sleep(Duration::from_millis(50));
        drop(receiver);
        flooding.join().unwrap();
        sender.send(said("to nobody"));
    }
}
