//! The tasks that `--tags` names.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::event::{EventKind, Events};

/// The tasks that were asked for, and those that there are.
#[derive(Debug)]
pub(crate) struct Selection {
    /// As they were given; of one with commas, each part may be a task, and so may the whole.
    given: Vec<String>,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// The names and paths of tasks that the script came to.
    met: BTreeSet<String>,
    /// The names of tasks that stand in the scripts.
    known: BTreeSet<String>,
    /// Whether one that was asked for was among those that the script came to.
    any: bool,
    /// Whether a playbook was passed over, with whatever tasks it has.
    passed_over: bool,
}

impl Selection {
    /// Those of the command line; none means all.
    pub(super) fn new(given: &[String]) -> Self {
        Self { given: given.to_vec(), seen: Mutex::default() }
    }

    /// Whether everything is to be done.
    pub(crate) fn is_all(&self) -> bool {
        self.given.is_empty()
    }

    /// Whether a task was asked for that the script comes to: by its name, or by the end of its path.
    pub(super) fn wants(&self, name: &str, path: &str) -> bool {
        if self.is_all() {
            return true;
        }
        let wanted = self.words().any(|word| is_end_of(word, path));
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.any |= wanted;
        seen.met.extend([name.to_owned(), path.to_owned()]);
        wanted
    }

    /// Whether a task of that name would be asked for, or could be by the path that leads to it.
    pub(crate) fn may_want(&self, name: &str) -> bool {
        self.words().any(|word| is_end_of(name, word))
    }

    /// Whether one was asked for of which nothing is known so far.
    pub(crate) fn has_unknown(&self) -> bool {
        self.unknown().is_some()
    }

    /// Notes the names of tasks that stand in a script.
    pub(crate) fn know(&self, names: impl IntoIterator<Item = String>) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).known.extend(names);
    }

    /// Notes that a playbook is passed over, because it completed before with the same choice of tasks.
    pub(crate) fn pass_over(&self) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).passed_over = true;
    }

    /// At the run's end: whether all there was to choose from was really there.
    ///
    /// # Errors
    /// For a task that there is none of, with the nearest that there is.
    pub(crate) fn ended(&self, events: &Events) -> Result {
        if self.seen.lock().unwrap_or_else(PoisonError::into_inner).passed_over {
            return Ok(());
        }
        if let Some(word) = self.unknown() {
            let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            let names: BTreeSet<&str> = seen.known.iter().chain(&seen.met).map(String::as_str).collect();
            let error = Error::usage(format!("no task is called `{word}`"));
            if names.is_empty() {
                return Err(error.hint("there are no tasks in what ran: `task(\"name\", || …)` makes one"));
            }
            let listed = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            return Err(error.because(format!("there are {listed}")).suggest(word, names.iter().copied()));
        }
        let any = self.seen.lock().unwrap_or_else(PoisonError::into_inner).any;
        if !self.is_all() && !any {
            let text = "the script came to no task that `--tags` names, so nothing was done".to_owned();
            events.tell(EventKind::Said { host: None, warning: true, text });
        }
        Ok(())
    }

    /// Every word that may be a task.
    fn words(&self) -> impl Iterator<Item = &str> {
        self.given.iter().flat_map(|given| std::iter::once(given.as_str()).chain(parts(given)))
    }

    /// The first that was given and is no task, neither as a whole nor in its parts.
    fn unknown(&self) -> Option<&str> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        // A path stands nowhere; that of a task which the script did not come to is known by its last name.
        let is_known = |word: &str| {
            seen.met.iter().any(|path| is_end_of(word, path)) || seen.known.iter().any(|name| is_end_of(name, word))
        };
        self.given.iter().filter(|given| !is_known(given)).find_map(|given| parts(given).find(|part| !is_known(part)))
    }
}

fn parts(given: &str) -> impl Iterator<Item = &str> {
    given.split(',').map(str::trim)
}

/// Whether a path ends with these names.
fn is_end_of(word: &str, path: &str) -> bool {
    path.strip_suffix(word).is_some_and(|before| before.is_empty() || before.ends_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(given: &[&str]) -> Selection {
        Selection::new(&given.iter().map(|&one| one.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_task_is_chosen_by_its_name_or_by_the_end_of_its_path() {
        let all = of(&["a,b", "x/y", "who has left, who is ready"]);
        for (name, path, wanted) in [
            ("a", "a", true),
            ("b", "outer/b", true),
            ("y", "x/y", true),
            ("y", "w/x/y", true),
            ("y", "xx/y", false),
            ("y", "y", false),
            ("who has left, who is ready", "who has left, who is ready", true),
            ("c", "c", false),
        ] {
            assert_eq!(all.wants(name, path), wanted, "{path}");
        }
        assert!(all.may_want("y") && !all.may_want("x"));
        assert!(of(&[]).wants("a", "a"));
    }

    #[test]
    fn what_is_no_task_is_named_with_the_nearest() {
        let selection = of(&["workers,cotnrollers"]);
        selection.know(["workers".to_owned(), "controllers".to_owned()]);
        let events =
            Events::new(crate::event::channel().0, crate::secret::Secrets::default(), std::time::Instant::now());
        let error = selection.ended(&events).unwrap_err();
        assert_eq!((error.kind(), error.message()), (crate::error::Kind::Usage, "no task is called `cotnrollers`"));
        assert_eq!(error.hints(), ["did you mean `controllers`?"]);
        let known = of(&["x/workers"]);
        known.know(["workers".to_owned()]);
        assert!(known.ended(&events).is_ok());
    }
}
