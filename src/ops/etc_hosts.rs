//! `etc_hosts`: names of other hosts, in a block of the hosts file.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::change::{Change, Thing};
use crate::error::{Error, Result};
use crate::op::{Danger, Effects, Example, Operation, Removal, Resource};
use crate::sys::{Attrs, Edited, Editing, FileSpec, Hands, Lines, Probe};

/// Keeps names and addresses in a block of `/etc/hosts` that is mk's own; everything else there stays as it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "control", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct EtcHosts {
    /// What the block is called, so that there can be several.
    pub name: String,
    /// The names, in order. An empty array removes the block.
    pub entries: Vec<Entry>,
    /// The host's own name: a line that gives it to 127.0.1.1, as installers write, is commented out, because what
    /// listens on that name would then be reached by nobody else. It comes back when the block is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_name: Option<String>,
    /// The file. `/etc/hosts` by default.
    #[serde(default = "file")]
    pub path: PathBuf,
}

/// One address and its names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "control", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    /// The address.
    pub ip: String,
    /// The names, the full one first.
    pub names: Vec<String>,
}

fn file() -> PathBuf {
    "/etc/hosts".into()
}

impl EtcHosts {
    fn editing(&self) -> Editing {
        let attrs = Attrs::default();
        let file = FileSpec { dest: self.path.clone(), attrs, validate: None, backup: false };
        Editing { file, create: true, present: true }
    }

    fn begin(&self) -> String {
        format!("# BEGIN mk: {}", self.name)
    }

    fn edit(&self, text: &str) -> Result<String> {
        let mut lines = Lines::of(text);
        let (begin, end) = (self.begin(), format!("# END mk: {}", self.name));
        let set_aside = format!("# mk, for {}: ", self.name);
        let own = self.own_name.as_deref();
        let changed: Vec<(usize, String)> = lines
            .bare()
            .enumerate()
            .filter_map(|(at, line)| match own {
                Some(own) if gives_loopback(line, own) => Some((at, format!("{set_aside}{line}"))),
                None if self.entries.is_empty() => Some((at, line.strip_prefix(&set_aside)?.to_owned())),
                _ => None,
            })
            .collect();
        for (at, line) in changed {
            lines.replace(at, &line);
        }
        let first = lines.bare().position(|line| line == begin);
        let place = match first {
            Some(first) => {
                let length = lines.bare().skip(first).position(|line| line == end);
                let length =
                    length.ok_or_else(|| Error::step(format!("the block has lost its end: no line `{end}`")))?;
                lines.remove(first..=first + length);
                first
            }
            None => lines.bare().len(),
        };
        if !self.entries.is_empty() {
            let table: Vec<String> =
                self.entries.iter().map(|entry| format!("{} {}", entry.ip, entry.names.join(" "))).collect();
            let all = [begin.as_str()].into_iter().chain(table.iter().map(String::as_str)).chain([end.as_str()]);
            lines.insert(place, all);
        }
        Ok(lines.text())
    }
}

/// Whether a line gives a name to 127.0.1.1.
fn gives_loopback(line: &str, name: &str) -> bool {
    let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
    words.next() == Some("127.0.1.1") && words.any(|word| word == name || word.split('.').next() == Some(name))
}

impl Operation for EtcHosts {
    const NAME: &'static str = "etc_hosts";
    const SUBJECT: &'static str = "name";
    const DANGER: Danger = Danger::Write;
    const REMOVAL: Removal = Removal::Empty("entries");
    const PLACES: &'static [&'static str] = &["/etc/hosts"];
    const EXAMPLES: &'static [Example] = &[Example {
        title: "Two machines that this one should know.",
        code: r#"host.etc_hosts("demo", #{ entries: [#{ ip: "192.0.2.1", names: ["one.example", "one"] }, #{ ip: "192.0.2.2", names: ["two"] }] });"#,
    }];

    fn validate(&self) -> Result {
        if self.name.is_empty() || self.name.contains('\n') {
            return Err(Error::parameter("name", "must be one line of text"));
        }
        for entry in &self.entries {
            if entry.ip.parse::<IpAddr>().is_err() {
                return Err(Error::playbook(format!("`{}` is no address", entry.ip)));
            }
            let odd = |name: &String| name.is_empty() || name.contains(|c: char| c.is_whitespace() || c == '#');
            if entry.names.is_empty() || entry.names.iter().any(odd) {
                return Err(Error::playbook(format!("`{}` needs names, each one word", entry.ip)));
            }
        }
        Ok(())
    }
}

impl Resource for EtcHosts {
    type State = Edited;

    fn actual(&self, probe: &Probe) -> Result<Option<Edited>> {
        self.editing().actual(probe)
    }

    fn desired(&self, actual: Option<&Edited>) -> Result<Option<Edited>> {
        self.editing().desired(actual, |text| self.edit(text))
    }

    fn fix(&self, hands: &Hands, change: &Change<Edited>) -> Result {
        self.editing().fix(hands, change)
    }

    fn things(&self, state: Option<&Edited>) -> Vec<Thing> {
        let begin = self.begin();
        let there = Editing::text(state).lines().any(|line| line == begin);
        let call = json!({ "name": self.name, "entries": [], "path": self.path });
        let thing = || Thing::new(Self::NAME, format!("{} {}", self.path.display(), self.name), call);
        there.then(thing).into_iter().collect()
    }

    fn effects(&self, desired: Option<&Edited>) -> Effects {
        self.editing().effects(desired)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::op::contract::{Host, refusal};

    #[test]
    fn the_block_is_kept_and_the_loopback_line_of_the_own_name_is_set_aside_until_it_goes() {
        let host = Host::new();
        let own = "127.0.1.1 n1.example n1\n";
        let before = format!("127.0.0.1 localhost\n{own}::1 localhost\n");
        let path = host.put("hosts", &before);
        let wish =
            |entries: serde_json::Value| json!({ "name": "k", "entries": entries, "own_name": "n1", "path": path });
        host.contract(
            "etc_hosts",
            &[
                wish(json!([{ "ip": "10.0.0.1", "names": ["n1.example", "n1"] }])),
                wish(json!([{ "ip": "10.0.0.2", "names": ["n2"] }])),
            ],
        );
        assert_eq!(
            host.get("hosts"),
            format!("127.0.0.1 localhost\n# mk, for k: {own}::1 localhost\n# BEGIN mk: k\n10.0.0.2 n2\n# END mk: k\n")
        );
        host.contract("etc_hosts", &[json!({ "name": "k", "entries": [], "path": path })]);
        assert_eq!(host.get("hosts"), before);
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let wish = json!({ "name": "k", "entries": [{ "ip": "ten", "names": ["a"] }] });
        assert_eq!(refusal("etc_hosts", wish), "etc_hosts: `ten` is no address");
    }
}
