//! The scope of a thread in the run: the task, and the host whose closure it runs.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use super::running::Run;
use crate::error::{Error, Kind, Result};
use crate::event::TimeSpentOn;

/// The thread's place in the run.
#[derive(Debug, Clone, Default)]
pub(super) struct ScriptScope {
    /// The innermost task.
    pub(super) task: Option<String>,
    /// The host whose closure runs.
    pub(super) host: Option<String>,
}

thread_local! {
    static SCOPE: RefCell<ScriptScope> = RefCell::default();
}

/// The current thread's place.
pub(super) fn current_scope() -> ScriptScope {
    SCOPE.with_borrow(Clone::clone)
}

/// Runs `work` at another place, and comes back whatever happens.
pub(super) fn at<T>(place: ScriptScope, work: impl FnOnce() -> T) -> T {
    struct Back(Option<ScriptScope>);
    impl Drop for Back {
        fn drop(&mut self) {
            if let Some(place) = self.0.take() {
                SCOPE.set(place);
            }
        }
    }
    let _back = Back(Some(SCOPE.replace(place)));
    work()
}

/// Does nothing for some time, on this thread.
///
/// # Errors
/// When the run is stopped meanwhile.
pub(super) fn pause(run: &Run, length: Duration) -> Result {
    let begun = Instant::now();
    let until = begun + length;
    let result = loop {
        if run.fleet.is_stopped() {
            break Err(Error::new(Kind::Interrupted, "stopped"));
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break Ok(());
        }
        std::thread::sleep(left.min(Duration::from_millis(20)));
    };
    run.events.spent(TimeSpentOn::Waiting, current_scope().host.as_deref(), None, (begun, Instant::now()));
    result
}
