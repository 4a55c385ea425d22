//! `systemd`: a unit.

mod definition;
mod install;
mod settle;
mod start_record;
mod unit;

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use self::definition::{has_new_drop_in, is_planned, unit_file};
use self::start_record::{Digests, Input, StartRecord};
use self::unit::{Linked, Shown};
use crate::change::{Change, Thing};
use crate::error::{Error, Result};
use crate::op::{Danger, Example, HumanDuration, Operation, Removal, Resource, Shows};
use crate::sys::{Command, Hands, Probe};

/// How long is waited for systemd to begin a start that it has queued.
const QUEUED: Duration = Duration::from_secs(1);

/// Sees to a systemd unit: whether it runs, whether it starts at boot, and that it runs with what is on disk.
///
/// A unit file newer than the one in use is reloaded by itself. With `restart_on` the unit is restarted when
/// something it reads has changed since its last start, also when the run that made the change never got to
/// the restart. A unit that is started and falls at once is a failure, shown with the end of its journal.
///
/// `enabled` is about the unit itself. Of the words of `systemctl is-enabled`, `enabled` is true, and `disabled`, `static`,
/// `indirect`, `linked`, `linked-runtime`, `transient`, `masked` and `masked-runtime` are false: something else may start
/// such a unit all the same. `enabled-runtime` and `masked-runtime` end with this boot, so they are as no wish has it, and
/// are mended. A unit of an init script is as the script's links say. Enabling what has nothing that could be enabled
/// (`static`, `transient`, `indirect` when its file only has `Also=`) is a fault, and so is either wish for what is
/// `generated` from other settings, or `bad`. Another name of a unit (`alias`) stands for the unit.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "control", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct Systemd {
    /// The unit's name; without a suffix, `.service` is meant.
    pub unit: String,
    /// `"started"` or `"stopped"`. Not managed by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<UnitWish>,
    /// Whether it starts at boot. Not managed by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Whether it is kept from being started by anyone. Not managed by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub masked: Option<bool>,
    /// Do not wait until it has started: for services that are ready only once others have started too.
    #[serde(default)]
    pub no_block: bool,
    /// Restart it when one of these outcomes of earlier steps differs from what it was started with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restart_on: Vec<Input>,
    /// Have it reload its configuration when one of these differs from what it has read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reload_on: Vec<Input>,
    /// How long starting, stopping or reloading may take. Five minutes by default.
    #[serde(default = "patience")]
    pub timeout: HumanDuration,
}

/// Whether a unit is to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "control", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(super) enum UnitWish {
    /// It is to run.
    Started,
    /// It is not to run.
    Stopped,
}

/// How long is waited when nothing is said.
fn patience() -> HumanDuration {
    HumanDuration::secs(300)
}

/// A unit as it is or should be.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct UnitState {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    state: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    enabled: Option<Linked>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    masked: Option<Linked>,
    /// Whether the definition in use is the one on disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    definition: Option<String>,
    /// The inputs that it was started with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    restart_on: Option<Digests>,
    /// The inputs that it has loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reload_on: Option<Digests>,
    /// Its own name, where it was asked for by another; no part of the state.
    #[serde(skip)]
    id: String,
}

impl Systemd {
    fn name(&self) -> String {
        if self.unit.contains('.') { self.unit.clone() } else { format!("{}.service", self.unit) }
    }

    /// Whether anything is asked for that needs the unit to exist.
    fn needs_unit(&self) -> bool {
        self.state == Some(UnitWish::Started)
            || self.enabled == Some(true)
            || !self.restart_on.is_empty()
            || !self.reload_on.is_empty()
    }

    /// The inputs as they are, when there are any.
    fn now(inputs: &[Input]) -> Option<Digests> {
        (!inputs.is_empty()).then(|| start_record::digests(inputs))
    }

