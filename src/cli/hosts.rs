//! What is done to each host of a pattern without a playbook: `mk facts`, `mk agent remove`, and `mk do`'s steps.

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value, json};

use super::args::{Common, Connecting, Facts, Reach};
use super::exit::of_run;
use super::out::{self, say};
use super::setup::{self, Ready, Telling};
use crate::error::{Error, Result};
use crate::script::{self, Settings, World};

/// The hosts of a pattern. `local` is this machine also where no inventory names it.
pub(super) fn named(world: &World, pattern: &str) -> Result<Vec<String>> {
    match pattern {
        "local" if world.inventory.host("local").is_err() => Ok(vec!["local".to_owned()]),
        pattern => Ok(world.inventory.select(pattern)?.into_iter().map(|host| host.name.clone()).collect()),
    }
}

/// Does something on several hosts, as many at a time as the forks allow, and gives what failed.
pub(super) fn each(world: &Arc<World>, names: Vec<String>, work: impl Fn(&str) -> Result + Sync) -> Vec<Error> {
    let next = Mutex::new(names.into_iter());
    let faults = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..world.fleet.forks() {
            scope.spawn(|| {
                loop {
                    let host = next.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some(host) = host else { return };
                    if let Err(error) = work(&host) {
                        faults.lock().unwrap_or_else(PoisonError::into_inner).push(error);
                    }
                }
            });
        }
    });
    faults.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// A world in which nothing is told but what the command itself prints and what fails.
fn silent(common: &Common, reach: &Reach) -> Result<Ready> {
    let folder = std::env::current_dir().unwrap_or_default();
    let connecting = Connecting { reach: reach.clone(), quiet: true, ..Connecting::default() };
    setup::world(&folder, common, &connecting, Settings::default(), None, Telling { aside: true, ..Telling::default() })
}

/// Prints faults that no reporter has shown, and gives the exit code.
fn ended(faults: &[Error]) -> ExitCode {
    for fault in faults {
        out::fault(fault);
    }
    ExitCode::from(of_run(faults.iter(), false))
}

/// `mk facts`: a map by host name.
pub(super) fn facts(args: &Facts) -> Result<ExitCode> {
    let ready = silent(&args.common, &args.reach)?;
    let world = Arc::clone(&ready.world);
    let mut parameters = Map::new();
    if !args.only.is_empty() {
        parameters.insert("only".to_owned(), json!(args.only));
    }
    script::checked("facts", &parameters)?;
    let found: Mutex<Map<String, Value>> = Mutex::default();
    let folder = std::env::current_dir().unwrap_or_default();
    let names = named(&world, &args.pattern)?;
    let faults = each(&world, names.clone(), |host| {
        let outcome = script::ad_hoc(&world, host, "facts", parameters.clone(), &folder)?;
        let facts = Value::Object(outcome.values);
        found.lock().unwrap_or_else(PoisonError::into_inner).insert(host.to_owned(), facts);
        Ok(())
    });
    drop(world);
    ready.end();
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    let sorted: Map<String, Value> =
        names.into_iter().filter_map(|name| found.remove(&name).map(|facts| (name, facts))).collect();
    out::json(&Value::Object(sorted));
    // A step that failed was shown when it did.
    let unsaid: Vec<Error> = faults.iter().filter(|fault| fault.step_name().is_none()).cloned().collect();
    ended(&unsaid);
    Ok(ExitCode::from(of_run(faults.iter(), false)))
}

/// `mk agent remove`.
pub(super) fn remove_agent(pattern: &str, common: &Common, reach: &Reach) -> Result<ExitCode> {
    let ready = silent(common, reach)?;
    let world = Arc::clone(&ready.world);
    let names = named(&world, pattern)?;
    let faults = each(&world, names, |host| {
        let gone = world.fleet.remove_agent(host)?;
        let what =
            if gone.is_empty() { "nothing was there".to_owned() } else { format!("removed {}", gone.join(", ")) };
        say!("{host:<14} {what}");
        Ok(())
    });
    drop(world);
    ready.end();
    Ok(ended(&faults))
}
