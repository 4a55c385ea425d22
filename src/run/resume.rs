//! `--resume`: the notes of playbooks that completed, and whether they still hold.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use serde_json::{Value, json};

use super::running::Run;
use crate::change::digest;
use crate::control::{CompletedPlay, Found, InputDigests, Inputs};
use crate::error::Result;
use crate::event::EventKind;
use crate::wire::Mode;

/// Forgets all notes, unless the run only checks.
///
/// # Errors
/// When mk's state cannot be written.
pub(crate) fn forget_completed(run: &Run) -> Result {
    match run.fleet.mode() {
        Mode::Check => Ok(()),
        Mode::Apply => run.control.completed.forget_all(),
    }
}

/// The note of a playbook that completed with the same inputs as now, on the same machines.
pub(crate) fn still_holds(run: &Arc<Run>, found: &Found, shown: &str) -> Result<Option<CompletedPlay>> {
    let Some(done) = run.control.completed.get(&found.name(), &chosen(run))? else { return Ok(None) };
    let changed = done.inputs.changed(&given(run), |input| run.control.sources.taken_now(input));
    let Some(changed) = changed.or_else(|| other_machine(run, &done.inputs.machines)) else {
        return Ok(Some(done));
    };
    let text = format!("{shown} completed {}, but not with what is now {changed}", done.at);
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
pub(crate) fn completed(run: &Arc<Run>, found: &Found, read: InputDigests) -> Result {
    if run.fleet.mode() == Mode::Check || !run.faults().is_empty() {
        return Ok(());
    }
    let inputs = Inputs { read, given: given(run), machines: run.fleet.machines() };
    let at = jiff::Timestamp::now().strftime("%F %T UTC").to_string();
    let completed = CompletedPlay { playbook: found.name(), at, inputs };
    if run.hosts_notified().is_empty() {
        return run.control.completed.put(&chosen(run), &completed);
    }
    // Steps notified outside of any `on` run when the script ends, and may fail.
    run.complete_later(completed);
    Ok(())
}

/// Notes the playbooks that waited for the end of the run.
pub(crate) fn settle(run: &Run) -> Result {
    if !run.faults().is_empty() {
        return Ok(());
    }
    run.take_completed().iter().try_for_each(|completed| run.control.completed.put(&chosen(run), completed))
}

/// The choice of hosts and tasks that a note is for.
fn chosen(run: &Run) -> String {
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
