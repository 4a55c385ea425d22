//! `sysctl`: a setting of the kernel.

mod files;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::json;

use self::files::{OLD, below_proc, normal};
use crate::change::{Change, Thing};
use crate::error::{Error, Result};
use crate::op::{Danger, Example, Operation, Removal, Resource};
use crate::sys::{Hands, Placement, Probe};

/// Sets a parameter of the running kernel, and keeps it for every boot in a file of its own.
///
/// What counts is the value that the next boot sets: the files of `/etc/sysctl.d`, `/run/sysctl.d`, `/usr/local/lib/sysctl.d`
/// and `/usr/lib/sysctl.d` are read in the order of their names, and `/etc/sysctl.conf` where a link among them leads to it,
/// or last on a host without systemd. Where a later file has another value, the parameter is kept in
/// `/etc/sysctl.d/zz-mk-NAME.conf`, and the other file stays as it is; if even that comes too early, that is a fault.
/// With `keep: false` only the running kernel is set, and its files are left as they are.
/// Absent removes what keeps it and leaves the running kernel as it is: what the value was before is not known.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "control", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct Sysctl {
    /// The parameter, such as `"net.ipv4.ip_forward"`. In a name with dots of its own, write `/` between the parts.
    pub name: String,
    /// Its value: a number, or text. Several numbers are parted by blanks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Setting>,
    /// `"present"` or `"absent"`.
    #[serde(default)]
    pub state: SysctlState,
    /// The file that keeps it, `/etc/sysctl.d/60-mk-NAME.conf` by default. Its other lines stay as they are. A later file
    /// with another value is a fault. In the folders above it ends in `.conf`; one that lies elsewhere is yours to have
    /// read at boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// Whether to keep it for every boot. True by default.
    #[serde(default = "kept", skip_serializing_if = "is_kept")]
    pub keep: bool,
}

fn kept() -> bool {
    true
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "what serde asks for")]
fn is_kept(keep: &bool) -> bool {
    *keep
}

/// A value as users write it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "control", derive(schemars::JsonSchema))]
#[serde(untagged, expecting = "a number or a text")]
pub(super) enum Setting {
    /// A number.
    Number(i64),
    /// A text.
    Text(String),
}

/// Whether the setting is to be kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "control", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(super) enum SysctlState {
    /// It is to be set and kept.
    #[default]
    Present,
    /// It is not to be kept any more.
    Absent,
}

/// A setting as it is or should be.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Found {
    /// In the running kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    now: Option<String>,
    /// After the next boot, if a file of ours keeps it; with the file that has the last word where that is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at_boot: Option<String>,
    /// What is set later than any file of ours could; no part of the state.
    #[serde(skip)]
    later: Option<files::Setting>,
    /// Whether nothing reads the file at boot; no part of the state.
    #[serde(skip)]
    unread: bool,
}

impl Sysctl {
    fn value(&self) -> String {
        match &self.value {
            Some(Setting::Number(number)) => number.to_string(),
            Some(Setting::Text(text)) => normal(text),
            None => String::new(),
        }
    }

    /// Where the kernel has it.
    fn live(&self) -> PathBuf {
        Path::new("/proc/sys").join(below_proc(&self.name))
    }

    /// The files that may keep it, the later ones last.
    fn own(&self) -> Vec<PathBuf> {
        let named = |begin: &str| format!("/etc/sysctl.d/{begin}-mk-{}.conf", self.name.replace('/', ".")).into();
        self.file.clone().map_or_else(|| vec![named("60"), named("zz")], |file| vec![file])
    }

