//! `cert`: a certificate whose key is born on its host.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::change::Change;
use crate::error::{Error, Result};
use crate::op::{Danger, Effects, Example, FileMode, HumanDuration, Operation, Resource};
use crate::sys::{Attrs, Effect, Hands, Kind, Placement, Planned, Probe, new_private_key, public_half};
use crate::wire::Attachment;

/// A certificate with its private key, issued by one of mk's own authorities.
///
/// The key is made on the host and never leaves it; only its public half travels to the control side, which
/// signs. The certificate is issued again when the request has changed, when its key is another one, or when
/// it is about to expire. A certificate of an authority of the same name that is not mk's own is never replaced
/// silently: that stops the step.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "control", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Cert {
    /// Absolute path on the host, without an ending: the certificate is at `PATH.crt`, the key at `PATH.key`.
    pub path: PathBuf,
    /// The authority that issues it, made by `ca(…)`.
    pub ca: String,
    /// The common name of its subject.
    pub cn: String,
    /// The organisation of its subject; Kubernetes reads it as the group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub o: Option<String>,
    /// Names and addresses it is valid for.
    #[serde(default)]
    pub sans: Vec<String>,
    /// What it may be used for: `"server"`, `"client"` or both.
    #[serde(default = "both")]
    pub usage: Vec<Usage>,
    /// How long it is valid. A year by default.
    #[serde(default = "year")]
    pub valid: HumanDuration,
    /// How long before its end it is issued again. 30 days by default.
    #[serde(default = "month")]
    pub renew: HumanDuration,
    /// The owner of both files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The group of both files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Permission bits of the key, in octal. 0600 by default; the certificate has 0644.
    #[serde(default = "private")]
    pub key_mode: FileMode,
    /// Replace a certificate that another authority of this name issued.
    #[serde(default)]
    pub replace: bool,
    /// The authority's fingerprint.
    #[serde(skip)]
    #[cfg_attr(feature = "control", schemars(skip))]
    pub authority: Option<String>,
}

/// What a certificate may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "control", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Usage {
    /// By a server, to show who it is.
    Server,
    /// By a client, to show who it is.
    Client,
}

fn both() -> Vec<Usage> {
    vec![Usage::Server, Usage::Client]
}

fn year() -> HumanDuration {
    HumanDuration::secs(365 * 86_400)
}

fn month() -> HumanDuration {
    HumanDuration::secs(30 * 86_400)
}

fn private() -> FileMode {
    FileMode(0o600)
}

/// A certificate and its key as they are or should be.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Issued {
    /// Who it is for.
    pub subject: String,
    /// What it is valid for, sorted.
    pub sans: Vec<String>,
    /// What it may be used for, sorted.
    pub usage: Vec<String>,
    /// The fingerprint of the authority.
    pub authority: String,
    /// `belongs to the certificate`, or what is wrong with the key.
    pub key: String,
    /// `long enough`, or when it ends.
    pub validity: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key_mode: Option<FileMode>,
    /// The digest of the certificate; generated, so never compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
}

/// What `Issued::key` says when all is well.
pub(crate) const KEY_FITS: &str = "belongs to the certificate";

/// What `Issued::validity` says when all is well.
pub(crate) const LONG_ENOUGH: &str = "long enough";

impl Cert {
    /// A subject in one line, the same for a wish and for what is found.
    pub fn subject(cn: &str, o: Option<&str>) -> String {
        o.map_or_else(|| format!("CN={cn}"), |o| format!("O={o}, CN={cn}"))
    }

    fn crt(&self) -> PathBuf {
        ending(&self.path, "crt")
    }

    fn key(&self) -> PathBuf {
        ending(&self.path, "key")
    }

    fn attrs(&self, mode: u32) -> Attrs {
        Attrs { mode: Some(mode), owner: self.owner.clone(), group: self.group.clone() }
    }

    fn placed(&self, probe: &Probe, mode: u32) -> Result<Placement> {
        self.attrs(mode).placement(probe)
    }
}

