//! `sysctl`: a setting of the kernel.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::change::Change;
use crate::error::{Error, Result};
use crate::op::{Danger, Example, Operation, Resource};
use crate::sys::{Hands, Placement, Probe};

/// Sets a parameter of the running kernel, and keeps it for every boot in a file of its own.
///
/// With `keep: false` only the running kernel is set, and its files are left as they are.
/// Absent removes that file and leaves the running kernel as it is: what the value was before is not known.
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
    /// The file that keeps it; nothing else belongs in there. `/etc/sysctl.d/60-mk-NAME.conf` by default.
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
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Found {
    /// In the running kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    now: Option<String>,
    /// In the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at_boot: Option<String>,
}

/// Values are compared without regard to how their parts are set apart.
fn normal(value: &str) -> String {
    value.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What a file sets a parameter to, if it sets this and nothing else.
fn parse(text: &str, name: &str) -> String {
    let comment = |line: &&str| line.is_empty() || line.starts_with(['#', ';']);
    let mut lines = text.lines().map(str::trim).filter(|line| !comment(line));
    match (lines.next().and_then(|line| line.split_once('=')), lines.next()) {
        (Some((key, value)), None) if key.trim() == name => normal(value),
        _ => "something else".to_owned(),
    }
}

impl Sysctl {
    fn value(&self) -> String {
        match &self.value {
            Some(Setting::Number(number)) => number.to_string(),
            Some(Setting::Text(text)) => normal(text),
            None => String::new(),
        }
    }

    /// Where the kernel has it. As for `sysctl`, the first separator says which one it is.
    fn live(&self) -> PathBuf {
        let slashes = self.name.find(['.', '/']).is_some_and(|at| self.name[at..].starts_with('/'));
        let path = if slashes { self.name.clone() } else { self.name.replace('.', "/") };
        Path::new("/proc/sys").join(path)
    }

    fn file(&self) -> PathBuf {
        let own = || format!("/etc/sysctl.d/60-mk-{}.conf", self.name.replace('/', ".")).into();
        self.file.clone().unwrap_or_else(own)
    }
}

impl Operation for Sysctl {
    const NAME: &'static str = "sysctl";
    const SUBJECT: &'static str = "name";
    const DANGER: Danger = Danger::Write;
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
        let file = if self.keep { probe.read(&self.file(), 64 * 1024)? } else { None };
        let at_boot = file.map(|bytes| parse(&String::from_utf8_lossy(&bytes), &self.name));
        if self.state == SysctlState::Absent {
            return Ok(at_boot.map(|value| Found { now: None, at_boot: Some(value) }));
        }
        let path = self.live();
        let Some(live) = probe.read(&path, 64 * 1024)? else {
            let error = Error::step(format!("the kernel has no parameter `{}`", self.name));
            return Err(error.hint("some appear only once their module is loaded"));
        };
        Ok(Some(Found { now: Some(normal(&String::from_utf8_lossy(&live))), at_boot }))
    }

    fn desired(&self, _actual: Option<&Found>) -> Result<Option<Found>> {
        let found = Found { now: Some(self.value()), at_boot: self.keep.then(|| self.value()) };
        Ok((self.state == SysctlState::Present).then_some(found))
    }

    fn fix(&self, hands: &Hands, change: &Change<Found>) -> Result {
        let file = self.file();
        if change.desired.is_none() {
            return hands.remove(&file);
        }
        // Where `/proc/sys` is read-only, as in most containers, what has its value already needs no write.
        if change.has("now") {
            hands.set_kernel(&self.live(), &self.value())?;
        }
        if change.has("at_boot") {
            let text = format!("{} = {}\n", self.name, self.value());
            hands.write(&file, text.as_bytes(), Placement { mode: Some(0o644), ..Placement::default() })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
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

    #[test]
    fn files_are_read_with_comments_and_blanks() {
        assert_eq!(parse("# x\n\n net.a =  1\t2 \n", "net.a"), "1 2");
        assert_eq!(
            (parse("net.b=1", "net.a").as_str(), parse("net.a=1\nnet.b=1", "net.a").as_str()),
            ("something else", "something else")
        );
    }

    #[test]
    fn a_value_that_the_kernel_has_already_is_only_written_down() {
        let host = Host::new();
        let pid_max = std::fs::read_to_string("/proc/sys/kernel/pid_max").unwrap();
        let file = host.path("60-demo.conf");
        let wish = json!({ "name": "kernel.pid_max", "value": pid_max.trim(), "file": file });
        host.contract("sysctl", &[wish, json!({ "name": "kernel.pid_max", "state": "absent", "file": file })]);
        assert!(!file.exists());
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
}
