//! Where in the run the current thread is: the task, and the host whose closure it runs.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use super::world::World;
use crate::error::{Error, Kind, Result};
use crate::event::TimeSpentOn;

/// The thread's place in the run.
#[derive(Debug, Clone, Default)]
pub(super) struct Here {
    /// The innermost task.
    pub(super) task: Option<String>,
    /// The host whose closure runs.
    pub(super) host: Option<String>,
}

thread_local! {
    static HERE: RefCell<Here> = RefCell::default();
}

/// The current thread's place.
pub(super) fn here() -> Here {
    HERE.with_borrow(Clone::clone)
}

/// Runs `work` at another place, and comes back whatever happens.
pub(super) fn at<T>(place: Here, work: impl FnOnce() -> T) -> T {
    struct Back(Option<Here>);
    impl Drop for Back {
        fn drop(&mut self) {
            if let Some(place) = self.0.take() {
                HERE.set(place);
            }
        }
    }
    let _back = Back(Some(HERE.replace(place)));
    work()
}

/// Does nothing for some time, on this thread.
///
/// # Errors
/// When the run is stopped meanwhile.
pub(super) fn pause(world: &World, length: Duration) -> Result {
    let begun = Instant::now();
    let until = begun + length;
    let result = loop {
        if world.fleet.is_stopped() {
            break Err(Error::new(Kind::Interrupted, "stopped"));
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break Ok(());
        }
        std::thread::sleep(left.min(Duration::from_millis(20)));
    };
    world.events.spent(TimeSpentOn::Waiting, here().host.as_deref(), None, (begun, Instant::now()));
    result
}
