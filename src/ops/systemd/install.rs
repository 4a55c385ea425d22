//! What the `[Install]` sections of a unit say: whether there is anything that enabling it could do.

use std::path::Path;

use super::definition::has_new_drop_in;
use super::unit::Shown;
use crate::error::{Error, Result};
use crate::sys::{Probe, unit_files};

/// The longest unit file that is read, in bytes.
const LONGEST: u64 = 1024 * 1024;

/// The `[Install]` sections of a unit's file and its drop-ins.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Install {
    /// Whether they say under which other units or names it is to be found.
    rules: bool,
    /// The other units that are enabled along with it.
    also: Vec<String>,
}

impl Install {
    /// Reads what systemd uses, or would use after the steps planned so far.
    fn read(probe: &Probe, name: &str, shown: &Shown) -> Result<Self> {
        let planned = unit_files(name).find(|path| probe.is_planned(Path::new(path)));
        let file = planned.unwrap_or_else(|| shown.file().to_owned());
        let mut install = Self::default();
        for path in shown.drop_ins().into_iter().chain([file.as_str()]).filter(|path| !path.is_empty()) {
            install.add(&String::from_utf8_lossy(&probe.read(Path::new(path), LONGEST)?.unwrap_or_default()));
        }
        Ok(install)
    }

    /// Adds what a file says.
    fn add(&mut self, text: &str) {
        let mut inside = false;
        // A backslash at its end joins a line with the next.
        for line in text.replace("\\\n", " ").lines().map(str::trim) {
            if line.starts_with('[') {
                inside = line == "[Install]";
            }
            let Some((key, value)) = line.split_once('=').filter(|_| inside && !line.starts_with(['#', ';'])) else {
                continue;
            };
            match key.trim_end() {
                "WantedBy" | "RequiredBy" | "UpheldBy" | "Alias" => self.rules |= !value.trim().is_empty(),
                "Also" => self.also.extend(value.split_whitespace().map(str::to_owned)),
                _ => {}
            }
        }
    }
}

/// Refuses to enable a unit for which that would do nothing.
///
/// # Errors
/// Why it cannot be enabled, and what to do instead.
pub(super) fn can_be_enabled(probe: &Probe, name: &str, shown: &Shown) -> Result {
    let cannot = |why: &str| Error::step(format!("`{name}` cannot be enabled: {why}"));
    match shown.file_state() {
        "transient" => Err(cannot("it was made by a program and is gone with the next boot")
            .hint(format!("write `/etc/systemd/system/{name}` in an earlier step"))),
        // Links that are there already say nothing of what enabling does; only its files do.
        "static" | "indirect" | "linked" | "linked-runtime" | "enabled-runtime" => {
            let install = Install::read(probe, name, shown)?;
            if install.rules || has_new_drop_in(probe, name, &shown.drop_ins()) {
                return Ok(());
            }
            Err(match &install.also[..] {
                [] => cannot("its unit file has no `[Install]` section").hint(
                    "it starts when another unit wants it; a drop-in with `[Install]` and `WantedBy=` changes that",
                ),
                also => cannot("the `[Install]` section of its unit file only names other units, with `Also=`")
                    .hint(format!("enable what starts it: `{}`", also.join("`, `"))),
            })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn install(text: &str) -> (bool, String) {
        let mut install = Install::default();
        install.add(text);
        (install.rules, install.also.join(" "))
    }

    #[test]
    fn only_what_stands_in_the_section_counts() {
        assert_eq!(
            install("[Unit]\nWantedBy=a\n[Install]\n# Alias=b\nWantedBy =\nAlso=x.socket \\\n  y.path\n"),
            (false, "x.socket y.path".into())
        );
        assert_eq!(
            install("[Install]\nRequiredBy = \\\n multi-user.target\n[X-Mine]\nAlso=z\n"),
            (true, String::new())
        );
        assert_eq!(install("[Service]\nExecStart=/bin/true\n"), (false, String::new()));
    }
}
