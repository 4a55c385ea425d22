//! The files that define a unit.

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::sys::{Kind, Probe, unit_files};

/// Whether a file defines the unit, or its template.
pub(super) fn unit_file(probe: &Probe, name: &str) -> Result<bool> {
    let mut unknown = None;
    for path in unit_files(name) {
        // What packages bring is for the caller to judge: it may be this unit.
        match probe.look_without_packages(Path::new(&path)) {
            Ok(Some(_)) => return Ok(true),
            Ok(None) => {}
            Err(e) => unknown = Some(e),
        }
    }
    unknown.map_or(Ok(false), Err)
}

/// Whether an earlier step of this check writes the unit's file or something into its drop-in directory.
pub(super) fn is_planned(probe: &Probe, name: &str) -> bool {
    probe.is_check()
        && unit_files(name)
            .any(|path| probe.is_planned(Path::new(&path)) || probe.has_planned_in(Path::new(&format!("{path}.d"))))
}

/// Whether there is a drop-in that is not among those in use, `used`.
///
/// systemd says itself when one has changed, but it does not see the first one in a directory made since it last
/// read its units.
pub(super) fn has_new_drop_in(probe: &Probe, name: &str, used: &[&str]) -> bool {
    // One of the same name in a folder that comes first takes its place.
    let is_used = |file: &Path| used.iter().any(|used| Path::new(used).file_name() == file.file_name());
    // An empty one, or a link to nothing, takes one away.
    let counts = |file: &Path| {
        let look = probe.look(file).ok().flatten();
        look.is_some_and(|look| look.kind == Kind::File && look.size > 0)
    };
    unit_files(name).any(|path| {
        let folder = PathBuf::from(path + ".d");
        let files = probe.list(&folder).ok().flatten().unwrap_or_default();
        let mut drop_ins =
            files.iter().map(|file| folder.join(file)).filter(|file| file.extension().is_some_and(|is| is == "conf"));
        drop_ins.any(|file| !is_used(&file) && counts(&file))
    })
}
