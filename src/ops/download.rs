//! `download`: a file from the network, by way of the control side.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::change::Change;
use crate::error::{Error, Result};
use crate::op::{Argv, Danger, Effects, Example, FileMode, Operation, Resource};
use crate::sys::{Attrs, FileSpec, FileState, Hands, Probe};
use crate::wire::{Attachment, Payload};

/// Fetches a file and puts it on the host.
///
/// The control side fetches it, checks its sum and keeps it, so that the host needs no way to the network and
/// ten hosts cost one download. A file without a known sum is fetched again in every run, and only when
/// `insecure` says that this is meant. Writing is as for `copy`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "control", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Download {
    /// Absolute path on the host.
    pub dest: PathBuf,
    /// Where it is, over https or http. Either this or `artifact`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// An artifact of the project's `artifacts.lock.yaml`, for the host's architecture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<String>,
    /// The artifact's version, where the lock has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Hex SHA-256 that the file at `url` must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Hex SHA-512 that the file at `url` must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha512: Option<String>,
    /// Take whatever is at `url`, without knowing its sum.
    #[serde(default)]
    pub insecure: bool,
    /// Permission bits in octal, such as `"0755"`. An existing file keeps its own, a new one gets 0644.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<FileMode>,
    /// The owner's name or number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The group's name or number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// A command that must accept the new content before it takes its place; `%s` stands for its path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validate: Option<Argv>,
    /// Keep the old file beside the new one, with the time in its name.
    #[serde(default)]
    pub backup: bool,
    /// The bytes that were fetched.
    #[serde(skip)]
    #[cfg_attr(feature = "control", schemars(skip))]
    pub attached: Attachment,
}

impl Download {
    fn file_spec(&self) -> FileSpec {
        FileSpec {
            dest: self.dest.clone(),
            attrs: Attrs { mode: self.mode.map(|mode| mode.0), owner: self.owner.clone(), group: self.group.clone() },
            validate: self.validate.clone().map(|words| words.0),
            backup: self.backup,
        }
    }

    fn payload(&self) -> Result<Payload> {
        self.attached.payload()
    }
}

impl Operation for Download {
    const NAME: &'static str = "download";
    const SUBJECT: &'static str = "dest";
    const VALUES: &'static [&'static str] = &["path"];
    const DANGER: Danger = Danger::Write;
    const EXAMPLES: &'static [Example] = &[Example {
        title: "A program that is released as one file.",
        code: r#"host.download("/usr/local/bin/runc", #{ artifact: "runc", mode: "0755" });"#,
    }];

    fn validate(&self) -> Result {
        let wrong = |name: &str, what: &str| Err(Error::parameter(name, what));
        let summed = self.sha256.is_some() || self.sha512.is_some();
        match (&self.url, &self.artifact) {
            (Some(_), Some(_)) => return wrong("url", "and `artifact` exclude each other"),
            (None, None) => return Err(Error::playbook("either `url` or `artifact` is needed")),
            (None, Some(_)) if summed || self.insecure => {
                return Err(Error::playbook("the sum of an `artifact` is in its lock"));
            }
            (Some(_), None) if self.version.is_some() => return wrong("version", "is only for an `artifact`"),
            (Some(_), None) if summed && self.insecure => {
                return wrong("insecure", "is for a file whose sum is not known");
            }
            (Some(_), None) if !summed && !self.insecure => {
                return Err(Error::parameter("sha256", "or `sha512` is needed")
                    .hint("`insecure: true` takes whatever is there, from whoever stands on the way"));
            }
            (Some(url), None) if !url.starts_with("https://") && !url.starts_with("http://") => {
                return Err(Error::parameter("url", format!("must begin with `https://` or `http://`, not `{url}`")));
            }
            _ => {}
        }
        for (name, sum, length) in [("sha256", &self.sha256, 64), ("sha512", &self.sha512, 128)] {
            let is_hex = |sum: &String| sum.len() == length && sum.bytes().all(|b| b.is_ascii_hexdigit());
            if let Some(sum) = sum.as_ref().filter(|sum| !is_hex(sum)) {
                return Err(Error::parameter(name, format!("must be {length} hexadecimal digits, not `{sum}`")));
            }
        }
        Ok(())
    }

    fn attach(&mut self, attachment: Attachment) -> Result {
        self.attached = attachment;
        Ok(())
    }
}

impl Resource for Download {
    type State = FileState;

    fn actual(&self, probe: &Probe) -> Result<Option<FileState>> {
        self.file_spec().actual(probe)
    }

    fn desired(&self, _actual: Option<&FileState>) -> Result<Option<FileState>> {
        Ok(Some(self.file_spec().desired(self.payload()?.content()?)))
    }

    fn fix(&self, hands: &Hands, change: &Change<FileState>) -> Result {
        self.file_spec().fix(hands, change, &self.payload()?)
    }

    fn effects(&self, desired: Option<&FileState>) -> Effects {
        self.file_spec().effects(desired)
    }

    fn values(&self, _actual: Option<&FileState>) -> Map<String, Value> {
        Map::from_iter([("path".to_owned(), Value::from(self.dest.to_string_lossy()))])
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::op::contract::{Host, refusal};

    #[test]
    fn content_that_is_offered_by_digest_holds_the_contract() {
        let mut host = Host::new();
        let sha256 = host.side.offer(&vec![7; 100_000]);
        let payload = json!({ "sha256": sha256, "size": 100_000 });
        let wish = |mode: &str| {
            json!({ "dest": host.path("f"), "url": "https://x/f", "sha256": sha256, "mode": mode,
                    "attached": { "content": payload } })
        };
        host.contract("download", &[wish("0644"), wish("0755")]);
    }

    #[test]
    fn a_sum_is_needed_unless_the_danger_is_meant() {
        let message = |args| refusal("download", args);
        assert_eq!(message(json!({ "dest": "/f", "url": "https://x" })), "download: `sha256` or `sha512` is needed");
        assert!(message(json!({ "dest": "/f", "url": "https://x", "sha256": "ab" })).contains("64 hexadecimal digits"));
        assert!(message(json!({ "dest": "/f", "url": "ftp://x", "insecure": true })).contains("must begin with"));
        assert!(message(json!({ "dest": "/f", "artifact": "x", "insecure": true })).contains("in its lock"));
        assert!(message(json!({ "dest": "/f" })).contains("either `url` or `artifact`"));
    }
}
