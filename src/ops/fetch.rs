//! `fetch`: a file of the host, brought to the control side.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::change::{Change, Content};
use crate::error::{Context, Error, Result};
use crate::op::{Danger, Example, FileMode, Operation, Resource};
use crate::sys::{Hands, Kind, Look, Probe};
use crate::wire::Attachment;

/// Brings a file of the host to the control side, into the project's folder.
///
/// It travels only when this side does not have the same bytes already, takes the old file's place whole or not
/// at all, and is never shown: events and diffs have its digest and length. A file that grows meanwhile comes as
/// it was when the step began. The host stays as it is. The outcome has `path`, where the file is on this side.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "control", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Fetch {
    /// Absolute path of a file on the host.
    pub src: PathBuf,
    /// Where it goes on this side: a file below the project's folder, which it never leaves. `{name}` stands for
    /// the host's name; one that ends with `/` is a folder, in which the file is at `NAME/PATH-ON-THE-HOST`.
    #[serde(default = "folder")]
    pub dest: String,
    /// Permission bits of the file on this side, in octal. 0600 by default.
    #[serde(default = "private")]
    pub mode: FileMode,
    /// The longest file that is brought, in bytes. 100 MiB by default.
    #[serde(default = "most")]
    pub limit: u64,
    /// Whether it is a fault when the file is not on the host. Otherwise there is nothing to do then, and a file
    /// that an earlier run has brought stays.
    #[serde(default = "yes")]
    pub required: bool,
    /// Where it goes, as the control side worked it out.
    #[serde(skip)]
    #[cfg_attr(feature = "control", schemars(skip))]
    path: Option<PathBuf>,
    /// What the host has, measured once: what is brought is what was promised, also when the file grows.
    #[serde(skip)]
    #[cfg_attr(feature = "control", schemars(skip))]
    source: OnceLock<Option<Content>>,
}

fn folder() -> String {
    "fetched/".to_owned()
}

fn private() -> FileMode {
    FileMode(0o600)
}

fn most() -> u64 {
    100 * 1024 * 1024
}

fn yes() -> bool {
    true
}

/// The file on the control side, as it is or should be.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Fetched {
    path: PathBuf,
    content: Content,
    mode: FileMode,
}

impl Fetch {
    fn measure(&self, probe: &Probe) -> Result<Option<Content>> {
        if let Some(known) = self.source.get() {
            return Ok(known.clone());
        }
        let shown = self.src.display();
        let found = match probe.follow(&self.src)? {
            None if self.required => return Err(Error::step(format!("`{shown}` does not exist"))),
            None => None,
            Some(Look { kind: Kind::File, size, .. }) if size > self.limit => {
                let error = Error::step(format!("`{shown}` has {size} bytes, more than {}", self.limit));
                return Err(error.hint("`limit` allows more"));
            }
            Some(Look { kind: Kind::File, .. }) => probe.content(&self.src)?,
            Some(_) => return Err(Error::step(format!("`{shown}` is not a file"))),
        };
        // The text must not get into a diff: what a host keeps may be a secret nobody here knows of.
        let found = found.map(|content| Content { text: None, ..content });
        Ok(self.source.get_or_init(|| found).clone())
    }

    fn dest(&self) -> Result<&Path> {
        self.path.as_deref().ok_or_else(|| Error::internal("`dest` was not worked out on the control side"))
    }
}

impl Operation for Fetch {
    const NAME: &'static str = "fetch";
    const SUBJECT: &'static str = "src";
    const VALUES: &'static [&'static str] = &["path"];
    // Of the host nothing is changed, so it needs no lock there.
    const DANGER: Danger = Danger::Read;
    const EXAMPLES: &'static [Example] = &[
        Example {
            title: "A file of every host, each at `fetched/NAME/etc/os-release` in the project.",
            code: r#"host.fetch("/etc/os-release");"#,
        },
        Example {
            title: "Under a name of its own, for everyone to read.",
            code: r#"host.fetch("/etc/ssh/sshd_config", #{ dest: "fetched/{name}.sshd_config", mode: "0644", limit: 65536 });"#,
        },
    ];

    fn validate(&self) -> Result {
        if !self.src.is_absolute() {
            return Err(Error::parameter("src", format!("must be absolute, not `{}`", self.src.display())));
        }
        if self.dest.is_empty() {
            return Err(Error::parameter("dest", "is empty"));
        }
        Ok(())
    }

    fn attach(&mut self, attachment: Attachment) -> Result {
        let Attachment::Destination(path) = attachment else {
            return Err(Error::internal("`dest` was not worked out on the control side"));
        };
        self.path = Some(path);
        Ok(())
    }
}

