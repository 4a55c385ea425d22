//! The record of a unit's last start, and what it was started with: how no restart is lost.
//!
//! The digests of the inputs as of the unit's last start by mk are kept until the next boot. A restart is due
//! whenever they differ, so it makes no difference whether the run that changed an input, or another one
//! after it, gets to the restart.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use super::unit::Shown;
use crate::change::map_of;
use crate::error::{Context, Result};
use crate::sys::{Hands, Probe};

/// Something that a unit reads when it starts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "control", derive(schemars::JsonSchema))]
#[serde(untagged, expecting = "the outcome of an earlier step, or a digest as text")]
pub(crate) enum Input {
    /// A digest, whatever it stands for.
    Digest(String),
    /// The outcome of an earlier step.
    Outcome {
        /// The digest of the state it left behind.
        digest: String,
        /// The file it manages, if it does.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        path: Option<PathBuf>,
    },
}

impl Input {
    fn path(&self) -> Option<&Path> {
        match self {
            Self::Outcome { path, .. } => path.as_deref(),
            Self::Digest(_) => None,
        }
    }

    fn digest(&self) -> &str {
        match self {
            Self::Outcome { digest, .. } | Self::Digest(digest) => digest,
        }
    }
}

/// Digests by the name of what they are of, short enough to be read in a diff.
pub(super) type Digests = BTreeMap<String, String>;

/// The digests of inputs. One without a path goes by its place in the list.
pub(super) fn digests(inputs: &[Input]) -> Digests {
    let name = |index: usize, input: &Input| match input.path() {
        Some(path) => path.to_string_lossy().into_owned(),
        None => format!("input {}", index + 1),
    };
    let short = |digest: &str| digest.chars().take(12).collect();
    map_of(inputs.iter().enumerate().map(|(index, input)| (name(index, input), short(input.digest()))))
}

/// What is written down of a unit's last start by mk.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct StartRecord {
    /// Which start it was, in systemd's words.
    #[serde(default)]
    pub invocation: String,
    /// The inputs as of the last start.
    #[serde(default)]
    pub restart_on: Digests,
    /// The inputs as of the last start or reload.
    #[serde(default)]
    pub reload_on: Digests,
}

fn file(probe: &Probe, unit: &str) -> PathBuf {
    probe.run_dir().join("units").join(format!("{unit}.json"))
}

impl StartRecord {
    /// The record of a unit; `None` when there is none, or none that can be read: then the files' times count.
    pub(super) fn load(probe: &Probe, unit: &str) -> Option<Self> {
        serde_json::from_slice(&fs::read(file(probe, unit)).ok()?).ok()
    }

    /// Writes it down.
    ///
    /// # Errors
    /// When the host refuses; the next run would restart the unit for nothing.
    pub(super) fn save(&self, hands: &Hands, unit: &str) -> Result {
        let value = serde_json::to_value(self).or_step(|| format!("cannot note what `{unit}` was started with"))?;
        hands.note(&file(hands, unit), &value)
    }
}

/// The inputs that a running unit has read, as far as can be known: as recorded; or, where that start is not
/// the one on record, as they are now unless one of their files is newer than the start.
pub(super) fn read_by(probe: &Probe, unit: &Shown, recorded: Option<(&str, &Digests)>, inputs: &[Input]) -> Digests {
    let now = digests(inputs);
    let newer = |recorded: Option<&Digests>| {
        let mut read = recorded.unwrap_or(&now).clone();
        for input in inputs.iter().filter(|input| input.path().is_some_and(|path| is_newer(probe, path, unit))) {
            let name = input.path().map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
            read.insert(name, "older".to_owned());
        }
        read
    };
    match recorded {
        Some((invocation, recorded)) if invocation == unit.invocation() => recorded.clone(),
        Some((_, recorded)) => newer(Some(recorded)),
        None => newer(None),
    }
}

/// Whether a file changed after the unit was started, or an earlier step of this check would change it.
fn is_newer(probe: &Probe, path: &Path, unit: &Shown) -> bool {
    if probe.is_planned(path) {
        return true;
    }
    let (Ok(meta), Some(started)) = (fs::metadata(path), unit.started()) else { return false };
    let moment = |clock| {
        let time = clock_gettime(clock);
        Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
    };
    let changed =
        Duration::new(u64::try_from(meta.ctime()).unwrap_or(0), u32::try_from(meta.ctime_nsec()).unwrap_or(0));
    changed_since(changed, started, moment(ClockId::Boottime), moment(ClockId::Realtime))
}

/// Whether a change at `changed` of the wall clock came after a start at `started` of the monotonic clock.
///
/// The start is put on the wall clock as it runs now, so a clock set right since then does no harm. The time
/// since boot counts sleep, which the monotonic clock does not: a machine that slept has the start put too
/// early, which at worst means a restart too many, never one too few.
fn changed_since(changed: Duration, started: Duration, since_boot: Duration, wall: Duration) -> bool {
    let age = since_boot.saturating_sub(started);
    changed > wall.saturating_sub(age)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::sys::{Jobs, NoPeer};

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_start_is_put_on_the_wall_clock() {
        // Booted 1000 s ago, started 400 s after boot: at 5400 of a wall clock that says 6000.
        assert!(changed_since(secs(5401), secs(400), secs(1000), secs(6000)));
        assert!(!changed_since(secs(5399), secs(400), secs(1000), secs(6000)));
    }

    #[test]
    fn inputs_have_names_and_short_digests() {
        let inputs: Vec<Input> =
            serde_json::from_str(r#"["0123456789abcdef", { "digest": "ff", "path": "/etc/a" }, { "digest": "aa" }]"#)
                .unwrap();
        let named: Vec<(String, String)> = digests(&inputs).into_iter().collect();
        let expected = [("/etc/a", "ff"), ("input 1", "0123456789ab"), ("input 3", "aa")];
        assert_eq!(named, expected.map(|(name, digest)| (name.to_owned(), digest.to_owned())));
    }

    #[test]
    fn what_a_unit_has_read_is_taken_from_the_record_or_from_the_files_times() {
        let (jobs, known) = (Jobs::default(), RefCell::default());
        let probe = Probe::new(None, &NoPeer, &jobs, &known, false);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        fs::write(&path, "").unwrap();
        let name = path.to_string_lossy().into_owned();
        let inputs = [Input::Outcome { digest: "new".into(), path: Some(path) }];
        let unit = |started: u128| Shown::parse(&format!("InvocationID=b\nExecMainStartTimestampMonotonic={started}"));
        let now = clock_gettime(ClockId::Boottime);
        let before = unit(1);
        let after = unit((u128::try_from(now.tv_sec).unwrap() + 10) * 1_000_000);
        let recorded = Digests::from([(name.clone(), "new".to_owned())]);
        let is = |read: Digests| read[&name].clone();
        assert_eq!(is(read_by(&probe, &before, None, &inputs)), "older");
        assert_eq!(is(read_by(&probe, &after, None, &inputs)), "new");
        assert_eq!(is(read_by(&probe, &before, Some(("b", &recorded)), &inputs)), "new");
        assert_eq!(is(read_by(&probe, &before, Some(("a", &recorded)), &inputs)), "older");
    }
}
