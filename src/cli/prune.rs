//! `mk ledger` and `mk prune`: what mk made on hosts, and taking it away.

use std::io::{BufRead, IsTerminal};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value, json};

use super::args::{Common, Connecting, Ledger, Prune};
use super::exit::of_run;
use super::hosts;
use super::out::{self, complain, say};
use super::project::Project;
use super::setup::{self, Telling};
use crate::error::{Context, Error, Kind, Result};
use crate::event::What;
use crate::script::{self, Settings};
use crate::state::{Entry, State};
use crate::wire::Mode;

/// Whether a thing was made by a call in a file of that name.
fn is_by(entry: &Entry, by: Option<&str>) -> bool {
    by.is_none_or(|by| entry.by.as_deref().is_some_and(|place| place.contains(by)))
}

/// Prints what the ledger has; connects to nothing.
pub(super) fn ledger(args: &Ledger) -> Result<ExitCode> {
    let folder = std::env::current_dir().unwrap_or_default();
    let project = Project::of(&folder)?;
    let inventory = setup::inventory(&args.common, &project)?;
    let ledger = State::of(&project.folder, inventory.file()).ledger();
    // Without a pattern, also the hosts that have left the inventory.
    let names = match &args.pattern {
        Some(pattern) => inventory.select(pattern)?.into_iter().map(|host| host.name.clone()).collect(),
        None => ledger.hosts()?,
    };
    let mut all = Map::new();
    for name in names {
        let made = ledger.made(&name, None)?;
        let made: Vec<Entry> = made.into_iter().filter(|entry| is_by(entry, args.by.as_deref())).collect();
        if args.json {
            all.insert(name, json!(made));
            continue;
        }
        for entry in made {
            let by = entry.by.as_deref().unwrap_or("?");
            say!("{name:<14} {:<14} {}  ({by}, {})", entry.op, entry.subject, when(entry.at));
        }
    }
    if args.json {
        out::json(&Value::Object(all));
    }
    Ok(ExitCode::SUCCESS)
}

fn when(at: i64) -> String {
    jiff::Timestamp::from_second(at).map(|at| at.strftime("%F %T UTC").to_string()).unwrap_or_default()
}

/// Takes away what the ledger has of hosts.
pub(super) fn prune(args: &Prune) -> Result<ExitCode> {
    let folder = std::env::current_dir().unwrap_or_default();
    let connecting = Connecting { check: args.plan || args.connecting.check, ..args.connecting.clone() };
    let common: &Common = &args.common;
    let ready = setup::world(&folder, common, &connecting, Settings::default(), None, Telling::default())?;
    let world = Arc::clone(&ready.world);
    let pattern = args.pattern.as_deref().unwrap_or("all");
    let names = hosts::named(&world, pattern)?;
    let by = args.by.as_deref();
    if world.fleet.mode() == Mode::Apply && !args.yes {
        let mut counts = Vec::new();
        for name in &names {
            let count = world.fleet.ledger.made(name, None)?.iter().filter(|entry| is_by(entry, by)).count();
            counts.push((name.as_str(), count));
        }
        if !agreed(&counts)? {
            complain!("nothing was taken away");
            return Ok(ExitCode::SUCCESS);
        }
    }
    world.events.tell(What::RunStarted {
        playbook: "prune".to_owned(),
        inventory: world.inventory.file().display().to_string(),
        mode: world.fleet.mode(),
    });
    let kept = Mutex::new(Vec::new());
    let faults = hosts::each(&world, names, |host| {
        let made = world.fleet.made(host)?;
        let made: Vec<Entry> = made.into_iter().filter(|entry| is_by(entry, by)).collect();
        let unmade = script::unmake(&world, host, &made).inspect_err(|error| world.fail(host, error))?;
        let left = unmade.kept.into_iter().map(|subject| (host.to_owned(), subject));
        kept.lock().unwrap_or_else(PoisonError::into_inner).extend(left);
        Ok(())
    });
    for (host, subject) in kept.into_inner().unwrap_or_else(PoisonError::into_inner) {
        let text = format!("`{subject}` stays: something that mk did not make is in it");
        world.events.tell(What::Said { host: Some(host), warning: true, text });
    }
    world.events.tell(What::RunDone { error: None });
    drop(world);
    let recap = ready.end();
    for fault in faults.iter().filter(|fault| fault.step_name().is_none()) {
        out::fault(fault);
    }
    let foretold = connecting.check && connecting.exit_code && recap.would_change();
    Ok(ExitCode::from(of_run(faults.iter().chain(&recap.unwritten), foretold)))
}

/// Asks whether it is meant.
fn agreed(counts: &[(&str, usize)]) -> Result<bool> {
    let all: usize = counts.iter().map(|(_, count)| count).sum();
    if all == 0 {
        complain!("the ledger has nothing of these hosts");
        return Ok(false);
    }
    if !std::io::stdin().is_terminal() {
        return Err(Error::usage(format!("{all} things would be taken away, and nobody is there to agree"))
            .hint("`--plan` shows them, `--yes` agrees"));
    }
    for (host, count) in counts.iter().filter(|(_, count)| *count > 0) {
        complain!("{host:<14} {count} things");
    }
    out::ask("take all of them away, with what has come into those files? (yes/no) ");
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).or_kind(Kind::Usage, || "cannot read the answer".to_owned())?;
    Ok(answer.trim() == "yes")
}