    /// How it is kept.
    fn kept(&self, probe: &Probe) -> Result<Found> {
        let own = self.own();
        let mut found = Found::default();
        for file in &own {
            let value = files::text(probe, file)?.and_then(|text| files::last(&text, &self.name));
            found.at_boot = value.or(found.at_boot);
        }
        if self.state == SysctlState::Absent {
            return Ok(found);
        }
        let order = files::in_order(probe)?;
        let settings = files::settings(probe, &order, &self.name)?;
        let is_later = |file: &Path, own: &Path| files::is_later(&order, file, own);
        let other = settings.last().filter(|last| own.iter().all(|own| !is_later(own, &last.file)));
        let other = other.filter(|last| own.iter().any(|own| is_later(&last.file, own)));
        // What has the same value takes nothing away.
        if let (Some(value), Some(other)) = (&found.at_boot, other.filter(|o| found.at_boot.as_ref() != Some(&o.value)))
        {
            let words = format!("{}, by `{}`, in place of {value}", other.value, other.file.display());
            found.at_boot = Some(words);
        }
        let beyond = |file: &Path| own.iter().all(|own| is_later(file, own));
        found.later = settings.iter().rfind(|setting| beyond(&setting.file)).cloned();
        let is_old = self.file.as_deref() == Some(Path::new(OLD));
        found.unread = is_old && !order.iter().any(|(_, real)| real == Path::new(OLD));
        Ok(found)
    }

    /// The file to write it to: the earliest after which nothing has another value.
    fn target(&self, probe: &Probe) -> Result<PathBuf> {
        let own = self.own();
        let order = files::in_order(probe)?;
        let settings = files::settings(probe, &order, &self.name)?;
        let value = self.value();
        let stays = |file: &PathBuf| {
            let later = settings.iter().filter(|setting| !own.contains(&setting.file));
            later.filter(|setting| files::is_later(&order, &setting.file, file)).all(|setting| setting.value == value)
        };
        Ok(own.iter().find(|file| stays(file)).or(own.last()).cloned().unwrap_or_default())
    }

    /// Takes the parameter out of a file, and the file away when there is nothing else in it.
    fn drop_from(&self, hands: &Hands, file: &Path) -> Result {
        let Some(text) = files::text(hands, file)? else { return Ok(()) };
        let rest = files::edited(&text, &self.name, None);
        if rest == text {
            return Ok(());
        }
        if rest.trim().is_empty() {
            hands.remove(file)
        } else {
            hands.rewrite(file, rest.as_bytes(), Placement::default())
        }
    }
}

impl Operation for Sysctl {
    const NAME: &'static str = "sysctl";
    const SUBJECT: &'static str = "name";
    const DANGER: Danger = Danger::Write;
    const REMOVAL: Removal = Removal::Absent;
    const PLACES: &'static [&'static str] = &["/etc/sysctl.d"];
    const EXAMPLES: &'static [Example] = &[
        Example { title: "Packets are passed on.", code: r#"host.sysctl("net.ipv4.ip_forward", #{ value: 1 });"# },
        Example {
            title: "The running kernel only, as where a file of another's keeps it.",
            code: r#"host.sysctl("net.ipv4.ip_forward", #{ value: 1, keep: false });"#,
        },
        Example {
            title: "The setting is not kept any more.",
            code: r#"host.sysctl("net.ipv4.ip_forward", #{ state: "absent" });"#,
        },
    ];

    fn validate(&self) -> Result {
        let odd = |c: char| !(c.is_ascii_alphanumeric() || "._-/:@".contains(c));
        let parts = self.name.split(['.', '/']);
        if self.name.contains(odd) || parts.clone().any(str::is_empty) || parts.count() < 2 {
            return Err(Error::playbook(format!("`{}` cannot be the name of a kernel parameter", self.name)));
        }
        if self.file.as_ref().is_some_and(|file| !file.is_absolute()) {
            return Err(Error::parameter("file", "must be absolute"));
        }
        let passed_over = self.file.as_ref().is_some_and(|file| files::is_passed_over(file));
        // What was written there before can still be taken away.
        if passed_over && self.state == SysctlState::Present {
            return Err(Error::parameter("file", "must end in `.conf` in that folder, or nothing reads it at boot"));
        }
        if !self.keep && (self.file.is_some() || self.state == SysctlState::Absent) {
            return Err(Error::playbook("`keep: false` goes with neither `file` nor `state: \"absent\"`"));
        }
        match (&self.value, self.state) {
            (None, SysctlState::Present) => Err(Error::parameter("value", "is needed")),
            (Some(Setting::Text(text)), _) if text.trim().is_empty() || text.contains('\n') => {
                Err(Error::parameter("value", "must be one line of text"))
            }
            _ => Ok(()),
        }
    }
}

