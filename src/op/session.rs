//! What an agent remembers between the steps of one run.

use std::cell::RefCell;
use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::sys::{Creations, Digests, Jobs, Plan, directories, home_of};

/// The longest plan that is handed on, in bytes: far from the limit of a message.
const LONGEST_PLAN: usize = 4 * 1024 * 1024;

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

    /// Whether a user that is not there comes with an earlier step of this check: nobody can act as it yet.
    pub fn awaits(&self, user: &str) -> bool {
        let plan = self.plan.borrow();
        let comes = plan.user(user).map_or_else(|| plan.packages_planned().is_some(), |planned| planned.is_some());
        comes && home_of(user).is_none()
    }

    /// Whether an earlier step of this check would have removed a user.
    pub fn lacks(&self, user: &str) -> bool {
        self.plan.borrow().user(user).is_some_and(|planned| planned.is_none())
    }

    /// The plan in a text, as the agent of another user on the same host may have it. One that is very long is not handed
    /// on.
    pub fn plan_text(&self) -> Option<String> {
        let plan = self.plan.borrow().for_others();
        serde_json::to_string(&plan).ok().filter(|text| text.len() <= LONGEST_PLAN)
    }

    /// Takes over the plan of the agent that this one works for, or of one that works for this. What did not travel stays
    /// as it is here.
    ///
    /// # Errors
    /// When it is not one.
    pub fn take_plan(&self, text: &str) -> Result {
        let plan = serde_json::from_str(text).map_err(|e| Error::internal("a plan that cannot be read").because(e))?;
        self.plan.borrow_mut().take_over(plan);
        Ok(())
    }
}

/// Where mk keeps what must survive a reboot of this host.
fn directory() -> PathBuf {
    directories().0
}
