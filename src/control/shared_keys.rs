//! Shared keys: what several hosts have in common and must never differ, key pairs and random secrets, made once and
//! kept in mk's state.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::authority::Authorities;
use super::certificate::inspect;
use crate::error::{Error, Kind, Result};
use crate::op::{Operation, Resource};
use crate::ops::Cert;
use crate::secret::Secrets;
use crate::state::StateDir;
use crate::sys::{new_private_key, public_half};
use crate::wire::Mode;

/// A certificate with its key, shared by several hosts. The key is told by tokens only.
#[derive(Debug, Clone)]
pub struct Pair {
    /// The certificate, as PEM.
    pub cert: String,
    /// The token of the key, as PEM.
    pub key: String,
    /// The token of the key's PEM in base64, as a kubeconfig embeds it.
    pub key_data: String,
}

/// What came of asking for something shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// It was there already.
    Kept,
    /// It is new.
    New,
    /// The certificate was issued again, for the same key.
    Renewed,
}

/// How random bytes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// In base64.
    Base64,
    /// As lower-case digits, two a byte.
    Hex,
}

impl Form {
    fn text(self, bytes: &[u8]) -> String {
        match self {
            Self::Base64 => STANDARD.encode(bytes),
            Self::Hex => crate::change::hex(bytes),
        }
    }

    fn length(self, bytes: usize) -> usize {
        match self {
            Self::Base64 => bytes.div_ceil(3) * 4,
            Self::Hex => bytes * 2,
        }
    }
}

/// What hosts share, kept in mk's state; its secret parts are told by tokens.
pub struct SharedKeys {
    state: StateDir,
    secrets: Secrets,
    /// The pairs that this run has asked for, by name.
    pairs: Mutex<BTreeMap<String, (Cert, Pair)>>,
    /// What a check would have kept, by file: whoever asks again gets the same.
    planned: Mutex<BTreeMap<String, String>>,
}

impl SharedKeys {
    /// Those kept in a state.
    pub fn new(state: StateDir, secrets: Secrets) -> Self {
        Self { state, secrets, pairs: Mutex::default(), planned: Mutex::default() }
    }

