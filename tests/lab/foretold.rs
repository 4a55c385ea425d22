//! What a check foretold, held against what came of the same playbooks: the figure in the README.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::{Done, Run};

/// The lab that is a test itself: it changes nothing that stays, and a check of it tries nothing.
const A_TEST: &str = "12-smoke-test.rhai";

/// How many of a hundred steps a check must foretell on fresh hosts. The smoke test, which is a test, is left out.
const FORETOLD: usize = 95;

/// How many of a thousand that were foretold must come so.
const RIGHT: usize = 990;

/// How many steps were foretold, and how they came.
#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    right: usize,
    /// Right as well, and resting on an assumption that was told.
    assumed: usize,
    wrong: usize,
    unknown: usize,
    /// They came, and the check had said nothing of them.
    unheard: usize,
    /// The same, and they only looked: what a run waits for, a check does not.
    looks: usize,
    /// Of those that are right: with other values in their diff.
    other_diff: usize,
}

impl Tally {
    fn foretold(self) -> usize {
        self.right + self.assumed + self.wrong
    }

    fn all(self) -> usize {
        self.foretold() + self.unknown + self.unheard
    }

    /// Takes in one step as it came, and as it was told before. Gives whether that was wrong.
    fn note(&mut self, told: Option<&Done>, came: &Done) -> bool {
        let Some(told) = told else {
            *(if came.status == "read" { &mut self.looks } else { &mut self.unheard }) += 1;
            return false;
        };
        match (told.status.as_str(), came.status.as_str()) {
            ("unknown", _) => self.unknown += 1,
            ("would_change" | "would_run", "changed") | ("ok", "ok") | ("skipped", "skipped") | ("read", "read") => {
                *(if told.assumed { &mut self.assumed } else { &mut self.right }) += 1;
                self.other_diff += usize::from(differs(&told.diff, &came.diff));
            }
            _ => {
                self.wrong += 1;
                return true;
            }
        }
        false
    }

    fn row(self, name: &str) -> String {
        let Self { right, assumed, wrong, unknown, unheard, looks, other_diff } = self;
        format!("{name:16}{right:8}{assumed:9}{wrong:8}{unknown:9}{unheard:9}{looks:8}{other_diff:12}")
    }
}

/// What came of several checks, by operation.
#[derive(Debug, Default)]
pub(crate) struct Figure {
    by_op: BTreeMap<String, Tally>,
    all: Tally,
    /// What was foretold wrongly.
    pub wrong: Vec<String>,
}

impl Figure {
    /// Takes in a check and the run after it.
    pub(crate) fn hold(&mut self, checked: &Run, applied: &Run) {
        let told = numbered(checked);
        for (key, came) in numbered(applied) {
            let told = told.get(&key);
            self.by_op.entry(came.call.split(' ').next().unwrap_or_default().to_owned()).or_default().note(told, &came);
            if self.all.note(told, &came)
                && let Some(told) = told
            {
                let (told, status) = (&told.status, &came.status);
                self.wrong.push(format!("{}: {}: foretold {told}, came {status}", came.host, came.call));
            }
        }
    }

    /// Of a hundred steps, but looks that a check passes over, how many were foretold; and of a thousand that were, how many rightly.
    pub(crate) fn shares(&self) -> (usize, usize) {
        let all = self.all;
        (all.foretold() * 100 / all.all().max(1), (all.foretold() - all.wrong) * 1000 / all.foretold().max(1))
    }

    /// Sees that a check of fresh hosts foretold enough, and rightly.
    pub(crate) fn must_be_good(&self) {
        let (foretold, right) = self.shares();
        assert!(foretold >= FORETOLD && right >= RIGHT, "{foretold} % foretold, {right} of 1,000 rightly");
    }

    /// Shows it as a table.
    pub(crate) fn print(&self, title: &str) {
        println!("\n{title}\noperation          right  assumed   wrong  unknown  unheard   looks  other diff");
        for (op, tally) in &self.by_op {
            println!("{}", tally.row(op));
        }
        println!("{}", self.all.row("all"));
        for wrong in &self.wrong {
            println!("wrong: {wrong}");
        }
    }
}

/// The steps of a run but those of the smoke test, each with which of its like on its host it is. Hosts go on side by
/// side, and a check passes over what only waits, so nothing is told from the order.
fn numbered(run: &Run) -> BTreeMap<(String, String, usize), Done> {
    let mut seen = BTreeMap::<(String, String), usize>::new();
    let mut all = BTreeMap::new();
    for done in run.done_before(A_TEST) {
        let count = seen.entry((done.host.clone(), done.call.clone())).or_default();
        *count += 1;
        all.insert((done.host.clone(), done.call.clone(), *count), done);
    }
    all
}

/// Whether two diffs have other values, where both show them.
fn differs(told: &Value, came: &Value) -> bool {
    let fields = |diff: &Value| -> BTreeMap<String, (Value, Value)> {
        let fields = diff["fields"].as_array().cloned().unwrap_or_default();
        let field = |field: Value| (field["name"].to_string(), (field["before"].clone(), field["after"].clone()));
        fields.into_iter().map(field).collect()
    };
    !told.is_null() && !came.is_null() && fields(told) != fields(came)
}