impl Resource for Sysctl {
    type State = Found;

    fn actual(&self, probe: &Probe) -> Result<Option<Found>> {
        let kept = if self.keep { self.kept(probe)? } else { Found::default() };
        if self.state == SysctlState::Absent {
            return Ok(Some(kept).filter(|kept| kept.at_boot.is_some()));
        }
        let Some(live) = probe.read(&self.live(), 64 * 1024)? else {
            let error = Error::step(format!("the kernel has no parameter `{}`", self.name));
            return Err(error.hint("some appear only once their module is loaded"));
        };
        Ok(Some(Found { now: Some(normal(&String::from_utf8_lossy(&live))), ..kept }))
    }

    fn desired(&self, actual: Option<&Found>) -> Result<Option<Found>> {
        if self.state == SysctlState::Absent {
            return Ok(None);
        }
        let value = self.value();
        if actual.is_some_and(|found| found.unread) {
            return Err(Error::step(format!("nothing reads `{OLD}` at boot on this host"))
                .hint("without `file` it is kept where systemd looks"));
        }
        if let Some(later) = actual.and_then(|found| found.later.as_ref()).filter(|later| later.value != value) {
            let message = format!(
                "`{}` sets `{}` to {} at boot, and is read after `{}`",
                later.file.display(),
                self.name,
                later.value,
                self.own().last().map(|own| own.display().to_string()).unwrap_or_default()
            );
            let hint = "`host.line` takes it out there, or `file` names one that is read later";
            return Err(Error::step(message).hint(hint));
        }
        Ok(Some(Found { now: Some(value.clone()), at_boot: self.keep.then_some(value), ..Found::default() }))
    }

    fn fix(&self, hands: &Hands, change: &Change<Found>) -> Result {
        let own = self.own();
        if change.desired.is_none() {
            return own.iter().try_for_each(|file| self.drop_from(hands, file));
        }
        // Where `/proc/sys` is read-only, as in most containers, what has its value already needs no write.
        if change.has("now") {
            hands.set_kernel(&self.live(), &self.value())?;
        }
        if change.has("at_boot") {
            let target = self.target(hands)?;
            let text =
                files::edited(&files::text(hands, &target)?.unwrap_or_default(), &self.name, Some(&self.value()));
            hands.rewrite(&target, text.as_bytes(), Placement::default())?;
            own.iter().filter(|file| **file != target).try_for_each(|file| self.drop_from(hands, file))?;
        }
        Ok(())
    }

