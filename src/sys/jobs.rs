//! The commands running now, so that they can be stopped together.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

/// The process groups of running commands. Clones share one list.
#[derive(Debug, Clone, Default)]
pub struct Jobs {
    groups: Arc<Mutex<BTreeSet<i32>>>,
    stopped: Arc<AtomicBool>,
    finishing: Arc<AtomicBool>,
    /// Microseconds that commands have taken.
    taken: Arc<AtomicU64>,
}

impl Jobs {
    /// Adds a group led by `pid`; it leaves the list when the guard is dropped.
    pub fn enter(&self, pid: u32) -> Entry {
        let pid = i32::try_from(pid).unwrap_or(0);
        self.lock().insert(pid);
        // A stop that came between the spawn and this line must not be missed.
        if self.is_stopped() {
            signal(pid, Signal::KILL);
        }
        Entry { jobs: self.clone(), pid }
    }

    /// Stops everything that runs and everything that would start: TERM first, KILL after `grace`.
    pub fn stop(&self, grace: Duration) {
        self.stopped.store(true, Ordering::SeqCst);
        for pid in self.lock().iter() {
            signal(*pid, Signal::TERM);
        }
        let mut waited = Duration::ZERO;
        while waited < grace && !self.lock().is_empty() {
            std::thread::sleep(Duration::from_millis(20));
            waited += Duration::from_millis(20);
        }
        for pid in self.lock().iter() {
            signal(*pid, Signal::KILL);
        }
    }

    /// Whether [`Jobs::stop`] was called, and nothing is under way that must be finished.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst) && !self.is_finishing()
    }

    /// From now on the running step is carried through: what it has begun must not be cut in half, and what it
    /// looks at afterwards says how it ended.
    pub fn finish_step(&self) {
        self.finishing.store(true, Ordering::SeqCst);
    }

    /// Whether the running step is carried through.
    pub fn is_finishing(&self) -> bool {
        self.finishing.load(Ordering::SeqCst)
    }

    /// Takes note of how long a command took.
    pub(super) fn took(&self, time: Duration) {
        self.taken.fetch_add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// How long all commands so far have taken, in microseconds.
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// The running step has ended.
    pub fn step_ended(&self) {
        self.finishing.store(false, Ordering::SeqCst);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<i32>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends a signal to a process group; a group that is gone already is fine.
pub(super) fn signal(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = kill_process_group(pid, signal);
    }
}

/// One running command's place in the list.
#[derive(Debug)]
pub struct Entry {
    jobs: Jobs,
    pid: i32,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.jobs.lock().remove(&self.pid);
    }
}