impl Resource for Fetch {
    type State = Fetched;

    fn actual(&self, probe: &Probe) -> Result<Option<Fetched>> {
        if self.measure(probe)?.is_none() {
            return Ok(None);
        }
        let answer = probe.ask(json!("what is there"))?;
        serde_json::from_value(answer).map_err(|e| Error::internal("an answer that cannot be read").because(e))
    }

    fn desired(&self, _actual: Option<&Fetched>) -> Result<Option<Fetched>> {
        let Some(Some(content)) = self.source.get().cloned() else { return Ok(None) };
        Ok(Some(Fetched { path: self.dest()?.to_owned(), content, mode: self.mode }))
    }

    fn fix(&self, hands: &Hands, change: &Change<Fetched>) -> Result {
        let Some(Fetched { content, .. }) = &change.desired else { return Ok(()) };
        let failed = || format!("cannot read `{}`", self.src.display());
        let file = std::fs::File::open(&self.src).or_step(failed)?;
        let mut sink = hands.give(&content.sha256, content.size)?;
        std::io::copy(&mut file.take(content.size), &mut sink).or_step(failed)?;
        Ok(())
    }

    fn values(&self, actual: Option<&Fetched>) -> Map<String, Value> {
        let path = actual.map(|found| ("path".to_owned(), Value::from(found.path.display().to_string())));
        path.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::contract::{Host, refusal};
    use crate::wire::Mode;

    /// A control side that has what it was given last.
    fn side(host: &mut Host) {
        let taken = std::rc::Rc::clone(&host.side.taken);
        host.side.answers = Some(Box::new(move |_| {
            let bytes = taken.borrow();
            let state = Fetched { path: "/p/f".into(), content: Content::of(&bytes), mode: FileMode(0o600) };
            Ok(if bytes.is_empty() { Value::Null } else { serde_json::to_value(state).unwrap() })
        }));
    }

    #[test]
    fn bringing_a_file_and_its_new_version_hold_the_contract() {
        let mut host = Host::new();
        side(&mut host);
        let src = host.put("f", "one");
        let wish = json!({ "src": src, "attached": { "destination": "/p/f" } });
        host.contract("fetch", std::slice::from_ref(&wish));
        host.put("f", "two!");
        host.contract("fetch", &[wish]);
        assert_eq!(host.side.taken.borrow().as_slice(), b"two!");
    }

    #[test]
    fn its_text_is_in_no_outcome() {
        let mut host = Host::new();
        side(&mut host);
        let src = host.put("f", "the canary");
        for mode in [Mode::Check, Mode::Apply] {
            let wish = json!({ "src": src, "attached": { "destination": "/p/f" } });
            let outcome = if mode == Mode::Check { host.check("fetch", wish) } else { host.apply("fetch", wish) };
            assert!(outcome.status.changed());
            assert!(!serde_json::to_string(&outcome).unwrap().contains("canary"));
        }
    }

    #[test]
    fn what_is_missing_too_long_or_no_file_is_a_fault() {
        let mut host = Host::new();
        side(&mut host);
        let src = host.put("f", "four");
        let message = |args| host.try_check("fetch", args).unwrap_err().message().to_owned();
        assert!(
            message(json!({ "src": "/no/such", "attached": { "destination": "/p" } }))
                .ends_with("`/no/such` does not exist")
        );
        assert!(message(json!({ "src": "/etc", "attached": { "destination": "/p" } })).ends_with("is not a file"));
        assert!(
            message(json!({ "src": src, "limit": 3, "attached": { "destination": "/p" } }))
                .ends_with("has 4 bytes, more than 3")
        );
        let none =
            host.apply("fetch", json!({ "src": "/no/such", "required": false, "attached": { "destination": "/p" } }));
        assert_eq!(none.status, crate::change::Status::Ok);
        assert!(refusal("fetch", json!({ "src": "f" })).contains("must be absolute"));
    }
}
