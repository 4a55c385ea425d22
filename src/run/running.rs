//! A run in progress: what all that goes on in it shares.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value};

use super::selection::Selection;
use super::throttle::StepThrottle;
use crate::control::{CompletedPlay, Control};
use crate::error::{Error, Kind, Place, Result};
use crate::event::{EventKind, Events};
use crate::fleet::{Fleet, Notified};
use crate::inventory::{COMMAND_LINE, Inventory, LEARNED, Way};
use crate::state::Learned;
use crate::wire::Mode;

/// What the command line decided.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    /// The hosts that `on` may run on; `None` for all.
    pub limit: Option<BTreeSet<String>>,
    /// The tasks to run; empty for all.
    pub tags: Vec<String>,
    /// Pass the output of commands on while they run.
    pub stream: bool,
    /// Skip the playbooks that completed before with the same inputs.
    pub resume: bool,
    /// Give every step a round trip of its own.
    pub one_by_one: bool,
}

/// A run in progress.
pub(crate) struct Run {
    /// The hosts and the way to them.
    pub fleet: Fleet,
    /// This side's half of the operations.
    pub control: Arc<Control>,
    /// Hosts, groups and variables.
    pub inventory: Arc<Inventory>,
    /// Where happenings are told.
    pub events: Events,
    /// What the command line decided.
    pub settings: Settings,
    /// The tasks among them.
    pub selection: Selection,
    failed: Mutex<BTreeMap<String, Error>>,
    /// What failed under `keep_going`.
    kept: Mutex<Vec<Error>>,
    unpredicted: Mutex<BTreeMap<String, Error>>,
    /// The first assumption that the script of each host, or the one outside of any `on`, has gone on with.
    assumptions: Mutex<BTreeMap<Option<String>, Place>>,
    /// A check has foretold a change: what is missing may come with it.
    foretold: AtomicBool,
    notified: Mutex<BTreeMap<String, Vec<Arc<Notified>>>>,
    facts: Mutex<BTreeMap<String, Map<String, Value>>>,
    throttles: Mutex<BTreeMap<String, Arc<StepThrottle>>>,
    /// What this run learned, and, as `None`, variables that only an earlier one had learned and this one forgot.
    learned: Mutex<BTreeMap<String, BTreeMap<String, Option<Value>>>>,
    played: AtomicBool,
    completed: Mutex<Vec<CompletedPlay>>,
}

impl Run {
    /// A run that has not begun.
    pub(crate) fn new(
        fleet: Fleet,
        control: Arc<Control>,
        inventory: Arc<Inventory>,
        events: Events,
        settings: Settings,
    ) -> Self {
        control.texts.in_mode(fleet.mode());
        Self {
            fleet,
            control,
            inventory,
            events,
            selection: Selection::new(&settings.tags),
            settings,
            failed: Mutex::default(),
            kept: Mutex::default(),
            unpredicted: Mutex::default(),
            assumptions: Mutex::default(),
            foretold: AtomicBool::default(),
            notified: Mutex::default(),
            facts: Mutex::default(),
            throttles: Mutex::default(),
            learned: Mutex::default(),
            played: AtomicBool::default(),
            completed: Mutex::default(),
        }
    }

    /// Tells that the run begins; `name` is its playbook's, or what is done without one.
    pub(crate) fn started(&self, name: &str) {
        self.events.tell(EventKind::RunStarted {
            playbook: name.to_owned(),
            inventory: self.inventory.file().display().to_string(),
            mode: self.fleet.mode(),
        });
    }

    /// Whether a host takes part in the `on`s that are still to come.
    pub(crate) fn takes_part(&self, host: &str) -> bool {
        self.within_limit(host) && !lock(&self.failed).contains_key(host) && !lock(&self.unpredicted).contains_key(host)
    }

