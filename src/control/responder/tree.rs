//! This side's half of `tree`: the folder is gone through, and what is in it is on offer.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value};
use walkdir::WalkDir;

use super::{Ready, Responder, TwoSided};
use crate::control::resolve::ResolveContext;
use crate::control::{Control, Found, Offers};
use crate::error::{Context, Error, Kind, Result};
use crate::ops::TreeOf;
use crate::sys::Glob;
use crate::wire::{Attachment, Member};

impl TwoSided for TreeOf {
    const SOURCE: Option<&'static str> = Some("src");

    fn resolve(
        &self,
        control: &Control,
        _args: &mut Map<String, Value>,
        context: &ResolveContext,
    ) -> Result<Arc<dyn Responder>> {
        let folder = match control.sources.find(&context.base, &self.src)? {
            Found::Disk(path) if path.is_dir() => path,
            found => {
                let error = Error::playbook(format!("`{}` is not a folder", found.name()));
                return Err(error.hint("`host.copy` copies one file"));
            }
        };
        let excluded = self.exclude.iter().map(|text| Glob::new(text)).collect::<Result<Vec<_>>>()?;
        let mut offers = control.blobs.offers();
        let members = members(control, &mut offers, &folder, &excluded, self.mode.map(|mode| mode.0))?;
        Ok(Ready::responder(Attachment::Members(members), offers))
    }
}

/// What is in a folder, in the order of the paths; the bytes of its files are offered.
fn members(
    control: &Control,
    offers: &mut Offers,
    folder: &Path,
    excluded: &[Glob],
    mode: Option<u32>,
) -> Result<Vec<Member>> {
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
            let content = control.blobs.measure(entry.path())?;
            offers.file(entry.path(), &content.sha256, content.size);
            let mode = mode.unwrap_or(if runs { 0o755 } else { 0o644 });
            Member::file(path, content.sha256, content.size, mode)
        } else {
            let error = Error::playbook(format!("`{shown}` is no file, folder or link"));
            return Err(error.hint("leave it out with `exclude`"));
        });
    }
    Ok(members)
}
