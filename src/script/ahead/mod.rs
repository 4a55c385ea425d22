//! Which steps may wait for the next one, told from a script's text before it runs.
//!
//! A step may wait when nobody looks at what comes of it, and when from there every way leads to another step, or
//! to the end of a closure that mk itself runs, past nothing but values being worked out: nothing that could be seen,
//! and nothing that could catch its fault in its place. What cannot be told for certain does not wait.

mod values;
mod ways;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{PoisonError, RwLock};

use rhai::{AST, Position};

use self::ways::Script;

/// What is known of all scripts that a run has read.
#[derive(Default)]
pub(super) struct Ahead(RwLock<Known>);

#[derive(Default)]
struct Known {
    /// By script, and the place of the call.
    steps: HashMap<String, HashMap<Position, Step>>,
    /// What every function of any script calls, by name.
    calls: BTreeMap<String, Names>,
    /// The functions that may be run inside of a `try`.
    tried: Names,
    /// Functions that only work out a value, if those that they call do, too; `None` where one of that name does more.
    values: BTreeMap<String, Option<Names>>,
    /// Those that do so for certain.
    pure: Names,
}

/// Names of functions, whichever script they are in.
type Names = BTreeSet<String>;

/// A step that may wait.
struct Step {
    /// The function that it stands in, unless that is a closure at whose end mk sends what waits.
    function: Option<String>,
    /// The functions that are called before the next step is sent. They must only work out values.
    needs: Names,
}

impl Ahead {
    /// Reads a script before it runs. A module's own statements run where it is imported, and nothing is sent at
    /// their end.
    pub(super) fn read(&self, ast: &AST, main: bool) {
        let read = Script::read(ast, main);
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.steps.insert(ast.source().unwrap_or_default().to_owned(), read.steps);
        for (name, calls) in read.calls {
            known.calls.entry(name).or_default().extend(calls);
        }
        for (name, needs) in read.values {
            let all = known.values.entry(name).or_insert_with(|| Some(Names::new()));
            match (all.as_mut(), needs) {
                (Some(all), Some(needs)) => all.extend(needs),
                _ => *all = None,
            }
        }
        known.tried.extend(read.tried);
        known.settle();
    }

    /// Whether the step that is called there may wait for the next one.
    pub(super) fn may_wait(&self, source: Option<&str>, at: Position) -> bool {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let step = known.steps.get(source.unwrap_or_default()).and_then(|steps| steps.get(&at));
        step.is_some_and(|step| {
            step.function.as_ref().is_none_or(|name| !known.tried.contains(name)) && step.needs.is_subset(&known.pure)
        })
    }
}

impl Known {
    /// Follows what is known of single functions through those that call them.
    fn settle(&mut self) {
        let mut new: Vec<String> = self.tried.iter().cloned().collect();
        while let Some(name) = new.pop() {
            for called in self.calls.get(&name).into_iter().flatten() {
                if self.tried.insert(called.clone()) {
                    new.push(called.clone());
                }
            }
        }
        // Functions that need each other in a circle are none of these: they may not end.
        loop {
            let is_new = |(name, needs): (&String, &Option<Names>)| {
                let certain = needs.as_ref().is_some_and(|needs| needs.is_subset(&self.pure));
                (certain && !self.pure.contains(name)).then(|| name.clone())
            };
            let new: Names = self.values.iter().filter_map(is_new).collect();
            if new.is_empty() {
                return;
            }
            self.pure.extend(new);
        }
    }
}
