//! Where in the run the current thread is: the task, and the host whose closure it runs.

use std::cell::RefCell;

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
