//! What systemd says of a unit, and what it means.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use crate::change::map_of;
use crate::error::{Error, Result};
use crate::sys::{Command, Hands, Probe};

/// What is asked for, all at once.
const PROPERTIES: &str = "LoadState,LoadError,ActiveState,SubState,UnitFileState,NeedDaemonReload,Type,Result,\
                          ExecMainStatus,InvocationID,Job,DropInPaths,ControlGroup,ExecMainStartTimestampMonotonic,ActiveEnterTimestampMonotonic";

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

    /// Whether it starts at boot; where the question has no answer, as wished.
    pub(super) fn is_enabled(&self, wish: bool) -> bool {
        match self.get("UnitFileState") {
            "enabled" => true,
            // Enabled until the next boot is neither.
            "enabled-runtime" => !wish,
            "alias" | "indirect" | "generated" | "transient" => wish,
            _ => false,
        }
    }

    /// Whether it has nothing that could be enabled.
    pub(super) fn is_static(&self) -> bool {
        self.get("UnitFileState") == "static"
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
            (unit.state(), unit.is_enabled(true), unit.is_stale(), unit.may_still_fall()),
            ("started", true, false, false)
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
    fn being_enabled_is_read_with_the_wish_in_mind() {
        let unit = |state: &str| Shown::parse(&format!("UnitFileState={state}"));
        assert_eq!(
            (unit("enabled-runtime").is_enabled(true), unit("enabled-runtime").is_enabled(false)),
            (false, true)
        );
        assert_eq!((unit("generated").is_enabled(true), unit("generated").is_enabled(false)), (true, false));
        assert!(unit("masked-runtime").is_masked() && unit("static").is_static());
    }
}
