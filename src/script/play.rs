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
use super::scope::current_scope;
use super::world::World;
use crate::change::digest;
use crate::control::{Base, CompletedPlay, Found, InputDigests, Inputs};
use crate::error::Result;
use crate::event::EventKind;
use crate::wire::Mode;

type Raised<T> = std::result::Result<T, Box<EvalAltResult>>;

pub(super) fn register(engine: &mut Engine, world: &Arc<World>) {
    let shared = Arc::clone(world);
    engine.register_fn("play", move |context: NativeCallContext, path: &str| -> Raised<Dynamic> {
        pipelining::first(&context)?;
        let tracking = shared.control.sources.inputs.begin();
        let result = play(&context, &shared, path, tracking);
        drop(shared.control.sources.inputs.end(tracking));
        result
    });
    let shared = Arc::clone(world);
    engine.register_fn("forget_completed", move |context: NativeCallContext| -> Raised<()> {
        match shared.fleet.mode() {
            Mode::Check => Ok(()),
            Mode::Apply => shared.control.forget_completed().map_err(|e| throw(&context, e)),
        }
    });
}

fn play(context: &NativeCallContext, world: &Arc<World>, path: &str, tracking: u64) -> Raised<Dynamic> {
    let fail = |e| throw(context, e);
    let base = Base::of(context.call_source().unwrap_or_default());
    let found = world.control.sources.find(&base, Path::new(path)).map_err(fail)?;
    world.has_played();
    // What runs once a host is neither noted nor skipped: one host's good end says nothing of the others'.
    let whole = current_scope().host.is_none();
    if whole
        && world.settings.resume
        && let Some(done) = still_holds(world, &found).map_err(fail)?
    {
        // What the skipped one would read is read by whoever plays it.
        world.control.sources.inputs.note_all(&done.inputs.read);
        world.events.tell(EventKind::PlaySkipped { playbook: shown(&found.name()), completed: done.at });
        return Ok(Dynamic::UNIT);
    }
    world.events.tell(EventKind::PlayStarted { playbook: shown(&found.name()) });
    let begun = Instant::now();
    let value = super::run::script(context.engine(), world, &found);
    world.events.named(&shown(&found.name()), current_scope().host.as_deref(), begun);
    let value = value.map_err(|error| raise(error, context.call_position()))?;
    if whole {
        let read = world.control.sources.inputs.end(tracking);
        completed(world, &found, read).map_err(fail)?;
    }
    Ok(value)
}

/// The note of a playbook that completed with the same inputs as now, on the same machines.
fn still_holds(world: &Arc<World>, found: &Found) -> Result<Option<CompletedPlay>> {
    let Some(done) = world.control.completed(&found.name(), &scope(world))? else { return Ok(None) };
    let changed = done.inputs.changed(&given(world), |input| world.control.sources.taken_now(input));
    let Some(changed) = changed.or_else(|| other_machine(world, &done.inputs.machines)) else {
        return Ok(Some(done));
    };
    let text = format!("{} completed {}, but not with what is now {changed}", shown(&found.name()), done.at);
    world.events.tell(EventKind::Said { host: None, warning: false, text });
    Ok(None)
}

/// The first of these hosts that is no longer the machine it was, or cannot be asked.
fn other_machine(world: &World, machines: &BTreeMap<String, String>) -> Option<String> {
    std::thread::scope(|scope| {
        let asked: Vec<_> = machines
            .iter()
            .map(|(host, machine)| {
                let same = move || world.fleet.hello(host).is_ok_and(|hello| hello.machine == *machine);
                (host, scope.spawn(same))
            })
            .collect();
        let differ = asked.into_iter().filter_map(|(host, same)| (!same.join().unwrap_or(false)).then_some(host));
        differ.collect::<Vec<_>>().first().map(|host| format!("the machine `{host}`"))
    })
}

/// Notes that a playbook completed: not in a check, and not while any host is out of the run.
fn completed(world: &Arc<World>, found: &Found, read: InputDigests) -> Result {
    if world.fleet.mode() == Mode::Check || !world.failures().is_empty() {
        return Ok(());
    }
    let inputs = Inputs { read, given: given(world), machines: world.fleet.machines() };
    let at = jiff::Timestamp::now().strftime("%F %T UTC").to_string();
    let completed = CompletedPlay { playbook: found.name(), at, inputs };
    if world.hosts_notified().is_empty() {
        return world.control.complete(&scope(world), &completed);
    }
    // Steps notified outside of any `on` run when the script ends, and may fail.
    world.complete_later(completed);
    Ok(())
}

/// Notes the playbooks that waited for the end of the run.
pub(super) fn settle(world: &World) -> Result {
    if !world.failures().is_empty() {
        return Ok(());
    }
    world.take_completed().iter().try_for_each(|completed| world.control.complete(&scope(world), completed))
}

/// The choice of hosts and tasks that a note is for.
fn scope(world: &World) -> String {
    json!([world.settings.limit, world.settings.tags]).to_string()
}

/// Digests of what a run is given, beside what its scripts read. Variables are those of the end: what a playbook
/// learned itself is no reason to run it again.
fn given(world: &World) -> BTreeMap<String, String> {
    let sorted = |vars: serde_json::Map<String, Value>| json!(vars.into_iter().collect::<BTreeMap<_, _>>());
    let of = |value: &Value| digest(value.to_string().as_bytes());
    let inventory = &world.inventory;
    let hosts: Vec<Value> =
        inventory.hosts().iter().map(|host| json!([host.name, host.groups, host.become_user, host.ways])).collect();
    let groups: Vec<Value> = inventory.groups().iter().map(|group| json!([group.name, group.hosts])).collect();
    let mut given = BTreeMap::from([
        ("mk itself".to_owned(), build()),
        ("the hosts and groups of the inventory".to_owned(), of(&json!([hosts, groups]))),
        ("the variables of all hosts".to_owned(), of(&sorted(inventory.vars_of_all()))),
    ]);
    for host in inventory.hosts() {
        given.insert(format!("the variables of `{}`", host.name), of(&sorted(world.vars(&host.name))));
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
