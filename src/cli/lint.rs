//! `mk lint`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;

use clap::Args as ClapArgs;
use serde_json::json;

use super::args::Common;
use super::out::{self, complain};
use super::project::Project;
use super::setup;
use crate::control::Sources;
use crate::error::{Error, Result};
use crate::report::{Sink, Text, render_fault, render_warning};
use crate::script::{Linter, Surroundings};

/// The version of what `--json` prints.
const VERSION: u32 = 1;

/// Find what is wrong with playbooks and templates, without connecting.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// Playbooks, or folders of them. The project's by default.
    paths: Vec<PathBuf>,
    #[command(flatten)]
    common: Common,
    /// One finding a line, in JSON.
    #[arg(long)]
    json: bool,
}

/// Prints everything that is wrong, and gives 2 when something is. Warnings alone give 0.
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let mut scripts = Vec::new();
    let here = std::env::current_dir().unwrap_or_default();
    let guard = setup::guard(&args.common)?;
    let paths =
        if args.paths.is_empty() { vec![Project::of(&here, guard.clone())?.folder] } else { args.paths.clone() };
    for path in &paths {
        collect(path, &mut scripts)?;
    }
    let mut linter = Linter::new();
    let mut projects: BTreeMap<PathBuf, Surroundings> = BTreeMap::new();
    for script in &scripts {
        let project = Project::of(script, guard.clone())?;
        if !projects.contains_key(&project.folder) {
            projects.insert(project.folder.clone(), surroundings(&args.common, &project)?);
        }
        linter.read(script, &projects[&project.folder])?;
    }
    let files = linter.files();
    let (findings, warnings) = linter.findings();
    let count = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    if args.json {
        for finding in &findings {
            out::line(&Text::json(&json!({ "v": VERSION, "finding": finding })));
        }
        for warning in &warnings {
            out::line(&Text::json(&json!({ "v": VERSION, "warning": warning })));
        }
        let done = json!({ "files": files, "findings": findings.len(), "warnings": warnings.len() });
        out::line(&Text::json(&json!({ "v": VERSION, "done": done })));
    } else {
        let style = Sink::stdout().style();
        for finding in &findings {
            out::line(&render_fault(finding, style).newline());
        }
        for warning in &warnings {
            out::line(&render_warning(warning, style).newline());
        }
        let warned = match warnings.len() {
            0 => String::new(),
            some => format!(", {}", count(some, "warning")),
        };
        match findings.len() {
            0 => complain!("nothing wrong in {}{warned}", count(files, "file")),
            wrong => complain!("{} in {}{warned}", count(wrong, "fault"), count(files, "file")),
        }
    }
    Ok(ExitCode::from(if findings.is_empty() { 0 } else { 2 }))
}

/// What is wrong with a playbook that is about to run, whatever the run brings about before it comes there.
///
/// # Errors
/// When the project or the inventory cannot be read.
pub(super) fn before_run(playbook: &Path, common: &Common) -> Result<Vec<Error>> {
    let project = Project::of(playbook, setup::guard(common)?)?;
    let mut linter = Linter::new();
    linter.read(playbook, &surroundings(common, &project)?)?;
    Ok(linter.certain())
}

fn surroundings(common: &Common, project: &Project) -> Result<Surroundings> {
    let named = common.inventory.is_some() || project.settings.inventory.is_some();
    let inventory = if named { Some(Rc::new(setup::inventory(common, project)?)) } else { None };
    Ok(Surroundings { sources: Sources::new(project.folder.clone()).guarded_by(project.guard.clone()), inventory })
}

/// The scripts in a folder and those below it, in the order of their names; or the one that is named.
fn collect(path: &Path, scripts: &mut Vec<PathBuf>) -> Result {
    if !path.is_dir() {
        if path.is_file() {
            scripts.push(path.to_owned());
            return Ok(());
        }
        return Err(Error::usage(format!("there is no `{}`", path.display())));
    }
    let hidden = |name: &str| name.starts_with('.') || name == "target";
    let entries = walkdir::WalkDir::new(path).sort_by_file_name().into_iter();
    let wanted =
        entries.filter_entry(|entry| entry.depth() == 0 || !hidden(&entry.file_name().to_string_lossy())).flatten();
    scripts.extend(
        wanted.filter(|entry| entry.path().extension().is_some_and(|x| x == "rhai")).map(walkdir::DirEntry::into_path),
    );
    Ok(())
}
