//! How long what goes over the wire to a host takes.

use std::time::{Duration, Instant};

use crate::wire::Worked;

/// How the time of a step's round trip was spent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trip {
    /// When it was begun.
    pub begun: Instant,
    /// When the last of the answer was there.
    pub ended: Instant,
    /// What of it was spent outside of this side.
    pub away: Duration,
    /// What the agent says of its own time; nothing when it was not asked, or did not answer.
    pub worked: Option<Worked>,
}

impl Trip {
    /// One that begins now.
    pub(super) fn begin() -> Self {
        let now = Instant::now();
        Self { begun: now, ended: now, away: Duration::ZERO, worked: None }
    }
}