fn ending(path: &Path, ending: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(".");
    path.push(ending);
    path.into()
}

impl Operation for Cert {
    const NAME: &'static str = "cert";
    const SUBJECT: &'static str = "path";
    const VALUES: &'static [&'static str] = &["path", "key"];
    const DANGER: Danger = Danger::Write;
    const EXAMPLES: &'static [Example] = &[Example {
        title: "A server's certificate from an authority of its own.",
        code: r#"ca("demo", #{ cn: "demo-ca" });
host.cert("/etc/ssl/demo", #{ ca: "demo", cn: host.name, sans: [host.name, "127.0.0.1"], usage: ["server"] });"#,
    }];

    fn validate(&self) -> Result {
        if !self.path.is_absolute() {
            return Err(Error::parameter("path", format!("must be absolute, not `{}`", self.path.display())));
        }
        if self.usage.is_empty() {
            return Err(Error::parameter("usage", "needs at least one of \"server\" and \"client\""));
        }
        if self.renew.0 >= self.valid.0 {
            return Err(Error::parameter(
                "renew",
                "must be shorter than `valid`, or it would be issued again in every run",
            ));
        }
        Ok(())
    }

    fn attach(&mut self, attachment: Attachment) -> Result {
        let Attachment::Authority(fingerprint) = attachment else {
            return Err(Error::internal("the authority was not looked up on the control side"));
        };
        self.authority = Some(fingerprint);
        Ok(())
    }
}

impl Resource for Cert {
    type State = Issued;

    // A certificate that is not issued yet cannot be read.
    const IS_AT_ITS_PATHS: bool = false;

    fn actual(&self, probe: &Probe) -> Result<Option<Issued>> {
        let place = self.placed(probe, self.key_mode.0)?;
        let _ = place;
        let Some(crt) = probe.read(&self.crt(), 64 * 1024)? else { return Ok(None) };
        let key = probe.read(&self.key(), 64 * 1024)?;
        let half = key.as_deref().and_then(|key| public_half(&String::from_utf8_lossy(key)));
        let encode = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
        let question = json!({
            "inspect": String::from_utf8_lossy(&crt),
            "public": half.as_deref().map(encode),
            "key_there": key.is_some(),
        });
        let found = probe.ask(question)?;
        if found.is_null() {
            // Something is there that is no certificate: as good as nothing.
            return Ok(None);
        }
        let mut issued: Issued = serde_json::from_value(found)
            .map_err(|e| Error::internal("an answer about a certificate that cannot be read").because(e))?;
        if let Some(look) = probe.look(&self.key())? {
            let words = self.attrs(self.key_mode.0).in_words(&look);
            (issued.owner, issued.group, issued.key_mode) = (words.owner, words.group, words.mode.map(FileMode));
        }
        Ok(Some(issued))
    }

    fn desired(&self, _actual: Option<&Issued>) -> Result<Option<Issued>> {
        let sorted = |mut list: Vec<String>| {
            list.sort();
            list.dedup();
            list
        };
        let name = |usage: &Usage| if *usage == Usage::Server { "server".to_owned() } else { "client".to_owned() };
        Ok(Some(Issued {
            subject: Self::subject(&self.cn, self.o.as_deref()),
            sans: sorted(self.sans.clone()),
            usage: sorted(self.usage.iter().map(name).collect()),
            authority: self.authority.clone().unwrap_or_default(),
            key: KEY_FITS.to_owned(),
            validity: LONG_ENOUGH.to_owned(),
            owner: self.owner.clone(),
            group: self.group.clone(),
            key_mode: Some(self.key_mode),
            fingerprint: None,
        }))
    }

