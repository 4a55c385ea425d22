//! `mk artifacts`: what the project's lock names, and what of it is here.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args as ClapArgs, ValueEnum};

use super::args::Common;
use super::out::say;
use super::project::Project;
use super::setup;
use crate::control::{Artifact, Artifacts, Cache, LOCK, MIRROR, complete};
use crate::error::{Error, Result};
use crate::trust::Guard;

/// The released files that playbooks use: list, fetch and verify them, complete their lock.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// What to do.
    #[arg(value_enum)]
    action: Action,
    /// Only these artifacts.
    names: Vec<String>,
    #[command(flatten)]
    common: Common,
    /// The folder with `artifacts.lock.yaml`. Default: the project of this folder, else `playbooks` in it.
    #[arg(long, value_name = "DIR")]
    project: Option<PathBuf>,
    /// Only for this architecture.
    #[arg(long, value_name = "ARCH")]
    arch: Option<String>,
}

/// What to do with artifacts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Action {
    /// List them, where they come from, and whether they are here.
    List,
    /// Fetch those that are not here yet.
    Fetch,
    /// Read those that are here through and hold them against their sums.
    Verify,
    /// Write sums that upstream publishes beside its files into the lock, for entries that have none.
    Lock,
}

/// Does what was asked, for all artifacts it was asked for, and tells the faults at the end.
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let guard = setup::guard(&args.common)?;
    let folder = project_folder(args.project.as_deref(), &guard)?;
    let project = Project::of(&folder, guard)?;
    if args.action == Action::Lock {
        return lock(&folder.join(LOCK), &project.guard);
    }
    let variables = setup::inventory(&args.common, &project)?.vars_of_all();
    let mirror = variables.get(MIRROR).and_then(serde_json::Value::as_str).filter(|mirror| !mirror.is_empty());
    let artifacts = Artifacts::new(folder, Cache::of_user()).guarded_by(project.guard);
    let names = &args.names;
    let mut all = artifacts.all(mirror)?;
    all.sort_by_key(|one| one.entry.title());
    if let Some(unknown) = names.iter().find(|name| all.iter().all(|one| one.entry.name != **name)) {
        let error = Error::usage(format!("there is no artifact `{unknown}`"));
        let known = all.iter().map(|one| one.entry.name.as_str());
        return Err(error.suggest_or(unknown, known, "`mk artifacts list` shows them"));
    }
    let wanted = all.iter().filter(|one| {
        let entry = &one.entry;
        (names.is_empty() || names.contains(&entry.name))
            && args.arch.as_ref().is_none_or(|arch| entry.arch == *arch || entry.arch == "any")
    });
    let mut first: Option<Error> = None;
    for one in wanted {
        let done = match args.action {
            Action::List => Ok(listed(&artifacts, one)),
            Action::Fetch => artifacts.get(one).map(|stored| format!("at {}", stored.path.display())),
            _ => artifacts.verify(one).map(|found| if found.is_some() { "right" } else { "not here" }.to_owned()),
        };
        match done {
            Ok(done) => say!("{:<20} {:<10} {:<6} {done}", one.entry.name, one.entry.version, one.entry.arch),
            Err(error) => {
                say!("{:<20} {:<10} {:<6} wrong: {error}", one.entry.name, one.entry.version, one.entry.arch);
                first.get_or_insert(error);
            }
        }
    }
    first.map_or(Ok(ExitCode::SUCCESS), Err)
}

fn listed(artifacts: &Artifacts, one: &Artifact) -> String {
    let here = if artifacts.is_here(one) { "here    " } else { "not here" };
    let from = if one.entry.is_remote() { one.entry.url.clone() } else { format!("{}/{}", one.beside, one.entry.url) };
    format!("{here} {from}")
}

fn lock(file: &Path, guard: &Guard) -> Result<ExitCode> {
    let completed = complete(file, guard)?;
    for (entry, source) in &completed.found {
        say!("{:<30} from {source}", entry.title());
    }
    for entry in &completed.missing {
        say!("{:<30} no sum is published beside {}", entry.title(), entry.url);
    }
    match completed.missing.is_empty() {
        true => Ok(ExitCode::SUCCESS),
        false => Err(Error::step(format!("{} of the entries still have no sum", completed.missing.len()))
            .hint("a sum that upstream does not publish has to be written into the lock by hand")),
    }
}

fn project_folder(named: Option<&Path>, guard: &Guard) -> Result<PathBuf> {
    let here = std::env::current_dir().unwrap_or_default();
    if let Some(named) = named {
        return Ok(here.join(named));
    }
    let project = Project::of(&here, guard.clone())?.folder;
    let below = here.join("playbooks");
    Ok(if !project.join(LOCK).exists() && below.join(LOCK).exists() { below } else { project })
}
