//! Everything that a run of mk shows and keeps.

use std::path::Path;
use std::process::Stdio;

use crate::forms::Shown;
use crate::support::Place;

/// The ways in which a run is shown.
pub(crate) const WAYS: [&[&str]; 3] = [&["-vv", "--diff"], &["--json"], &["-q"]];

/// Runs a playbook with everything that can be written of it: its exit code, what it printed, and what it wrote.
pub(crate) fn run(place: &Place, playbook: &str, more: &[&str]) -> (i32, Shown) {
    let files = ["j.xml", "r.html", "mk.log", "t.json"];
    let written = ["--junit", "j.xml", "--report", "r.html", "--log", "mk.log", "--profile=t.json"];
    let words = [&["run", playbook], more, &written].concat();
    let output = place.command(&words).env("MK_LOG", "trace").stdin(Stdio::null()).output().unwrap();
    let mut shown = vec![
        (format!("stdout of {words:?}"), String::from_utf8_lossy(&output.stdout).into_owned()),
        (format!("stderr of {words:?}"), String::from_utf8_lossy(&output.stderr).into_owned()),
    ];
    for name in files {
        let text = std::fs::read_to_string(place.path().join(name)).unwrap_or_default();
        shown.push((format!("{name} of {words:?}"), text));
    }
    (output.status.code().unwrap(), shown)
}

/// Every file below a folder.
pub(crate) fn kept(folder: &Path) -> Shown {
    let mut shown = Shown::new();
    for entry in walkdir::WalkDir::new(folder).into_iter().filter_map(Result::ok) {
        let name = entry.path().display().to_string();
        let bytes = if entry.file_type().is_file() { std::fs::read(entry.path()).unwrap_or_default() } else { vec![] };
        shown.push((name.clone(), format!("{name}\n{}", String::from_utf8_lossy(&bytes))));
    }
    shown
}
