//! What an agent remembers between the steps of one run.

use std::cell::RefCell;
use std::path::PathBuf;

use crate::sys::{Creations, Digests, Jobs, Plan, directories};

/// The state of one run on one host.
pub struct Session {
    /// What a check has planned so far.
    pub plan: RefCell<Plan>,
    /// What runs now.
    pub jobs: Jobs,
    /// Digests of big files.
    pub digests: RefCell<Digests>,
    /// What the running step makes.
    pub creations: RefCell<Creations>,
}

impl Session {
    /// A session whose commands can be stopped through `jobs`.
    pub fn new(jobs: Jobs) -> Self {
        let digests = Digests::load(directory().join("digests.json"));
        Self { plan: RefCell::default(), jobs, digests: RefCell::new(digests), creations: RefCell::default() }
    }

    /// A session that remembers nothing from earlier runs.
    pub fn fresh() -> Self {
        Self {
            plan: RefCell::default(),
            jobs: Jobs::default(),
            digests: RefCell::default(),
            creations: RefCell::default(),
        }
    }
}

/// Where mk keeps what must survive a reboot of this host.
fn directory() -> PathBuf {
    directories().0
}
