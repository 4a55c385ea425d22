//! What systemd says of a unit, and what it means.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::change::map_of;
use crate::error::{Error, Result};
use crate::sys::{Command, Hands, Probe};

/// What is asked for, all at once.
const PROPERTIES: &str = "Id,FragmentPath,SourcePath,LoadState,LoadError,ActiveState,SubState,UnitFileState,\
                          NeedDaemonReload,Type,Result,ExecMainStatus,InvocationID,Job,DropInPaths,ControlGroup,ExecMainStartTimestampMonotonic,ActiveEnterTimestampMonotonic";

/// Whether links of a unit's file are there: a yes or no that lasts, or words for what no wish can have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Linked(Value);

impl Linked {
    /// It is so, or is not, also after the next boot.
    pub(super) fn lasting(so: bool) -> Self {
        Self(so.into())
    }

    /// It is so for this boot only.
    fn passing() -> Self {
        Self("until the next boot".into())
    }

    /// Whether it is so for this boot only.
    pub(super) fn is_passing(&self) -> bool {
        self.0.is_string()
    }
}

/// A unit as systemd knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Shown {
    fields: BTreeMap<String, String>,
}

impl Shown {
    /// Asks systemd.
    ///
    /// # Errors
    /// When there is no systemd to answer.
    pub(super) fn ask(probe: &Probe, unit: &str) -> Result<Self> {
        // What the systemd library itself looks at; the command line's own words for it say less.
        if !Path::new("/run/systemd/system").is_dir() {
            return Err(Error::step("systemd does not run on this host"));
        }
        let command = Command::parsed(["systemctl", "show", unit, "--no-pager", &format!("--property={PROPERTIES}")]);
        let ran = probe.observe(&command)?;
        if ran.success() { Ok(Self::parse(&ran.text())) } else { Err(command.failure(&ran)) }
    }

    /// Waits until systemd has begun another start than this one, at most that long: what is written down of a queued
    /// start would else name the one before it.
    ///
    /// # Errors
    /// When there is no systemd to answer, or the run is over.
    pub(super) fn await_next(&self, hands: &Hands, unit: &str, longest: Duration) -> Result {
        let step = Duration::from_millis(20);
        let mut waited = Duration::ZERO;
        while waited < longest && Self::ask(hands, unit)?.invocation() == self.invocation() {
            hands.pause(step)?;
            waited += step;
        }
        Ok(())
    }

    /// Reads `name=value` lines.
    pub(super) fn parse(text: &str) -> Self {
        let pair = |line: &str| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self { fields: map_of(text.lines().filter_map(pair)) }
    }

    fn get(&self, name: &str) -> &str {
        self.fields.get(name).map(String::as_str).unwrap_or_default()
    }

    /// Whether systemd has a definition of the unit.
    pub(super) fn is_known(&self) -> bool {
        self.get("LoadState") != "not-found"
    }

    /// Why its definition cannot be used, in systemd's words.
    pub(super) fn load_fault(&self) -> Option<String> {
        let fault = self.get("LoadError").trim_matches('"');
        let bad = matches!(self.get("LoadState"), "error" | "bad-setting");
        bad.then(|| if fault.is_empty() { self.get("LoadState").to_owned() } else { fault.to_owned() })
    }

    /// Whether its definition on disk is newer than the one in use.
    pub(super) fn is_stale(&self) -> bool {
        self.get("NeedDaemonReload") == "yes"
    }

    /// The drop-ins in use, by their paths.
    pub(super) fn drop_ins(&self) -> Vec<&str> {
        self.get("DropInPaths").split_whitespace().collect()
    }

    /// Whether it is masked.
    pub(super) fn is_masked(&self) -> bool {
        self.get("LoadState") == "masked" || self.get("UnitFileState").starts_with("masked")
    }

    /// Whether it runs, or did what it had to and counts as running.
    pub(super) fn is_active(&self) -> bool {
        matches!(self.get("ActiveState"), "active" | "reloading" | "refreshing")
    }

    /// Whether it is on its way up, or systemd has yet to see to it.
    pub(super) fn is_starting(&self) -> bool {
        self.state() == "starting" || self.get("Job").parse().is_ok_and(|job: u32| job > 0)
    }

