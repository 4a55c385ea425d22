//! What a check takes for granted, so that it can foretell more than it knows.
//!
//! Nobody knows what a package brings before it is installed. A check assumes that it does not bring what later steps
//! make, and that it brings what they need. What rests on that is told as such.

use std::fmt::Display;
use std::path::Path;

use super::accounts::{Group, User};
use super::probe::Probe;

impl<'a> Probe<'a> {
    /// The same probe for a step of a user that is only planned: nothing can be run as that user yet.
    #[must_use]
    pub(crate) fn in_place_of(mut self, user: &'a str) -> Self {
        self.needed_user(user);
        self.stand_in = Some(user);
        self
    }

    /// What was taken for granted so far, in words; `None` when nothing was.
    pub(crate) fn assumed(&self) -> Option<String> {
        let assumed = self.assumed.borrow();
        (!assumed.is_empty()).then(|| format!("assumes that {}", assumed.join(", and that ")))
    }

    /// Does something that takes nothing for granted as far as the step is concerned.
    pub(crate) fn aside<T>(&self, work: impl FnOnce() -> T) -> T {
        let kept = self.assumed.borrow().clone();
        let came = work();
        *self.assumed.borrow_mut() = kept;
        came
    }

    /// Forgets what was taken for granted.
    pub(crate) fn forget_assumed(&self) {
        self.assumed.borrow_mut().clear();
    }

    /// Takes something for granted.
    pub(crate) fn assume(&self, what: String) {
        let mut assumed = self.assumed.borrow_mut();
        if !assumed.contains(&what) {
            assumed.push(what);
        }
    }

    /// Takes for granted that a planned package brings something that is not there; false when none is planned.
    pub(crate) fn assume_brought(&self, what: impl Display) -> bool {
        let said = self.plan.and_then(|plan| plan.borrow().brings(what));
        said.map(|said| self.assume(said)).is_some()
    }

    /// Takes for granted that no planned package brings what is not there.
    pub(crate) fn assume_not_brought(&self) {
        if let Some(said) = self.plan.and_then(|plan| plan.borrow().brings_not()) {
            self.assume(said);
        }
    }

    /// Whether a package that is planned may bring something to a path.
    pub(crate) fn may_be_brought(&self, path: &Path) -> bool {
        self.plan.is_some_and(|plan| plan.borrow().may_be_brought(path))
    }

    /// That packages are not installed yet, in words; `None` when none is planned.
    pub(crate) fn packages_planned(&self) -> Option<String> {
        self.plan?.borrow().packages_planned()
    }

    /// A user that a step needs: one that is missing may come with a planned package, and has no number yet.
    pub(crate) fn needed_user(&self, key: &str) -> Option<User> {
        let numbered = key.parse::<u32>().is_ok();
        let removed = self.plan.is_some_and(|plan| plan.borrow().user(key).is_some());
        self.user(key).or_else(|| {
            let comes = !numbered && !removed && self.assume_brought(format_args!("user `{key}`"));
            let unknown = String::new;
            comes.then(|| User {
                name: key.into(),
                uid: 0,
                gid: 0,
                comment: unknown(),
                home: unknown(),
                shell: unknown(),
            })
        })
    }

    /// A group that a step needs, as for [`Probe::needed_user`].
    pub(crate) fn needed_group(&self, key: &str) -> Option<Group> {
        let numbered = key.parse::<u32>().is_ok();
        let removed = self.plan.is_some_and(|plan| plan.borrow().group(key).is_some());
        self.group(key).or_else(|| {
            let comes = !numbered && !removed && self.assume_brought(format_args!("group `{key}`"));
            comes.then(|| Group { name: key.into(), gid: 0, members: Vec::new() })
        })
    }
}
