//! What an agent remembers between the steps of one run.

use std::cell::RefCell;
use std::path::PathBuf;

use crate::sys::{Digests, Jobs, Overlay, Traces, directories};

/// The state of one run on one host.
pub struct Session {
    /// What a check has planned so far.
    pub overlay: RefCell<Overlay>,
    /// What runs now.
    pub jobs: Jobs,
    /// Digests of big files.
    pub digests: RefCell<Digests>,
    /// What the running step makes.
    pub traces: RefCell<Traces>,
}

impl Session {
    /// A session whose commands can be stopped through `jobs`.
    pub fn new(jobs: Jobs) -> Self {
        let digests = Digests::load(directory().join("digests.json"));
        Self { overlay: RefCell::default(), jobs, digests: RefCell::new(digests), traces: RefCell::default() }
    }

    /// A session that remembers nothing from earlier runs.
    pub fn fresh() -> Self {
        Self {
            overlay: RefCell::default(),
            jobs: Jobs::default(),
            digests: RefCell::default(),
            traces: RefCell::default(),
        }
    }
}

/// Where mk keeps what must survive a reboot of this host.
fn directory() -> PathBuf {
    directories().0
}