    /// Its state as this operation names it.
    pub(super) fn state(&self) -> &'static str {
        match self.get("ActiveState") {
            _ if self.is_active() => "started",
            "activating" if self.get("SubState") == "auto-restart" => "restarting after a failure",
            "activating" => "starting",
            "failed" => "failed",
            "deactivating" => "stopping",
            _ => "stopped",
        }
    }

    /// Whether it is masked, and for how long.
    pub(super) fn masked(&self) -> Linked {
        match self.file_state() {
            "masked-runtime" => Linked::passing(),
            _ => Linked::lasting(self.is_masked()),
        }
    }

    /// Whether it starts at boot; `None` where its init script has to be asked.
    ///
    /// # Errors
    /// When systemd's word for it is no answer.
    pub(super) fn enabled(&self) -> Result<Option<Linked>> {
        let no_answer =
            |why: String| Error::step(format!("whether `{}` starts at boot cannot be said: {why}", self.id()));
        match self.file_state() {
            "enabled" => Ok(Some(Linked::lasting(true))),
            "enabled-runtime" => Ok(Some(Linked::passing())),
            // None of these starts at boot by itself. What systemd does not know has no word at all.
            "disabled" | "static" | "indirect" | "linked" | "linked-runtime" | "transient" | "masked"
            | "masked-runtime" | "" => Ok(Some(Linked::lasting(false))),
            "generated" if self.get("SourcePath").starts_with("/etc/init.d/") => Ok(None),
            "generated" => {
                let source = Some(self.get("SourcePath")).filter(|path| !path.is_empty()).unwrap_or("other settings");
                Err(no_answer(format!("it is made at every boot, from `{source}`"))
                    .hint("what it is made from decides; `masked: true` keeps it from being started"))
            }
            "alias" => Err(no_answer("it is only another name of a unit".to_owned()).hint("name the unit itself")),
            word => Err(no_answer(format!("systemd calls its unit file `{word}`"))
                .hint("`systemd-analyze verify` says what is wrong with it")),
        }
    }

    /// Systemd's word for how its file is linked.
    pub(super) fn file_state(&self) -> &str {
        self.get("UnitFileState")
    }

    /// Its own name: what was asked for may be another name of it.
    pub(super) fn id(&self) -> &str {
        self.get("Id")
    }

    /// The file that defines it.
    pub(super) fn file(&self) -> &str {
        self.get("FragmentPath")
    }

    /// Whether it is over once it has done its work.
    pub(super) fn is_oneshot(&self) -> bool {
        self.get("Type") == "oneshot"
    }

    /// Whether systemd counts it as started before it said so itself: only time tells whether it stays up.
    pub(super) fn may_still_fall(&self) -> bool {
        matches!(self.get("Type"), "simple" | "exec" | "idle" | "forking")
    }

    /// The control group of its processes, by its path from the root of all.
    pub(super) fn control_group(&self) -> &str {
        self.get("ControlGroup")
    }

    /// Which start of the unit this is.
    pub(super) fn invocation(&self) -> &str {
        self.get("InvocationID")
    }

    /// When it was started, by the monotonic clock. Its program reads its files from then on, which can be
    /// long before systemd calls it active.
    pub(super) fn started(&self) -> Option<Duration> {
        let micros = |name| self.get(name).parse().ok().filter(|micros| *micros > 0).map(Duration::from_micros);
        micros("ExecMainStartTimestampMonotonic").or_else(|| micros("ActiveEnterTimestampMonotonic"))
    }

    /// How it ended, in words.
    pub(super) fn ending(&self) -> String {
        let result = match self.get("Result") {
            "" => "unknown",
            result => result,
        };
        match self.get("ExecMainStatus") {
            "" | "0" => format!("{}, result `{result}`", self.state()),
            status => format!("{}, result `{result}`, status {status}", self.state()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUNNING: &str = "Type=notify\nResult=success\nExecMainStatus=0\nExecMainStartTimestampMonotonic=3441220\n\
        InvocationID=5b36a4a2f7cf4c5d8e2f2cf0e8a1f6cf\nLoadState=loaded\nActiveState=active\nSubState=running\n\
        UnitFileState=enabled\nNeedDaemonReload=no\nActiveEnterTimestampMonotonic=3512890\n";
    const MISSING: &str = "LoadState=not-found\nLoadError=org.freedesktop.systemd1.NoSuchUnit \"Unit x.service not found.\"\n\
        ActiveState=inactive\nSubState=dead\nUnitFileState=\nNeedDaemonReload=no\nActiveEnterTimestampMonotonic=0\nInvocationID=\n";
    const CRASHING: &str = "Type=simple\nResult=exit-code\nExecMainStatus=203\nLoadState=loaded\nActiveState=activating\n\
        SubState=auto-restart\nUnitFileState=disabled\nNeedDaemonReload=yes\nInvocationID=17\n";

    #[test]
    fn a_running_unit_is_read() {
        let unit = Shown::parse(RUNNING);
        assert_eq!(
            (unit.state(), unit.enabled().unwrap(), unit.is_stale(), unit.may_still_fall()),
            ("started", Some(Linked::lasting(true)), false, false)
        );
        assert_eq!(unit.started(), Some(Duration::from_micros(3_441_220)));
        assert_eq!(unit.ending(), "started, result `success`");
    }

    #[test]
    fn a_missing_unit_is_read() {
        let unit = Shown::parse(MISSING);
        assert_eq!((unit.is_known(), unit.state(), unit.started()), (false, "stopped", None));
    }

    #[test]
    fn a_unit_that_falls_again_and_again_is_not_merely_starting() {
        let unit = Shown::parse(CRASHING);
        assert_eq!((unit.state(), unit.is_stale()), ("restarting after a failure", true));
        assert_eq!(unit.ending(), "restarting after a failure, result `exit-code`, status 203");
    }

    #[test]
    fn every_word_for_a_unit_file_is_an_answer_or_a_fault() {
        let unit = |state: &str| Shown::parse(&format!("Id=x.mount\nSourcePath=/etc/fstab\nUnitFileState={state}"));
        let enabled = |state: &str| unit(state).enabled().map_err(|e| e.to_string());
        assert_eq!(enabled("enabled"), Ok(Some(Linked::lasting(true))));
        assert!(unit("enabled-runtime").enabled().unwrap().unwrap().is_passing());
        for state in ["disabled", "static", "indirect", "linked", "linked-runtime", "transient", "masked", ""] {
            assert_eq!(enabled(state), Ok(Some(Linked::lasting(false))), "{state}");
        }
        for (state, why) in
            [("generated", "from `/etc/fstab`"), ("alias", "another name"), ("bad", "calls its unit file")]
        {
            assert!(enabled(state).unwrap_err().contains(why), "{state}");
        }
        assert_eq!(Shown::parse("UnitFileState=generated\nSourcePath=/etc/init.d/x").enabled().unwrap(), None);
    }

    #[test]
    fn a_mask_until_the_next_boot_is_told_from_one_that_lasts() {
        let unit = |state: &str| Shown::parse(&format!("LoadState=masked\nUnitFileState={state}"));
        assert_eq!(unit("masked").masked(), Linked::lasting(true));
        assert!(unit("masked-runtime").is_masked() && unit("masked-runtime").masked().is_passing());
    }
}
