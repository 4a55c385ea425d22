//! `hostname`: the host's name.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::change::Change;
use crate::error::{Context, Error, Result};
use crate::op::{Danger, Example, Operation, Resource, Shows};
use crate::sys::{Command, Hands, Placement, Probe};

/// Gives the host its name, now and after every boot.
///
/// The hosts file is left alone: `line` or `block` can name the host there.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "control", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct Hostname {
    /// The name: letters, digits, hyphens and dots.
    pub name: String,
}

/// Where the name of the next boot is kept.
const FILE: &str = "/etc/hostname";

/// The two names of a host.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Names {
    /// The one it has now.
    now: String,
    /// The one it gets when it starts.
    at_boot: String,
}

/// The name in a hostname file, in which comments are allowed.
fn parse(text: &str) -> String {
    let name = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    name.unwrap_or_default().to_owned()
}

impl Operation for Hostname {
    const NAME: &'static str = "hostname";
    const SUBJECT: &'static str = "name";
    const DANGER: Danger = Danger::Write;
    const SHOWS: Shows = Shows::All;
    const PLACES: &'static [&'static str] = &["/etc/hostname", "/etc/hosts"];
    const EXAMPLES: &'static [Example] = &[Example { title: "A name.", code: r#"host.hostname("mk-demo");"# }];

    fn validate(&self) -> Result {
        let part = |part: &str| {
            let plain = part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            plain && (1..=63).contains(&part.len()) && !part.starts_with('-') && !part.ends_with('-')
        };
        // The kernel keeps no more than 64 bytes.
        if self.name.len() > 64 || !self.name.split('.').all(part) {
            return Err(Error::playbook(format!("`{}` cannot be the name of a host", self.name)));
        }
        Ok(())
    }
}

impl Resource for Hostname {
    type State = Names;

    fn actual(&self, probe: &Probe) -> Result<Option<Names>> {
        let now = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let text = probe.read(Path::new(FILE), 4096)?.unwrap_or_default();
        Ok(Some(Names { now, at_boot: parse(&String::from_utf8_lossy(&text)) }))
    }

    fn desired(&self, _actual: Option<&Names>) -> Result<Option<Names>> {
        Ok(Some(Names { now: self.name.clone(), at_boot: self.name.clone() }))
    }

    fn fix(&self, hands: &Hands, change: &Change<Names>) -> Result {
        // systemd keeps both names and tells those who want to know of a change; it may not be reachable yet.
        if Path::new("/run/systemd/system").is_dir() && hands.program("hostnamectl").is_some() {
            let command = Command::parsed(["hostnamectl", "set-hostname", &self.name]);
            if hands.run(&command).is_ok_and(|ran| ran.success()) {
                return Ok(());
            }
        }
        if change.has("at_boot") {
            hands.write(Path::new(FILE), format!("{}\n", self.name).as_bytes(), Placement::default())?;
        }
        rustix::system::sethostname(self.name.as_bytes()).or_step(|| "cannot set the host's name".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::parse;
    use crate::change::Status;
    use crate::op::alone::alone;
    use crate::op::contract::{Host, refusal};

    #[test]
    fn a_name_for_now_and_for_every_boot_holds_the_contract() {
        alone(&[], |_| {
            Host::new().contract("hostname", &[json!({ "name": "mk-one" }), json!({ "name": "mk-two.example" })]);
            assert_eq!(std::fs::read_to_string("/etc/hostname").unwrap(), "mk-two.example\n");
        });
    }

    #[test]
    fn the_file_may_have_comments() {
        assert_eq!((parse("# mine\n\n web-1 \n").as_str(), parse("").as_str()), ("web-1", ""));
    }

    #[test]
    fn a_check_says_which_of_the_names_differ() {
        let host = Host::new();
        let outcome = host.check("hostname", json!({ "name": "mk-none" }));
        assert_eq!((outcome.status, outcome.diff.unwrap().fields.len()), (Status::WouldChange, 2));
        assert_eq!(host.check("hostname", json!({ "name": "mk-none" })).status, Status::Ok);
    }

    #[test]
    fn what_cannot_be_a_name_is_refused() {
        for wrong in ["", "-a", "a-", "a..b", "a_b", "a b", &"a".repeat(65)] {
            assert!(refusal("hostname", json!({ "name": wrong })).contains("cannot be the name"), "{wrong}");
        }
    }
}