    /// The state that systemd's answer means.
    fn read(&self, probe: &Probe, shown: &Shown) -> Result<UnitState> {
        let name = self.name();
        if let Some(fault) = shown.load_fault().filter(|_| !shown.is_stale()) {
            return Err(Error::step(format!("systemd cannot use the unit file of `{name}`: {fault}")));
        }
        let missing = !shown.is_known();
        let file = if missing { unit_file(probe, &name)? } else { false };
        let comes = missing && !file && probe.assume_brought(format_args!("unit `{name}`"));
        if missing && !file && !comes && self.needs_unit() {
            return Err(Error::step(format!("systemd knows no unit `{name}`"))
                .hint(format!("write `/etc/systemd/system/{name}` or install its package in an earlier step")));
        }
        let wants_up = self.state == Some(UnitWish::Started) || self.enabled == Some(true);
        if wants_up && shown.is_masked() && self.masked != Some(false) {
            return Err(Error::step(format!("`{name}` is masked")).hint("`masked: false` lifts that"));
        }
        if self.enabled == Some(true) {
            install::can_be_enabled(probe, &name, shown)?;
        }
        if self.masked == Some(true) && !shown.is_masked() {
            let mask = format!("/etc/systemd/system/{name}");
            let in_the_way = probe.look_without_packages(Path::new(&mask))?;
            if in_the_way.is_some_and(|look| look.target.as_deref() != Some("/dev/null")) {
                let error = format!("`{name}` cannot be masked: the mask would be where its file is, `{mask}`");
                return Err(Error::step(error));
            }
        }
        let state = match (self.state, shown.state()) {
            (Some(UnitWish::Stopped), "failed") => "stopped",
            (Some(UnitWish::Started), _) if self.no_block && shown.is_starting() => "started",
            (_, state) => state,
        };
        // systemd finds a new unit file by itself when it is asked; one it has not found needs a reload. In a
        // check the file is not there to be found, and a change of one in use is only planned.
        let outdated = shown.is_stale()
            || (missing && file && !probe.is_check())
            || (!missing && (is_planned(probe, &name) || has_new_drop_in(probe, &name, &shown.drop_ins())));
        let record = StartRecord::load(probe, &name);
        let read = |inputs: &[Input], of: fn(&StartRecord) -> &Digests| match inputs {
            [] => None,
            // What does not run starts with everything as it is.
            inputs if !shown.is_active() && !shown.is_starting() => Some(start_record::digests(inputs)),
            inputs => {
                let recorded = record.as_ref().map(|record| (record.invocation.as_str(), of(record)));
                // A list that was empty then says nothing of what was read.
                let recorded = recorded.filter(|(_, digests)| !digests.is_empty());
                Some(start_record::read_by(probe, shown, recorded, inputs))
            }
        };
        Ok(UnitState {
            state: Some(state.to_owned()),
            enabled: if self.enabled.is_some() { Some(self.starts_at_boot(probe, shown)?) } else { None },
            masked: Some(shown.masked()),
            definition: Some(if outdated { "changed on disk" } else { "current" }.to_owned()),
            restart_on: read(&self.restart_on, |record| &record.restart_on),
            reload_on: read(&self.reload_on, |record| &record.reload_on),
            id: shown.id().to_owned(),
        })
    }

    /// Whether it starts at boot, also where only the tool for init scripts knows that.
    fn starts_at_boot(&self, probe: &Probe, shown: &Shown) -> Result<Linked> {
        if let Some(linked) = shown.enabled()? {
            return Ok(linked);
        }
        let command = Command::parsed(["systemctl", "is-enabled", self.name().as_str()]);
        let ran = probe.observe(&command)?;
        match ran.text().as_str() {
            "enabled" => Ok(Linked::lasting(true)),
            "disabled" => Ok(Linked::lasting(false)),
            _ => Err(command.failure(&ran)),
        }
    }

    /// Takes links of the unit's file away, those that last and then those of this boot.
    fn unlink(&self, hands: &Hands, verb: &str, left: fn(&Shown) -> bool) -> Result {
        self.systemctl(hands, verb)?;
        if left(&Shown::ask(hands, &self.name())?) {
            let command = Command::parsed(["systemctl", verb, "--runtime", self.name().as_str()]);
            hands.must(&command.timeout(self.timeout.0))?;
        }
        Ok(())
    }

    fn systemctl(&self, hands: &Hands, verb: &str) -> Result {
        self.systemctl_of(hands, verb, &self.name())
    }

    /// Does something to the unit by this one of its names.
    fn systemctl_of(&self, hands: &Hands, verb: &str, name: &str) -> Result {
        let mut words = vec!["systemctl", verb, name];
        let queued = self.no_block && matches!(verb, "start" | "restart");
        if queued {
            words.insert(1, "--no-block");
        }
        if verb == "daemon-reload" {
            words.pop();
        }
        let command = Command::parsed(words).timeout(self.timeout.0);
        let before = if queued { Some(Shown::ask(hands, name)?) } else { None };
        match hands.run(&command) {
            Ok(ran) if !ran.success() && matches!(verb, "start" | "restart" | "reload") => {
                let shown = Shown::ask(hands, name)?;
                let error =
                    self.with_journal(hands, Error::step(format!("`{name}` did not {verb}: {}", shown.ending())));
                Err(if ran.tail().is_empty() { error } else { error.note(ran.tail()) })
            }
            Ok(ran) if !ran.success() => Err(command.failure(&ran)),
            Ok(_) if matches!(verb, "start" | "restart") && !queued => self.watch(hands),
            Ok(_) => before.map_or(Ok(()), |before| before.await_next(hands, name, QUEUED)),
            Err(e) if verb == "start" || verb == "restart" => Err(self
                .with_journal(hands, e)
                .hint("`no_block: true` starts it without waiting, `timeout` gives it longer")),
            Err(e) => Err(e),
        }
    }

