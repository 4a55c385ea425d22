//! `play`: a playbook run from another one, and `--resume`, which skips those that completed before.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use rhai::{Dynamic, Engine, EvalAltResult, NativeCallContext};
use serde_json::{Value, json};

use super::fault::{raise, shown, throw};
use super::pipelining;
use super::running::Run;
use super::scope::current_scope;
use crate::change::digest;
use crate::control::{Base, CompletedPlay, Found, InputDigests, Inputs};
use crate::error::Result;
use crate::event::EventKind;
use crate::wire::Mode;

type Raised<T> = std::result::Result<T, Box<EvalAltResult>>;

pub(super) fn register(engine: &mut Engine, run: &Arc<Run>) {
    let shared = Arc::clone(run);
    engine.register_fn("play", move |context: NativeCallContext, path: &str| -> Raised<Dynamic> {
        pipelining::first(&context)?;
        let tracking = shared.control.sources.inputs.begin();
        let result = play(&context, &shared, path, tracking);
        drop(shared.control.sources.inputs.end(tracking));
        result
    });
    let shared = Arc::clone(run);
    engine.register_fn("forget_completed", move |context: NativeCallContext| -> Raised<()> {
        match shared.fleet.mode() {
            Mode::Check => Ok(()),
            Mode::Apply => shared.control.forget_completed().map_err(|e| throw(&context, e)),
        }
    });
}

fn play(context: &NativeCallContext, run: &Arc<Run>, path: &str, tracking: u64) -> Raised<Dynamic> {
    let fail = |e| throw(context, e);
    let base = Base::of(context.call_source().unwrap_or_default());
    let found = run.control.sources.find(&base, Path::new(path)).map_err(fail)?;
    run.has_played();
    // What runs once a host is neither noted nor skipped: one host's good end says nothing of the others'.
    let whole = current_scope().host.is_none();
    if whole
        && run.settings.resume
        && let Some(done) = still_holds(run, &found).map_err(fail)?
    {
        // What the skipped one would read is read by whoever plays it.
        run.control.sources.inputs.note_all(&done.inputs.read);
        run.events.tell(EventKind::PlaySkipped { playbook: shown(&found.name()), completed: done.at });
        return Ok(Dynamic::UNIT);
    }
    run.events.tell(EventKind::PlayStarted { playbook: shown(&found.name()) });
    let begun = Instant::now();
    let value = super::run::script(context.engine(), run, &found);
    run.events.named(&shown(&found.name()), current_scope().host.as_deref(), begun);
    let value = value.map_err(|error| raise(error, context.call_position()))?;
    if whole {
        let read = run.control.sources.inputs.end(tracking);
        completed(run, &found, read).map_err(fail)?;
    }
    Ok(value)
}

/// The note of a playbook that completed with the same inputs as now, on the same machines.
fn still_holds(run: &Arc<Run>, found: &Found) -> Result<Option<CompletedPlay>> {
    let Some(done) = run.control.completed(&found.name(), &scope(run))? else { return Ok(None) };
    let changed = done.inputs.changed(&given(run), |input| run.control.sources.taken_now(input));
    let Some(changed) = changed.or_else(|| other_machine(run, &done.inputs.machines)) else {
        return Ok(Some(done));
    };
    let text = format!("{} completed {}, but not with what is now {changed}", shown(&found.name()), done.at);
    run.events.tell(EventKind::Said { host: None, warning: false, text });
    Ok(None)
}

/// The first of these hosts that is no longer the machine it was, or cannot be asked.
fn other_machine(run: &Run, machines: &BTreeMap<String, String>) -> Option<String> {
    std::thread::scope(|scope| {
        let asked: Vec<_> = machines
            .iter()
            .map(|(host, machine)| {
                let same = move || run.fleet.hello(host).is_ok_and(|hello| hello.machine == *machine);
                (host, scope.spawn(same))
            })
            .collect();
        let differ = asked.into_iter().filter_map(|(host, same)| (!same.join().unwrap_or(false)).then_some(host));
        differ.collect::<Vec<_>>().first().map(|host| format!("the machine `{host}`"))
    })
}

/// Notes that a playbook completed: not in a check, and not while any host is out of the run.
fn completed(run: &Arc<Run>, found: &Found, read: InputDigests) -> Result {
    if run.fleet.mode() == Mode::Check || !run.failures().is_empty() {
        return Ok(());
    }
    let inputs = Inputs { read, given: given(run), machines: run.fleet.machines() };
    let at = jiff::Timestamp::now().strftime("%F %T UTC").to_string();
    let completed = CompletedPlay { playbook: found.name(), at, inputs };
    if run.hosts_notified().is_empty() {
        return run.control.complete(&scope(run), &completed);
    }
    // Steps notified outside of any `on` run when the script ends, and may fail.
    run.complete_later(completed);
    Ok(())
}

/// Notes the playbooks that waited for the end of the run.
pub(super) fn settle(run: &Run) -> Result {
    if !run.failures().is_empty() {
        return Ok(());
    }
    run.take_completed().iter().try_for_each(|completed| run.control.complete(&scope(run), completed))
}

/// The choice of hosts and tasks that a note is for.
fn scope(run: &Run) -> String {
    json!([run.settings.limit, run.settings.tags]).to_string()
}

/// Digests of what a run is given, beside what its scripts read. Variables are those of the end: what a playbook
/// learned itself is no reason to run it again.
fn given(run: &Run) -> BTreeMap<String, String> {
    let sorted = |vars: serde_json::Map<String, Value>| json!(vars.into_iter().collect::<BTreeMap<_, _>>());
    let of = |value: &Value| digest(value.to_string().as_bytes());
    let inventory = &run.inventory;
    let hosts: Vec<Value> =
        inventory.hosts().iter().map(|host| json!([host.name, host.groups, host.become_user, host.ways])).collect();
    let groups: Vec<Value> = inventory.groups().iter().map(|group| json!([group.name, group.hosts])).collect();
    let mut given = BTreeMap::from([
        ("mk itself".to_owned(), build()),
        ("the hosts and groups of the inventory".to_owned(), of(&json!([hosts, groups]))),
        ("the variables of all hosts".to_owned(), of(&sorted(inventory.vars_of_all()))),
    ]);
    for host in inventory.hosts() {
        given.insert(format!("the variables of `{}`", host.name), of(&sorted(run.vars(&host.name))));
    }
    given
}

/// Which executable this is. Every installation has its own, so that another build is never taken for this one.
fn build() -> String {
    let version = env!("CARGO_PKG_VERSION");
    match std::env::current_exe().and_then(std::fs::metadata) {
        Ok(meta) => {
            let times = [meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()];
            format!("{version} {} {} {} {times:?}", meta.dev(), meta.ino(), meta.size())
        }
        Err(_) => format!("{version}, started by process {}, replaced since", std::process::id()),
    }
}
