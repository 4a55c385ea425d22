//! `mk prune`: taking away what mk made on hosts.

use std::io::{BufRead, IsTerminal};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args as ClapArgs;

use super::args::{Common, Connecting};
use super::hosts;
use super::ledger::is_by;
use super::out::{self, complain};
use super::setup::{self, Telling};
use crate::error::{Context, Error, Kind, Place, Result};
use crate::event::EventKind;
use crate::inventory::COMMAND_LINE;
use crate::run::{self, Host, Scope, Settings};
use crate::state::Entry;
use crate::wire::Mode;

/// Take away what mk made on hosts, the last first. What was there before mk stays.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// The hosts, as a pattern. All of the inventory by default.
    pattern: Option<String>,
    /// Only show what would be taken away: the same as `--check`.
    #[arg(long)]
    plan: bool,
    /// Take it away without asking.
    #[arg(short, long)]
    yes: bool,
    /// Only what calls in files with this in their path made, such as `07-etcd` or `worker.rhai`.
    #[arg(long, value_name = "FILE")]
    by: Option<String>,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    connecting: Connecting,
}

/// Takes away what the ledger has of hosts.
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let folder = std::env::current_dir().unwrap_or_default();
    let connecting = Connecting { check: args.plan || args.connecting.check, ..args.connecting.clone() };
    let common: &Common = &args.common;
    let ready = setup::ready(&folder, common, &connecting, Settings::default(), None, Telling::default())?;
    let run = Arc::clone(&ready.run);
    let pattern = args.pattern.as_deref().unwrap_or("all");
    let names = hosts::named(&run, pattern)?;
    let by = args.by.as_deref();
    if run.fleet.mode() == Mode::Apply && !args.yes {
        let mut counts = Vec::new();
        for name in &names {
            let count = run.fleet.ledger.made(name, None)?.iter().filter(|entry| is_by(entry, by)).count();
            counts.push((name.as_str(), count));
        }
        if !agreed(&counts)? {
            complain!("nothing was taken away");
            return Ok(ExitCode::SUCCESS);
        }
    }
    let here = Place::new(COMMAND_LINE, 0, 0);
    let work = |host: &str| {
        let made = run.fleet.made(host)?;
        let made: Vec<Entry> = made.into_iter().filter(|entry| is_by(entry, by)).collect();
        for subject in run::unmake(&Scope::new(&run), &Host::new(&run, host), &made, &here)?.kept {
            let text = format!("`{subject}` stays: something that mk did not make is in it");
            run.events.tell(EventKind::Said { host: Some(host.to_owned()), warning: true, text });
        }
        Ok(())
    };
    let faults = run::on_each(&run, "prune", names, work, run::flush_earlier);
    drop(run);
    let checked = connecting.check && connecting.exit_code;
    Ok(hosts::finished(ready, &faults, |recap| checked && recap.would_change()))
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
