//! `mk pending`: the steps that playbooks notified and that have not run yet.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Args as ClapArgs, Subcommand};

use super::args::{Common, Connecting};
use super::exit::of_run;
use super::hosts;
use super::out::say;
use super::project::Project;
use super::setup::{self, Telling};
use crate::error::{Error, Result};
use crate::event::EventKind;
use crate::script::{self, Settings};
use crate::state::StateDir;

/// The steps that playbooks notified and that have not run yet: list, run or forget them.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// What to do.
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List them as this machine keeps them, without connecting.
    List {
        /// The hosts, as a pattern. All by default, also those that have left the inventory.
        pattern: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Run them now.
    Run(Chosen),
    /// Strike them off, on the hosts and here, without running them.
    Forget(Chosen),
}

/// The steps of some hosts.
#[derive(Debug, ClapArgs)]
struct Chosen {
    /// The hosts, as a pattern.
    pattern: String,
    /// Only the step of this id, as `mk pending list` shows it.
    #[arg(long)]
    id: Option<String>,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    connecting: Connecting,
}

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    match &args.command {
        Command::List { pattern, common } => list(pattern.as_deref(), common),
        Command::Run(of) => on_hosts(of, "pending run", |run, host| {
            run.fleet.pending(host)?;
            let due = run.fleet.due_earlier(host);
            script::earlier(run, host, of.id.as_deref())?;
            Ok(due.iter().any(|(id, _)| of.id.as_ref() == Some(id)))
        }),
        Command::Forget(of) => on_hosts(of, "pending forget", |run, host| {
            let due = run.fleet.pending(host)?;
            let chosen = |id: &&str| of.id.as_deref().is_none_or(|only| only == *id);
            let ids: Vec<String> = due.iter().map(|due| due.id.as_str()).filter(chosen).map(str::to_owned).collect();
            run.fleet.forget_due(host, &ids)?;
            for due in due.iter().filter(|due| ids.contains(&due.id)) {
                say!("{host:<14} forgotten: {}", due.name);
            }
            Ok(!ids.is_empty())
        }),
    }
}

fn list(pattern: Option<&str>, common: &Common) -> Result<ExitCode> {
    let folder = std::env::current_dir().unwrap_or_default();
    let project = Project::of(&folder, setup::guard(common)?)?;
    let inventory = setup::inventory(common, &project)?;
    let pending = StateDir::of(&project.folder, inventory.file()).pending();
    let names = match pattern {
        Some(pattern) => inventory.select(pattern)?.into_iter().map(|host| host.name.clone()).collect(),
        None => pending.hosts()?,
    };
    for name in names {
        for (id, kept) in pending.of(&name)?.into_iter().filter(|(_, kept)| !kept.off) {
            let user = kept.user.map(|user| format!(" as {user}")).unwrap_or_default();
            say!("{name:<14} {id}  {} {}{user}  ({})", kept.op, kept.subject, kept.place);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Does it on every host; `work` says whether the host had the step that was chosen by its id.
fn on_hosts(
    of: &Chosen,
    name: &str,
    work: impl Fn(&Arc<script::Run>, &str) -> Result<bool> + Sync,
) -> Result<ExitCode> {
    if of.connecting.check {
        return Err(
            Error::usage(format!("`mk {name}` has nothing to foretell")).hint("`mk pending list` shows what is due")
        );
    }
    let folder = std::env::current_dir().unwrap_or_default();
    let ready = setup::ready(&folder, &of.common, &of.connecting, Settings::default(), None, Telling::default())?;
    let run = Arc::clone(&ready.run);
    let names = hosts::named(&run, &of.pattern)?;
    hosts::started(&run, name.to_owned());
    let found = AtomicBool::new(false);
    let faults = hosts::each(&run, names, |host| {
        let had = work(&run, host).inspect_err(|error| run.fail(host, error))?;
        found.fetch_or(had, Ordering::Relaxed);
        Ok(())
    });
    run.events.tell(EventKind::RunDone { error: None });
    drop(run);
    let recap = ready.end();
    hosts::tell_unsaid(&faults);
    // A host that failed may have it.
    if let Some(id) = of.id.as_ref().filter(|_| faults.is_empty() && !found.into_inner()) {
        let error = Error::usage(format!("`mk {name}`: `{}` has no notified step of the id `{id}`", of.pattern));
        return Err(error.hint("`mk pending list` shows those that are kept here"));
    }
    Ok(ExitCode::from(of_run(faults.iter().chain(&recap.unwritten), false)))
}
