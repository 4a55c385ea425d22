//! What goes over the wire to a host: how much, and how long it takes.

use std::time::{Duration, Instant};

use crate::wire::Worked;

/// How many frames and bytes went each way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Frames to the agent.
    pub sent: u64,
    /// Frames from it.
    pub received: u64,
    /// Bytes to the agent.
    pub bytes_sent: u64,
    /// Bytes from it.
    pub bytes_received: u64,
}

/// How the time of a step's round trip was spent.
#[derive(Debug, Clone, Copy)]
pub struct Trip {
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