    /// Whether `--limit` leaves a host. It chooses among the inventory's: `local()` need not be one of them.
    pub(crate) fn within_limit(&self, host: &str) -> bool {
        let limit = self.settings.limit.as_ref();
        limit.is_none_or(|limit| limit.contains(host) || self.inventory.host(host).is_err())
    }

    /// Whether a host may be the machine that mk runs on.
    pub(crate) fn is_here(&self, host: &str) -> bool {
        let found = self.inventory.host(host);
        found.map_or(true, |host| host.ways.is_empty() || host.ways.contains(&Way::Local {}))
    }

    /// Takes a host out of the rest of the run.
    pub(crate) fn fail(&self, host: &str, error: &Error) {
        if lock(&self.failed).insert(host.to_owned(), error.clone()).is_none() {
            self.events.tell(EventKind::HostFailed { host: host.to_owned(), error: error.clone() });
        }
    }

    /// Notes that a host failed and stays in the run all the same.
    pub(crate) fn keep(&self, host: &str, error: &Error) {
        lock(&self.kept).push(error.clone());
        self.events.tell(EventKind::HostKept { host: host.to_owned(), error: error.clone() });
    }

    /// Everything that failed so far and was not caught, of hosts that are out and of those that stayed.
    pub(crate) fn faults(&self) -> Vec<Error> {
        self.failures().into_values().chain(lock(&self.kept).clone()).collect()
    }

    /// Ends the prediction of a host in a check.
    pub(crate) fn unpredict(&self, host: &str, error: &Error) {
        if lock(&self.unpredicted).insert(host.to_owned(), error.clone()).is_none() {
            let (reason, place) = (error.to_string(), error.place().cloned());
            self.events.tell(EventKind::Unpredicted { host: host.to_owned(), reason, place });
        }
    }

    /// Why the prediction of a host ended, in a check.
    pub(crate) fn unpredicted(&self, host: &str) -> Option<Error> {
        lock(&self.unpredicted).get(host).cloned()
    }

    /// A script has read what a step is only assumed to have given, in a host's part or outside of any.
    pub(crate) fn goes_on_with_an_assumption(&self, host: Option<&String>, place: &Place) {
        lock(&self.assumptions).entry(host.cloned()).or_insert_with(|| place.clone());
    }

    /// A check foretells a change, on whatever host.
    pub(super) fn foretells_a_change(&self) {
        self.foretold.store(true, Ordering::Relaxed);
    }

    /// Whether a check has foretold a change. Where it has not, nothing that is missing is still to come.
    pub(super) fn has_foretold_a_change(&self) -> bool {
        self.foretold.load(Ordering::Relaxed)
    }

    /// What the steps of a host rest on from now on, in a check.
    pub(super) fn assumption(&self, host: &str) -> Option<Place> {
        let assumptions = lock(&self.assumptions);
        assumptions.get(&None).or_else(|| assumptions.get(&Some(host.to_owned()))).cloned()
    }

    /// The hosts that failed, and why.
    pub(crate) fn failures(&self) -> BTreeMap<String, Error> {
        lock(&self.failed).clone()
    }

    /// Why a host is out of the run.
    pub(crate) fn failure(&self, host: &str) -> Option<Error> {
        lock(&self.failed).get(host).cloned()
    }

    /// Remembers a step to run on a host at the end of its `on`; the same step only once, wherever it was notified.
    pub(crate) fn notify(&self, host: &str, step: Arc<Notified>) {
        let mut notified = lock(&self.notified);
        let steps = notified.entry(host.to_owned()).or_default();
        if !steps.iter().any(|known| known.is(&step)) {
            steps.push(step);
        }
    }

    /// The throttle of a notified step.
    pub(super) fn throttle(&self, name: &str) -> Arc<StepThrottle> {
        Arc::clone(lock(&self.throttles).entry(name.to_owned()).or_default())
    }

    /// Takes the steps that were notified for a host.
    pub(crate) fn take_notified(&self, host: &str) -> Vec<Arc<Notified>> {
        lock(&self.notified).remove(host).unwrap_or_default()
    }

