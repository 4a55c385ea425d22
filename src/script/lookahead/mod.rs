//! Looking ahead for pipelining: which steps may wait for the next one, told from a script's text before it runs.
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
pub(in crate::script) struct Lookahead(RwLock<Known>);

#[derive(Default)]
struct Known {
    /// By script, and the place of the call.
    steps: HashMap<String, HashMap<Position, Step>>,
    /// What every function of any script calls, by name.
    calls: BTreeMap<String, Names>,
    /// The functions that may be run inside of a `try`.
    tried: Names,
    values: Values,
    /// Those that do so for certain.
    pure: Names,
}

/// Names of functions, whichever script they are in.
type Names = BTreeSet<String>;

/// Functions that only work out a value, if those that they call do, too; `None` where one of that name does more.
type Values = BTreeMap<String, Option<Names>>;

/// Adds one more function of a name.
fn add(values: &mut Values, name: String, needs: Option<Names>) {
    let all = values.entry(name).or_insert_with(|| Some(Names::new()));
    match (all.as_mut(), needs) {
        (Some(all), Some(needs)) => all.extend(needs),
        _ => *all = None,
    }
}

/// A step that may wait.
struct Step {
    /// The function that it stands in, unless that is a closure at whose end mk sends what waits.
    function: Option<String>,
    /// The functions that are called before the next step is sent. They must only work out values.
    needs: Names,
}

impl Lookahead {
    /// Reads a script before it runs. A module's own statements run where it is imported, and nothing is sent at
    /// their end.
    pub(in crate::script) fn read(&self, ast: &AST, main: bool) {
        let read = Script::read(ast, main);
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.steps.insert(ast.source().unwrap_or_default().to_owned(), read.steps);
        for (name, calls) in read.calls {
            known.calls.entry(name).or_default().extend(calls);
        }
        for (name, needs) in read.values {
            add(&mut known.values, name, needs);
        }
        known.tried.extend(read.tried);
        known.settle();
    }

    /// Whether the step that is called there may wait for the next one.
    pub(in crate::script) fn may_wait(&self, source: Option<&str>, at: Position) -> bool {
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
        // From anew, since a script read later may have a function of the same name that does more. Functions that need
        // each other in a circle are none of these: they may not end.
        self.pure.clear();
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lookahead: &Lookahead, source: &str, text: &str) {
        let mut ast = rhai::Engine::new().compile(text).unwrap();
        ast.set_source(source);
        lookahead.read(&ast, false);
    }

    const STEPS: &str = "fn both(host) {\n    host.file(\"a\");\n    host.file(\"b\" + word());\n}\n";

    #[test]
    fn a_function_that_does_more_in_a_script_read_later_lets_no_step_wait_any_more() {
        let lookahead = Lookahead::default();
        let first = || lookahead.may_wait(Some("steps"), Position::new(2, 10));
        read(&lookahead, "steps", &format!("{STEPS}fn word() {{ \"x\" }}"));
        assert!(first());
        assert!(!lookahead.may_wait(Some("steps"), Position::new(3, 10)), "what it ends with is its value");
        read(&lookahead, "other", "fn word() { log(\"x\"); }");
        assert!(!first());
    }

    #[test]
    fn a_function_that_a_try_leads_to_lets_no_step_wait() {
        let lookahead = Lookahead::default();
        read(&lookahead, "steps", &format!("{STEPS}fn word() {{ \"x\" }}\nfn outer(host) {{ both(host); }}"));
        assert!(lookahead.may_wait(Some("steps"), Position::new(2, 10)));
        read(&lookahead, "other", "fn attempt(host) { try { outer(host); } catch { } }");
        assert!(!lookahead.may_wait(Some("steps"), Position::new(2, 10)));
    }
}
