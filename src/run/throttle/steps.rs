//! The throttle of a step: no more than so many hosts at the same thing at a time.

use std::sync::{Condvar, Mutex, PoisonError};

/// Counts who is inside.
#[derive(Default)]
pub(in crate::run) struct StepThrottle {
    inside: Mutex<usize>,
    left: Condvar,
}

/// A place inside, given up when this is dropped.
pub(in crate::run) struct Inside(std::sync::Arc<StepThrottle>);

impl StepThrottle {
    /// Goes in as soon as fewer than `most` are inside.
    pub(in crate::run) fn enter(self: std::sync::Arc<Self>, most: usize) -> Inside {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        while *inside >= most {
            inside = self.left.wait(inside).unwrap_or_else(PoisonError::into_inner);
        }
        *inside += 1;
        drop(inside);
        Inside(self)
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        *self.0.inside.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.left.notify_one();
    }
}