    /// The hosts that have notified steps.
    pub(crate) fn hosts_notified(&self) -> Vec<String> {
        lock(&self.notified).keys().cloned().collect()
    }

    /// Remembers that a playbook called another one.
    pub(crate) fn has_played(&self) {
        self.played.store(true, Ordering::Relaxed);
    }

    /// Whether a playbook called another one.
    pub(crate) fn played(&self) -> bool {
        self.played.load(Ordering::Relaxed)
    }

    /// Remembers a playbook that has completed when the run's last steps end well.
    pub(crate) fn complete_later(&self, completed: CompletedPlay) {
        lock(&self.completed).push(completed);
    }

    /// Takes the playbooks that waited for the run's last steps.
    pub(crate) fn take_completed(&self) -> Vec<CompletedPlay> {
        std::mem::take(&mut lock(&self.completed))
    }

    /// The facts of a host, read once a run by `read`.
    ///
    /// # Errors
    /// Those of `read`.
    pub(crate) fn facts(
        &self,
        host: &str,
        read: impl FnOnce() -> Result<Map<String, Value>>,
    ) -> Result<Map<String, Value>> {
        if let Some(known) = lock(&self.facts).get(host) {
            return Ok(known.clone());
        }
        let facts = read()?;
        lock(&self.facts).insert(host.to_owned(), facts.clone());
        Ok(facts)
    }

    /// Forgets the facts of a host: after a reboot they are others.
    pub(crate) fn forget_facts(&self, host: &str) {
        lock(&self.facts).remove(host);
    }

    /// The variables of a host; those of everything for a host that is not in the inventory.
    pub(crate) fn vars(&self, host: &str) -> Map<String, Value> {
        let mut vars = self.inventory.vars(host).unwrap_or_else(|_| self.inventory.vars_of_all());
        for (key, value) in lock(&self.learned).get(host).into_iter().flatten() {
            match value {
                Some(value) => drop(vars.insert(key.clone(), value.clone())),
                None => drop(vars.remove(key)),
            }
        }
        vars
    }

    /// Keeps what a playbook learned of a host, for the rest of this run and, unless it only checks, for later ones.
    /// What the command line says of that variable still wins.
    ///
    /// # Errors
    /// For a host that the inventory does not have, and when the state cannot be written.
    pub(crate) fn learn(&self, host: &str, key: &str, value: Value, place: &Place) -> Result {
        self.inventory.host(host).map_err(|e| e.as_kind(Kind::Playbook))?;
        if self.fleet.mode() == Mode::Apply {
            let by = format!("{}:{}", place.file, place.line);
            self.control.state.learn(host, key, Learned { value: value.clone(), by })?;
        }
        let winner =
            self.inventory.why(host, key).ok().and_then(|chain| chain.first().map(|winner| winner.origin.clone()));
        if winner.is_none_or(|origin| origin.label != COMMAND_LINE) {
            lock(&self.learned).entry(host.to_owned()).or_default().insert(key.to_owned(), Some(value));
        }
        Ok(())
    }

    /// Forgets what this run or an earlier one learned of a host's variable: what the inventory says of it counts again.
    ///
    /// # Errors
    /// For a host that the inventory does not have, and when the state cannot be written.
    pub(crate) fn unlearn(&self, host: &str, key: &str) -> Result {
        self.inventory.host(host).map_err(|e| e.as_kind(Kind::Playbook))?;
        if self.fleet.mode() == Mode::Apply {
            self.control.state.unlearn(host, key)?;
        }
        // Nobody else has said anything where there is an error.
        let chain = self.inventory.why(host, key).unwrap_or_default();
        let given = chain.iter().find(|variable| !variable.origin.label.starts_with(LEARNED));
        let given = given.map(|variable| variable.value.clone());
        lock(&self.learned).entry(host.to_owned()).or_default().insert(key.to_owned(), given);
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