    /// Sees whether what was started stays up: systemd counts many services as started as soon as they run.
    fn watch(&self, hands: &Hands) -> Result {
        let name = self.name();
        let first = Shown::ask(hands, &name)?;
        let mut shown = first.clone();
        if first.is_active() && first.may_still_fall() {
            settle::wait(hands, &first)?;
            shown = Shown::ask(hands, &name)?;
        }
        if shown.is_active() && shown.invocation() == first.invocation() {
            return Ok(());
        }
        if shown.is_oneshot() && shown.state() == "stopped" {
            return Err(Error::step(format!("`{name}` has done its work and is over, so it cannot be kept started"))
                .hint("`RemainAfterExit=yes` in its unit file keeps it active"));
        }
        Err(self
            .with_journal(hands, Error::step(format!("`{name}` was started and did not stay up: {}", shown.ending()))))
    }

    /// The fault with what the unit said last.
    fn with_journal(&self, probe: &Probe, error: Error) -> Error {
        let name = self.name();
        let mut words: Vec<String> = ["journalctl", "-n", "20", "--no-pager", "-o", "cat"].map(str::to_owned).to_vec();
        // Its own lines and systemd's about it; those of this start only, where it can be told apart.
        match Shown::ask(probe, &name).map(|shown| shown.invocation().to_owned()) {
            Ok(id) if !id.is_empty() => {
                words.extend([format!("_SYSTEMD_INVOCATION_ID={id}"), "+".into(), format!("INVOCATION_ID={id}")]);
            }
            _ => words.extend(["--unit".into(), name]),
        }
        let command = Command::parsed(words);
        let lines = probe.observe(&command.timeout(Duration::from_secs(10))).map(|ran| ran.text()).unwrap_or_default();
        if lines.trim().is_empty() || lines.starts_with("-- No entries") { error } else { error.note(lines) }
    }

    /// Writes down what the unit has read, as of now.
    fn remember(&self, hands: &Hands, started: bool, reloaded: bool) -> Result {
        if self.restart_on.is_empty() && self.reload_on.is_empty() {
            return Ok(());
        }
        let name = self.name();
        let invocation = Shown::ask(hands, &name)?.invocation().to_owned();
        let old = StartRecord::load(hands, &name);
        let known = old.is_some();
        let mut record = old.clone().unwrap_or_default();
        let adopts = !known || record.invocation != invocation;
        // Another step for this unit may name other inputs; those it has nothing to say of stay.
        if let Some(now) = Self::now(&self.restart_on).filter(|_| started || adopts || record.restart_on.is_empty()) {
            record.restart_on = now;
        }
        if let Some(now) =
            Self::now(&self.reload_on).filter(|_| started || reloaded || adopts || record.reload_on.is_empty())
        {
            record.reload_on = now;
        }
        record.invocation = invocation;
        if old.as_ref() == Some(&record) { Ok(()) } else { record.save(hands, &name) }
    }
}

impl Operation for Systemd {
    const NAME: &'static str = "systemd";
    const SUBJECT: &'static str = "unit";
    const DANGER: Danger = Danger::Destroy;
    const SHOWS: Shows = Shows::All;
    const REMOVAL: Removal = Removal::UnitSetting;
    const PLACES: &'static [&'static str] = &["/etc/systemd", "/run/systemd"];
    const EXAMPLES: &'static [Example] = &[
        Example {
            title: "A service that runs now and after every boot, with what is on disk.",
            code: r#"let unit = host.copy("/etc/systemd/system/mk-demo.service", #{ content: "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n" }); host.systemd("mk-demo", #{ state: "started", enabled: true, restart_on: [unit] });"#,
        },
        Example {
            title: "A timer that must not run.",
            code: r#"host.systemd("apt-daily.timer", #{ state: "stopped", enabled: false });"#,
        },
    ];

    fn validate(&self) -> Result {
        let odd = |c: char| !(c.is_ascii_alphanumeric() || ":-_.\\@".contains(c));
        if self.unit.is_empty() || self.unit.starts_with('-') || self.unit.contains(odd) {
            return Err(Error::playbook(format!("`{}` cannot be the name of a unit", self.unit)));
        }
        if self.masked == Some(true) && (self.state == Some(UnitWish::Started) || self.enabled == Some(true)) {
            return Err(Error::playbook("a masked unit can be neither started nor enabled"));
        }
        if self.state == Some(UnitWish::Stopped) && !(self.restart_on.is_empty() && self.reload_on.is_empty()) {
            return Err(Error::playbook("a unit that is to be stopped is neither restarted nor reloaded"));
        }
        if self.state.is_none()
            && self.enabled.is_none()
            && self.masked.is_none()
            && self.restart_on.is_empty()
            && self.reload_on.is_empty()
        {
            return Err(Error::playbook("nothing is asked of the unit").hint("`state: \"started\"`, for one"));
        }
        Ok(())
    }
}