    fn planned(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.planned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is kept in a file, or would be.
    fn read(&self, file: &str) -> Result<Option<String>> {
        let planned = self.planned().get(file).cloned();
        planned.map_or_else(|| self.state.read(file), |text| Ok(Some(text)))
    }

    /// Keeps what is made once and never again.
    fn create(&self, file: &str, text: &str, mode: Mode) -> Result {
        match mode {
            Mode::Apply => self.state.create(&[(file, text)]),
            Mode::Check => {
                self.planned().insert(file.to_owned(), text.to_owned());
                Ok(())
            }
        }
    }

    /// The shared certificate of that name. Its key is made once; the certificate is issued again when the request
    /// has changed or it is about to expire. A check keeps nothing.
    ///
    /// # Errors
    /// When the key is damaged or lost, or its authority is not there.
    pub fn cert(&self, name: &str, request: &Cert, authorities: &Authorities, mode: Mode) -> Result<(Pair, Made)> {
        fit(name)?;
        request.validate()?;
        let mut pairs = self.pairs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, pair)) = pairs.get(name).filter(|(known, _)| same(known, request)) {
            return Ok((pair.clone(), Made::Kept));
        }
        let authority = authorities.get(&request.ca)?;
        let (key_file, cert_file) = (format!("shared/{name}.key"), format!("shared/{name}.crt"));
        let (key, cert) = (self.read(&key_file)?, self.read(&cert_file)?);
        if key.is_none() && cert.is_some() {
            return Err(lost(&format!("the key of the shared certificate `{name}`")));
        }
        let new = key.is_none();
        let key = key.map_or_else(new_private_key, Ok)?;
        let public = public_half(&key).ok_or_else(|| lost(&format!("the key of the shared certificate `{name}`")))?;
        let wanted = Cert { authority: Some(authority.fingerprint.clone()), ..request.clone() };
        let fits = |pem: &String| -> Result<bool> {
            let found = inspect(&authority, &wanted, pem, Some(&public), true)?;
            let wish = wanted.desired(None)?.map(|wish| serde_json::to_value(&wish));
            let wish = wish.transpose().map_err(|e| Error::internal("a wish that cannot be written").because(e))?;
            let fields = ["subject", "sans", "usage", "authority", "key", "validity"];
            Ok(wish.is_some_and(|wish| fields.iter().all(|field| found.get(field) == wish.get(field))))
        };
        let (cert, made) = match cert {
            Some(cert) if fits(&cert)? => (cert, Made::Kept),
            _ => (authority.issue(request, &public)?, if new { Made::New } else { Made::Renewed }),
        };
        if new {
            self.create(&key_file, &key, mode)?;
        }
        if mode == Mode::Apply && made != Made::Kept {
            self.state.put(&cert_file, &cert)?;
        }
        let key_data = self.secrets.add(&format!("shared:{name}:data"), &STANDARD.encode(&key))?;
        let key = self.secrets.add(&format!("shared:{name}"), &key)?;
        let pair = Pair { cert, key, key_data };
        pairs.insert(name.to_owned(), (request.clone(), pair.clone()));
        Ok((pair, made))
    }

    /// The token of a secret of that many random bytes: made once, never again, and kept in mk's state. A check keeps
    /// nothing.
    ///
    /// # Errors
    /// For a size that is no use, and when the state cannot be read or written.
    pub fn random(&self, name: &str, bytes: usize, form: Form, mode: Mode) -> Result<(String, Made)> {
        fit(name)?;
        if !(8..=1024).contains(&bytes) {
            return Err(Error::playbook(format!("a secret of {bytes} random bytes; it may have 8 to 1024")));
        }
        let file = format!("shared/{name}.secret");
        // Hosts ask side by side, and all get the one that is made first.
        let _one_at_a_time = self.pairs.lock().unwrap_or_else(PoisonError::into_inner);
        let (text, made) = match self.read(&file)? {
            Some(text) if form.length(bytes) == text.len() => (text, Made::Kept),
            Some(_) => return Err(lost(&format!("the random secret `{name}` of {bytes} bytes"))),
            None => {
                let text = form.text(&crate::change::random(bytes)?);
                self.create(&file, &text, mode)?;
                (text, Made::New)
            }
        };
        Ok((self.secrets.add(&format!("random:{name}"), &text)?, made))
    }

    /// Whether a random secret of that name is kept, or would be by now.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn has_random(&self, name: &str) -> Result<bool> {
        fit(name)?;
        Ok(self.read(&format!("shared/{name}.secret"))?.is_some())
    }
}

/// Whether two requests ask for the same, wherever their files go.
fn same(one: &Cert, other: &Cert) -> bool {
    let words = |cert: &Cert| serde_json::to_value(cert).unwrap_or(Value::Null);
    words(one) == words(other)
}

fn fit(name: &str) -> Result {
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
        return Err(Error::playbook(format!(
            "`{name}` cannot be the name of what is kept: letters, digits, `-` and `_`"
        )));
    }
    Ok(())
}