    fn things(&self, state: Option<&Found>) -> Vec<Thing> {
        let mut call = json!({ "name": self.name, "state": "absent" });
        if let Some(file) = &self.file {
            call["file"] = json!(file);
        }
        let kept = state.filter(|found| found.at_boot.is_some());
        kept.map(|_| Thing::new(Self::NAME, &self.name, call)).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::alone::alone;
    use crate::op::contract::{Host, refusal};

    #[test]
    fn names_become_paths() {
        let live = |name: &str| {
            let op: Sysctl = serde_json::from_value(json!({ "name": name, "value": 1 })).unwrap();
            op.live().to_string_lossy().into_owned()
        };
        assert_eq!(live("net.ipv4.ip_forward"), "/proc/sys/net/ipv4/ip_forward");
        assert_eq!(live("net/ipv4/conf/eth0.5/rp_filter"), "/proc/sys/net/ipv4/conf/eth0.5/rp_filter");
    }

    fn pid_max() -> String {
        std::fs::read_to_string("/proc/sys/kernel/pid_max").unwrap().trim().to_owned()
    }

    #[test]
    fn a_value_that_the_kernel_has_already_is_only_written_down() {
        let host = Host::new();
        let file = host.path("60-demo.conf");
        let wish = json!({ "name": "kernel.pid_max", "value": pid_max(), "file": file });
        host.contract("sysctl", &[wish, json!({ "name": "kernel.pid_max", "state": "absent", "file": file })]);
        assert!(!file.exists());
    }

    #[test]
    fn what_was_written_down_is_taken_away_again_and_no_more() {
        let host = Host::new();
        let file = host.path("60-demo.conf");
        host.unmakes("sysctl", &json!({ "name": "kernel.pid_max", "value": pid_max(), "file": file }));
        assert!(!file.exists());
        let file = host.put("shared.conf", "net.core.somaxconn = 4096\n");
        host.unmakes("sysctl", &json!({ "name": "kernel.pid_max", "value": pid_max(), "file": file }));
        assert_eq!(host.get("shared.conf"), "net.core.somaxconn = 4096\n");
    }

    #[test]
    fn other_settings_of_a_file_stay() {
        let host = Host::new();
        let others = "# by hand\nnet.core.somaxconn = 4096\n";
        let file = host.put("shared.conf", &format!("{others}kernel.pid_max=7\n"));
        let wish = json!({ "name": "kernel.pid_max", "value": pid_max(), "file": file });
        host.contract("sysctl", &[wish]);
        assert_eq!(host.get("shared.conf"), format!("{others}kernel.pid_max = {}\n", pid_max()));
        host.contract("sysctl", &[json!({ "name": "kernel.pid_max", "state": "absent", "file": file })]);
        assert_eq!(host.get("shared.conf"), others);
    }

    /// `/etc` with nothing that sets a parameter, and files of `/usr` that cannot be the test's own.
    fn bare() {
        for entry in std::fs::read_dir("/etc/sysctl.d").into_iter().flatten().flatten() {
            std::fs::remove_file(entry.path()).unwrap();
        }
        std::fs::create_dir_all("/etc/sysctl.d").unwrap();
        std::fs::create_dir_all("/run/sysctl.d").unwrap();
        let _ = std::fs::remove_file("/etc/sysctl.conf");
    }

    #[test]
    fn a_file_that_is_read_later_is_outdone_by_one_that_is_later_still() {
        alone(&[], |_| {
            bare();
            std::fs::create_dir_all("/run/systemd/system").unwrap();
            std::fs::write("/etc/sysctl.conf", "kernel.pid_max=7\n").unwrap();
            let wish = json!({ "name": "kernel.pid_max", "value": pid_max() });
            let (first, last) = ("/etc/sysctl.d/60-mk-kernel.pid_max.conf", "/etc/sysctl.d/zz-mk-kernel.pid_max.conf");
            // Nothing reads the old file on a host with systemd.
            Host::new().contract("sysctl", std::slice::from_ref(&wish));
            assert!(Path::new(first).exists() && !Path::new(last).exists());
            std::os::unix::fs::symlink("../sysctl.conf", "/etc/sysctl.d/99-sysctl.conf").unwrap();
            let diff = Host::new().check("sysctl", wish.clone()).diff.unwrap();
            let before = diff.fields[0].before.clone().unwrap();
            assert_eq!(before, format!("7, by `/etc/sysctl.d/99-sysctl.conf`, in place of {}", pid_max()));
            Host::new().contract("sysctl", std::slice::from_ref(&wish));
            assert!(!Path::new(first).exists() && Path::new(last).exists());
            assert_eq!(std::fs::read_to_string("/etc/sysctl.conf").unwrap(), "kernel.pid_max=7\n");
            Host::new().contract("sysctl", &[json!({ "name": "kernel.pid_max", "state": "absent" })]);
            assert!(!Path::new(last).exists());
        });
    }

    #[test]
    fn a_file_with_the_last_word_is_named() {
        alone(&[], |_| {
            bare();
            std::fs::write("/run/sysctl.d/zzz.conf", "kernel/pid_max = 7\n").unwrap();
            let own = |more: &str| json!({ "name": "kernel.pid_max", "value": pid_max(), "file": more });
            let error =
                Host::new().try_check("sysctl", json!({ "name": "kernel.pid_max", "value": pid_max() })).unwrap_err();
            let said = "`/run/sysctl.d/zzz.conf` sets `kernel.pid_max` to 7 at boot, and is read after \
                        `/etc/sysctl.d/zz-mk-kernel.pid_max.conf`";
            assert_eq!(error.message(), said);
            Host::new().contract("sysctl", &[own("/etc/sysctl.d/zzzz.conf")]);
            // One of the same name in an earlier folder takes its place.
            std::fs::remove_file("/etc/sysctl.d/zzzz.conf").unwrap();
            std::os::unix::fs::symlink("/dev/null", "/etc/sysctl.d/zzz.conf").unwrap();
            Host::new().contract("sysctl", &[own("/etc/sysctl.d/61-x.conf")]);
        });
    }

    #[test]
    fn the_old_file_is_the_last_without_systemd_and_none_with_it() {
        alone(&[], |_| {
            bare();
            let wish = json!({ "name": "kernel.pid_max", "value": pid_max(), "file": "/etc/sysctl.conf" });
            std::fs::write("/etc/sysctl.d/zzz.conf", "kernel.pid_max = 7\n").unwrap();
            Host::new().contract("sysctl", std::slice::from_ref(&wish));
            std::fs::create_dir_all("/run/systemd/system").unwrap();
            let error = Host::new().try_check("sysctl", wish).unwrap_err();
            assert_eq!(error.message(), "nothing reads `/etc/sysctl.conf` at boot on this host");
        });
    }

    #[test]
    fn what_is_not_kept_writes_no_file() {
        let host = Host::new();
        let pid_max = std::fs::read_to_string("/proc/sys/kernel/pid_max").unwrap();
        let wish = json!({ "name": "kernel.pid_max", "value": pid_max.trim(), "keep": false });
        assert!(!host.check("sysctl", wish).status.changed());
        let other = json!({ "name": "kernel.pid_max", "value": 1, "keep": false });
        let foretold = host.check("sysctl", other);
        let diff = serde_json::to_string(&foretold.diff).unwrap();
        assert!(foretold.status.changed() && diff.contains("now") && !diff.contains("at_boot"), "{diff}");
        let both = json!({ "name": "kernel.pid_max", "value": 1, "keep": false, "file": "/x" });
        assert!(refusal("sysctl", both).contains("goes with neither"));
    }

    #[test]
    fn a_parameter_that_is_not_there_is_a_fault() {
        let error = Host::new().try_check("sysctl", json!({ "name": "net.no.such", "value": 1 })).unwrap_err();
        assert_eq!(error.message(), "the kernel has no parameter `net.no.such`");
        assert!(refusal("sysctl", json!({ "name": "net..x", "value": 1 })).contains("cannot be the name"));
        assert!(refusal("sysctl", json!({ "name": "../x", "value": 1 })).contains("cannot be the name"));
        assert_eq!(refusal("sysctl", json!({ "name": "net.x" })), "sysctl: `value` is needed");
    }

    #[test]
    fn a_file_that_no_boot_would_read_is_refused() {
        let wish = |file: &str| json!({ "name": "net.x.y", "value": 1, "file": file });
        for file in ["/etc/sysctl.d/60-mine", "/usr/lib/sysctl.d/x.conf.old", "/run/sysctl.d/.conf"] {
            assert!(refusal("sysctl", wish(file)).contains("must end in `.conf`"), "{file}");
        }
        for file in ["/etc/sysctl.d/60-mine.conf", "/srv/mine", "/etc/sysctl.d/below/mine"] {
            let op: Sysctl = serde_json::from_value(wish(file)).unwrap();
            assert!(op.validate().is_ok(), "{file}");
        }
    }
}
