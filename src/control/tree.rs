//! This side's part in `tree`: the folder is gone through, and its contents are offered.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use walkdir::WalkDir;

use super::Control;
use super::resolve::{Place, text};
use super::sources::Found;
use crate::error::{Context, Error, Kind, Result};
use crate::sys::{Glob, Member};

impl Control {
    /// Lists what is in the folder wanted, and offers the bytes.
    pub(super) fn tree(&self, args: &mut Map<String, Value>, place: &Place) -> Result {
        let Some(src) = text(args, "src") else { return Ok(()) };
        let folder = match self.sources.find(&place.base, Path::new(&src))? {
            Found::Disk(path) if path.is_dir() => path,
            found => {
                let error = Error::playbook(format!("`{}` is not a folder", found.name()));
                return Err(error.hint("`host.copy` copies one file"));
            }
        };
        let patterns = args.get("exclude").and_then(Value::as_array).into_iter().flatten();
        let excluded = patterns.filter_map(Value::as_str).map(Glob::new).collect::<Result<Vec<_>>>()?;
        let mode = text(args, "mode").and_then(|mode| u32::from_str_radix(&mode, 8).ok());
        let members = self.members(&folder, &excluded, mode)?;
        let members =
            serde_json::to_value(&members).map_err(|e| Error::internal("members that do not serialise").because(e))?;
        args.insert("@members".to_owned(), members);
        Ok(())
    }

    /// What is in a folder, in the order of the paths; the bytes of its files are offered.
    fn members(&self, folder: &Path, excluded: &[Glob], mode: Option<u32>) -> Result<Vec<Member>> {
        let failed = || format!("cannot read the folder `{}`", folder.display());
        let below = |path: &Path| path.strip_prefix(folder).map(Path::to_owned).unwrap_or_default();
        let kept = |path: PathBuf| !excluded.iter().any(|glob| glob.fits(&path.to_string_lossy()));
        let entries = WalkDir::new(folder).min_depth(1).sort_by_file_name().into_iter();
        let mut members = Vec::new();
        for entry in entries.filter_entry(|entry| entry.depth() == 0 || kept(below(entry.path()))) {
            let entry = entry.or_kind(Kind::Playbook, failed)?;
            let shown = entry.path().display();
            let path = below(entry.path()).into_os_string().into_string();
            let path = path.map_err(|_| Error::playbook(format!("the name of `{shown}` is not UTF-8")))?;
            let kind = entry.file_type();
            members.push(if kind.is_dir() {
                Member::dir(path, Some(0o755))
            } else if kind.is_symlink() {
                let target = std::fs::read_link(entry.path()).or_kind(Kind::Playbook, failed)?.into_os_string();
                let target = target.into_string();
                Member::link(path, target.map_err(|_| Error::playbook(format!("`{shown}` points to no UTF-8")))?)
            } else if kind.is_file() {
                let runs = entry.metadata().or_kind(Kind::Playbook, failed)?.permissions().mode() & 0o100 != 0;
                let content = self.blobs.measure(entry.path())?;
                self.blobs.offer_file(entry.path(), &content.sha256, content.size);
                let mode = mode.unwrap_or(if runs { 0o755 } else { 0o644 });
                Member::file(path, content.sha256, content.size, mode)
            } else {
                let error = Error::playbook(format!("`{shown}` is no file, folder or link"));
                return Err(error.hint("leave it out with `exclude`"));
            });
        }
        Ok(members)
    }
}
