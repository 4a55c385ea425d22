//! `mk hostkeys scan`: all unknown keys in one question.

use std::io::{BufRead, IsTerminal};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args as ClapArgs, Subcommand};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::args::{Common, Reach};
use super::exit::of_run;
use super::out::{self, complain};
use super::project::Project;
use super::setup;
use crate::error::{Context, Error, Kind, Result};
use crate::inventory::{Inventory, Way};
use crate::transport::{ScannedKey, Verdict};
use crate::trust::Guard;

/// Look at the keys of hosts before they are trusted.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// What to do.
    #[command(subcommand)]
    command: Command,
}

/// What to do with the keys of hosts.
#[derive(Debug, Subcommand)]
enum Command {
    /// Show the keys of hosts of which nothing is known, ask once, and record them.
    Scan {
        /// The hosts, as a pattern.
        pattern: String,
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        reach: Reach,
        /// Record them without asking.
        #[arg(short, long)]
        yes: bool,
    },
}

/// Does what was asked.
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let Command::Scan { pattern, common, reach, yes } = &args.command;
    scan(pattern, common, reach, *yes)
}

/// What a host showed.
type Shown = (String, Result<Vec<ScannedKey>>);

/// Shows the keys of hosts of which nothing is known, asks once, and records them.
fn scan(pattern: &str, common: &Common, reach: &Reach, yes: bool) -> Result<ExitCode> {
    let folder = std::env::current_dir().unwrap_or_default();
    let project = Project::of(&folder, setup::guard(common)?)?;
    let inventory = Arc::new(setup::inventory(common, &project)?);
    let mut names: Vec<String> = inventory.select(pattern)?.iter().map(|host| host.name.clone()).collect();
    let runtime = tokio::runtime::Runtime::new().or_kind(Kind::Internal, || "cannot start the runtime".to_owned())?;
    let mut faults = Vec::new();
    loop {
        let (mut new, mut refused, mut later) = (Vec::new(), Vec::new(), Vec::new());
        for (host, shown) in runtime.block_on(look(&inventory, reach, &project.guard, names)) {
            match shown {
                Ok(keys) => sort(&host, keys, &mut new, &mut refused),
                Err(error) => later.push((host, error)),
            }
        }
        faults.append(&mut refused);
        if !new.is_empty() {
            show(&new);
            if !yes && !agreed(new.len())? {
                complain!("nothing was recorded");
                faults.extend(later.into_iter().map(|(_, error)| error));
                break;
            }
            for (_, key) in &new {
                key.record()?;
            }
            complain!("recorded");
        }
        // A host behind one whose key was unknown can be looked at now.
        let behind = |error: &Error| error.kind() == Kind::HostKey;
        let (again, lost): (Vec<_>, Vec<_>) = later.into_iter().partition(|(_, error)| behind(error));
        faults.extend(lost.into_iter().map(|(_, error)| error));
        if new.is_empty() || again.is_empty() {
            faults.extend(again.into_iter().map(|(_, error)| error));
            break;
        }
        names = again.into_iter().map(|(host, _)| host).collect();
    }
    for fault in &faults {
        out::fault(fault);
    }
    Ok(ExitCode::from(of_run(faults.iter(), false)))
}

/// Looks at the keys of all hosts, as many at a time as the forks allow.
async fn look(inventory: &Arc<Inventory>, reach: &Reach, guard: &Guard, names: Vec<String>) -> Vec<Shown> {
    let dialer = Arc::new(setup::dialer(reach, None, &crate::secret::Secrets::default(), guard));
    let forks = Arc::new(Semaphore::new(reach.forks.max(1)));
    let mut looking = JoinSet::new();
    for (index, name) in names.into_iter().enumerate() {
        let (dialer, forks, inventory) = (Arc::clone(&dialer), Arc::clone(&forks), Arc::clone(inventory));
        looking.spawn(async move {
            let _turn = forks.acquire().await;
            let hops = |name: &str| inventory.host(name).ok().map(|host| host.ways.clone());
            let mut shown = Ok(Vec::new());
            for way in hops(&name).unwrap_or_default() {
                if let Way::Ssh(way) = way {
                    shown = dialer.scan(&name, &way, &hops).await;
                    if shown.is_ok() {
                        break;
                    }
                }
            }
            (index, (name, shown))
        });
    }
    let mut all = looking.join_all().await;
    for notice in dialer.notices() {
        complain!("warning: {notice}");
    }
    all.sort_by_key(|(index, _)| *index);
    all.into_iter().map(|(_, shown)| shown).collect()
}

/// Keys that may be recorded, and faults about those that may not.
fn sort(host: &str, keys: Vec<ScannedKey>, new: &mut Vec<(String, ScannedKey)>, refused: &mut Vec<Error>) {
    let known = keys.iter().any(|key| matches!(key.verdict, Some(Verdict::Match(_))));
    for key in keys {
        let error = match &key.verdict {
            None | Some(Verdict::Match(_)) => continue,
            Some(Verdict::Unknown { .. }) => {
                new.push((host.to_owned(), key));
                continue;
            }
            // A host that showed a known key is the right one; its other keys are not needed.
            Some(Verdict::NewType(_)) if known => continue,
            Some(Verdict::NewType(others)) => others.iter().fold(
                Error::new(Kind::HostKey, format!("the host key of `{host}` is of another type than the known one")),
                |error, other| error.because(format!("expected {other}")),
            ),
            Some(Verdict::Changed(others)) => others
                .iter()
                .fold(Error::new(Kind::HostKey, format!("the host key of `{host}` has changed")), |error, other| {
                    error.because(format!("expected {other}"))
                }),
            Some(Verdict::Revoked(place)) => {
                Error::new(Kind::HostKey, format!("the host key of `{host}` is revoked")).at(place.clone())
            }
        };
        let error = error.because(format!("got {} {}", algorithm(&key), key.fingerprint)).on(host);
        refused.push(error.hint("ask whoever runs the host; then take the old line out, and scan again"));
    }
}

fn algorithm(key: &ScannedKey) -> &str {
    key.key.split(' ').next().unwrap_or_default()
}

/// The keys, and where they would be recorded.
fn show(keys: &[(String, ScannedKey)]) {
    let mut file = None;
    for (host, key) in keys {
        if file != key.file {
            file.clone_from(&key.file);
            complain!("for `{}`:", file.as_deref().unwrap_or(std::path::Path::new("?")).display());
        }
        let name = if key.name == *host { String::new() } else { format!("  ({})", key.name) };
        complain!("  {host:<14} {:<20} {}{name}", algorithm(key), key.fingerprint);
    }
}

fn agreed(count: usize) -> Result<bool> {
    let s = if count == 1 { "this key" } else { "these keys" };
    out::ask(&format!("record {s}? nothing vouches for them but your own look (yes/no) "));
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).or_kind(Kind::Usage, || "cannot read the answer".to_owned())?;
    if !std::io::stdin().is_terminal() {
        complain!();
    }
    Ok(answer.trim() == "yes")
}
