//! `mk trust`: the folders that are obeyed whoever wrote them.
//!
//! The list is one of the user, not of a project: what a project says of itself counts for nothing.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args as ClapArgs;

use super::out::{complain, say};
use crate::error::{Context, Error, Kind, Result};
use crate::state::StateDir;
use crate::trust::{Folder, Guard};

/// What the list is kept as.
const FILE: &str = "trusted";

/// Obey the project or inventory in a folder although others may have written it. Without a folder, list those.
///
/// mk runs what a playbook says, and an inventory names programs that run on this machine. So both, and all they read,
/// must belong to you or to root, and nobody else may be able to write to them; what is above a project's folder is
/// never read. A folder on this list is exempt, with all that is below it; `--trust-project` exempts one for one run.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// The folder.
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Take this folder off the list.
    #[arg(long, value_name = "DIR", conflicts_with = "folder")]
    forget: Option<PathBuf>,
}

/// Adds, takes off or lists.
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let state = StateDir::of_user();
    if let Some(folder) = &args.folder {
        let folder = wanted(folder)?;
        let known = state.change(FILE, |known| {
            let mut all = folders(&known);
            let known = all.contains(&folder);
            all.push(folder.clone());
            (text(all), known)
        })?;
        say!("{} is {}", folder.display(), if known { "trusted already" } else { "trusted" });
    } else if let Some(folder) = &args.forget {
        // A folder that is gone can be forgotten too.
        let path = std::path::absolute(folder).or_kind(Kind::Usage, || format!("`{}` is no path", folder.display()))?;
        let path = std::fs::canonicalize(&path).unwrap_or(path);
        let known = state.change(FILE, |known| {
            let mut all = folders(&known);
            let before = all.len();
            all.retain(|one| *one != path);
            let known = all.len() < before;
            (text(all), known)
        })?;
        if !known {
            let error = Error::usage(format!("`{}` is not on the list of trusted folders", path.display()));
            return Err(error.hint("`mk trust` shows the list"));
        }
        say!("{} is no longer trusted", path.display());
    } else {
        for folder in trusted()? {
            say!("{}", folder.display());
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The folders on the list. The list is held to what it lifts: only the user may have written it.
pub(super) fn trusted() -> Result<Vec<PathBuf>> {
    let file = StateDir::of_user().folder().join(FILE);
    match std::fs::symlink_metadata(&file) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        _ => Ok(folders(&Guard::default().text(&file)?)),
    }
}

/// The whole path of a folder that may be put on the list.
fn wanted(folder: &Path) -> Result<PathBuf> {
    let failed = || format!("there is no folder `{}`", folder.display());
    let path = std::fs::canonicalize(folder).or_kind(Kind::Usage, failed)?;
    if !path.is_dir() {
        return Err(Error::usage(failed()));
    }
    let shown = path.display();
    if path.parent().is_none() || path.to_str().is_none_or(|text| text.contains('\n')) {
        return Err(Error::usage(format!("`{}` cannot be trusted as a whole", shown.to_string().escape_debug())));
    }
    match Guard::default().folder(&path) {
        Folder::Shared => {
            Err(Error::usage(format!("anybody may put a project into `{shown}`"))
                .hint("trust the folder of one project"))
        }
        Folder::Foreign(why) => {
            complain!("note: {}", why.causes().first().map_or("", String::as_str));
            Ok(path)
        }
        Folder::Own => Ok(path),
    }
}

fn folders(text: &str) -> Vec<PathBuf> {
    text.lines().map(PathBuf::from).filter(|path| path.is_absolute()).collect()
}

fn text(mut folders: Vec<PathBuf>) -> String {
    folders.sort();
    folders.dedup();
    let lines: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
    lines.join("\n") + "\n"
}