    fn fix(&self, hands: &Hands, change: &Change<Issued>) -> Result {
        let (key_place, crt_place) = (self.placed(hands, self.key_mode.0)?, self.placed(hands, 0o644)?);
        let only_placed =
            change.diff.fields.iter().all(|field| ["owner", "group", "key_mode"].contains(&field.name.as_str()));
        if change.actual.is_some() && only_placed {
            hands.place(&self.key(), key_place)?;
            return hands.place(&self.crt(), crt_place);
        }
        let old = hands.read(&self.key(), 64 * 1024)?;
        let public = match old.as_deref().and_then(|key| public_half(&String::from_utf8_lossy(key))) {
            Some(public) => {
                hands.place(&self.key(), key_place)?;
                public
            }
            None => {
                let pem = new_private_key()?;
                hands.write(&self.key(), pem.as_bytes(), key_place)?;
                public_half(&pem).ok_or_else(|| Error::internal("a key of our own that cannot be read"))?
            }
        };
        let answer = hands.ask(json!({ "sign": base64::engine::general_purpose::STANDARD.encode(public) }))?;
        let pem = answer.as_str().ok_or_else(|| Error::internal("an answer that is no certificate"))?;
        hands.write(&self.crt(), pem.as_bytes(), crt_place)
    }

    fn effects(&self, desired: Option<&Issued>) -> Effects {
        let planned = |mode: u32| Planned {
            kind: Some(Kind::File),
            mode: Some(mode),
            owner: desired.and_then(|d| d.owner.clone()),
            group: desired.and_then(|d| d.group.clone()),
            ..Planned::default()
        };
        vec![Effect::Path(self.crt(), planned(0o644)), Effect::Path(self.key(), planned(self.key_mode.0))]
    }

    fn digest(&self, actual: Option<&Issued>) -> Option<String> {
        let fingerprint = actual.and_then(|issued| issued.fingerprint.clone());
        Some(fingerprint.unwrap_or_else(|| "to be issued".to_owned()))
    }

    fn values(&self, _actual: Option<&Issued>) -> Map<String, Value> {
        let path = self.crt().display().to_string();
        Map::from_iter([("path".to_owned(), path.into()), ("key".to_owned(), self.key().display().to_string().into())])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::contract::{Answers, Host};

    /// Signs whatever it is asked to, and knows what it signed: a certificate is its own description.
    fn authority(wish: &Value) -> Answers {
        let mut wish = wish.clone();
        let attached = wish.as_object_mut().unwrap().remove("attached").unwrap();
        let mut wish: Cert = serde_json::from_value(wish).unwrap();
        wish.attach(serde_json::from_value(attached).unwrap()).unwrap();
        Box::new(move |question| {
            if let Some(public) = question.get("sign") {
                let issued = serde_json::to_value(wish.desired(None)?).unwrap();
                return Ok(json!({ "public": public, "issued": issued }).to_string().into());
            }
            let text = question["inspect"].as_str().unwrap();
            let Ok(known) = serde_json::from_str::<Value>(text) else { return Ok(Value::Null) };
            let mut issued = known["issued"].clone();
            let fits = known["public"] == question["public"];
            issued["key"] = if fits { KEY_FITS } else { "is another one" }.into();
            issued["fingerprint"] = crate::change::digest(text.as_bytes()).into();
            Ok(issued)
        })
    }

    #[test]
    fn issuing_and_issuing_again_hold_the_contract() {
        let mut host = Host::new();
        let wish = |more: Value| {
            let mut wish = json!({ "path": host.path("server"), "ca": "demo", "cn": "demo" });
            wish["attached"] = json!({ "authority": "AA:BB" });
            wish.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            wish
        };
        let wishes = [
            wish(json!({})),
            wish(json!({ "sans": ["b", "a"], "o": "org" })),
            wish(json!({ "sans": ["a", "b"], "o": "org", "key_mode": "0640" })),
        ];
        for wish in &wishes {
            host.side.answers = Some(authority(wish));
            host.contract("cert", std::slice::from_ref(wish));
        }
        // A key that is another one than the certificate's.
        host.put("server.key", &new_private_key().unwrap());
        host.contract("cert", std::slice::from_ref(&wishes[2]));
    }
}