impl Resource for Systemd {
    type State = UnitState;

    fn actual(&self, probe: &Probe) -> Result<Option<UnitState>> {
        let shown = Shown::ask(probe, &self.name())?;
        self.read(probe, &shown).map(Some)
    }

    fn desired(&self, actual: Option<&UnitState>) -> Result<Option<UnitState>> {
        let runs = actual.is_some_and(|found| found.state.as_deref() == Some("started"));
        let read = |inputs: &[Input]| Self::now(inputs).filter(|_| runs || self.state == Some(UnitWish::Started));
        let word = |wish| if wish == UnitWish::Started { "started" } else { "stopped" };
        Ok(Some(UnitState {
            state: self.state.map(|wish| word(wish).to_owned()),
            enabled: self.enabled.map(Linked::lasting),
            masked: self.masked.map(Linked::lasting),
            // A unit that is only to be stopped may keep an old definition.
            definition: self.needs_unit().then(|| "current".to_owned()),
            restart_on: read(&self.restart_on),
            reload_on: read(&self.reload_on),
            id: String::new(),
        }))
    }

    fn fix(&self, hands: &Hands, change: &Change<UnitState>) -> Result {
        let started = self.state == Some(UnitWish::Started);
        let outdated = change.has("definition");
        let (enables, unmasks) = (change.has("enabled"), change.has("masked") && self.masked == Some(false));
        if outdated && !enables && !unmasks {
            self.systemctl(hands, "daemon-reload")?;
        }
        if unmasks {
            self.unlink(hands, "unmask", |shown| shown.masked().is_passing())?;
        }
        if enables && self.enabled == Some(true) {
            // By another of its names systemd refuses to.
            let id = change.actual.as_ref().map(|found| found.id.as_str()).filter(|id| !id.is_empty());
            self.systemctl_of(hands, "enable", id.unwrap_or(&self.name()))?;
        } else if enables {
            self.unlink(hands, "disable", |shown| shown.file_state() == "enabled-runtime")?;
        }
        // Both reload as well, but not for a unit that is made from a script in /etc/init.d.
        if outdated && (enables || unmasks) && Shown::ask(hands, &self.name())?.is_stale() {
            self.systemctl(hands, "daemon-reload")?;
        }
        let (mut started_now, mut reloaded) = (false, false);
        if change.has("state") && started {
            // A unit that fell too often is not started again before its failures are forgotten.
            if change.actual.as_ref().is_some_and(|found| found.state.as_deref() == Some("failed")) {
                self.systemctl(hands, "reset-failed")?;
            }
            self.systemctl(hands, "start")?;
            started_now = true;
        } else if change.has("state") {
            self.systemctl(hands, "stop")?;
        } else if change.has("restart_on") {
            self.systemctl(hands, "restart")?;
            started_now = true;
        } else if change.has("reload_on") {
            self.systemctl(hands, "reload")?;
            reloaded = true;
        }
        if change.has("masked") && self.masked == Some(true) {
            self.systemctl(hands, "mask")?;
        }
        self.remember(hands, started_now, reloaded)
    }

    fn things(&self, state: Option<&UnitState>) -> Vec<Thing> {
        let name = self.name();
        let thing = |what: &str, field: &str, value: serde_json::Value| {
            Thing::new(Self::NAME, format!("{name} {what}"), json!({ "unit": name, field: value }))
        };
        let Some(state) = state else { return Vec::new() };
        let mut things = Vec::new();
        if state.enabled == Some(Linked::lasting(true)) {
            things.push(thing("enabled", "enabled", false.into()));
        }
        if state.state.as_deref() == Some("started") {
            things.push(thing("started", "state", "stopped".into()));
        }
        if state.masked == Some(Linked::lasting(true)) {
            things.push(thing("masked", "masked", false.into()));
        }
        things
    }

    fn adopt(&self, hands: &Hands, actual: Option<&UnitState>) -> Result {
        let runs = actual.is_some_and(|found| found.state.as_deref() == Some("started"));
        if runs { self.remember(hands, false, false) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