fn lost(what: &str) -> Error {
    Error::new(Kind::Internal, format!("{what} in mk's state is damaged or lost"))
        .hint("put it back from a backup; mk never makes it anew by itself")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::control::AuthoritySpec;

    fn shared(dir: &std::path::Path) -> (SharedKeys, Authorities) {
        let state = StateDir::at(dir.join("state"));
        let authorities = Authorities::new(state.clone());
        let wish: AuthoritySpec = serde_json::from_value(json!({ "cn": "demo-ca" })).unwrap();
        authorities.ensure("demo", &wish, Mode::Apply).unwrap();
        (SharedKeys::new(state, Secrets::default()), authorities)
    }

    fn request(cn: &str) -> Cert {
        serde_json::from_value(json!({ "path": "/", "ca": "demo", "cn": cn, "usage": ["client"] })).unwrap()
    }

    fn revealed(keys: &SharedKeys, token: &str) -> String {
        let mut value = Value::from(token);
        assert!(keys.secrets.reveal(&mut value), "no token: {token}");
        value.as_str().unwrap().to_owned()
    }

    #[test]
    fn a_shared_certificate_is_kept_and_a_changed_request_keeps_its_key() {
        let dir = tempfile::tempdir().unwrap();
        let (first, authorities) = shared(dir.path());
        let (made, state) = first.cert("admin", &request("admin"), &authorities, Mode::Apply).unwrap();
        assert_eq!(state, Made::New);
        assert_eq!(first.cert("admin", &request("admin"), &authorities, Mode::Apply).unwrap().1, Made::Kept);
        let (second, authorities) = shared(dir.path());
        let (kept, state) = second.cert("admin", &request("admin"), &authorities, Mode::Apply).unwrap();
        assert_eq!((&kept.cert, state), (&made.cert, Made::Kept));
        let (renewed, state) = second.cert("admin", &request("root"), &authorities, Mode::Apply).unwrap();
        assert_eq!(state, Made::Renewed);
        assert_ne!(renewed.cert, made.cert);
        let key = revealed(&first, &made.key);
        assert_eq!(revealed(&second, &renewed.key), key);
        assert_eq!(revealed(&second, &renewed.key_data), STANDARD.encode(key));
    }

    #[test]
    fn a_lost_key_is_told_and_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let (keys, authorities) = shared(dir.path());
        keys.cert("admin", &request("admin"), &authorities, Mode::Apply).unwrap();
        std::fs::remove_file(dir.path().join("state/shared/admin.key")).unwrap();
        let error = shared(dir.path()).0.cert("admin", &request("admin"), &authorities, Mode::Apply).unwrap_err();
        assert!(error.message().contains("damaged or lost"), "{error}");
    }

    #[test]
    fn a_check_gives_whoever_asks_again_what_it_gave_before() {
        let dir = tempfile::tempdir().unwrap();
        let (keys, authorities) = shared(dir.path());
        let ask = || keys.random("k", 32, Form::Base64, Mode::Check).unwrap();
        let (first, second) = (ask(), ask());
        assert_eq!(revealed(&keys, &first.0), revealed(&keys, &second.0));
        assert_eq!((first.1, second.1), (Made::New, Made::Kept));
        assert!(keys.has_random("k").unwrap());
        let key = |cn: &str| keys.cert("admin", &request(cn), &authorities, Mode::Check).unwrap().0.key;
        assert_eq!(revealed(&keys, &key("admin")), revealed(&keys, &key("root")));
        assert!(!dir.path().join("state/shared").exists());
    }

    #[test]
    fn a_random_secret_is_made_once_and_a_check_keeps_none() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(shared(dir.path()).0.random("k", 32, Form::Base64, Mode::Check).unwrap().1, Made::New);
        assert!(!shared(dir.path()).0.has_random("k").unwrap());
        let (first, _) = shared(dir.path());
        let (token, made) = first.random("k", 32, Form::Base64, Mode::Apply).unwrap();
        assert_eq!(made, Made::New);
        let (second, _) = shared(dir.path());
        let (again, made) = second.random("k", 32, Form::Base64, Mode::Apply).unwrap();
        assert_eq!(made, Made::Kept);
        assert_eq!(revealed(&first, &token), revealed(&second, &again));
        let error = second.random("k", 16, Form::Base64, Mode::Apply).unwrap_err();
        assert!(error.message().contains("16 bytes"), "{error}");
        assert!(second.random("../k", 32, Form::Hex, Mode::Apply).is_err());
    }
}
