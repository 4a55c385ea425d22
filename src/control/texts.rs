//! What can be done with the text of a secret: encodings, quotations and hashes. A script and a template have tokens
//! only, so this happens here, and what comes of it is a secret too.

use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, PAD, STANDARD};
use serde_json::Value;

use super::password::{self, Scheme};
use crate::change::{digest, hex, random};
use crate::error::{Error, Result};
use crate::secret::Secrets;
use crate::secret::token::{Part, parts};
use crate::state::StateDir;
use crate::wire::Mode;

/// Where the state keeps what salts are made of.
const SALTS: &str = "shared/password.salts";

/// The functions on texts that may hold secrets. Clones share what they know.
#[derive(Clone)]
pub struct Texts {
    secrets: Secrets,
    state: StateDir,
    salts: Arc<OnceLock<String>>,
    mode: Arc<OnceLock<Mode>>,
}

/// How a password is hashed.
#[derive(Debug, Clone, Default)]
pub struct Hashing {
    /// The kind of hash.
    pub scheme: Scheme,
    /// The salt, as it stands in the hash. One that stays the same for the password is made where it is not given.
    pub salt: Option<String>,
    /// How often it is done over; the logarithm of that for bcrypt.
    pub rounds: Option<u32>,
}

impl Texts {
    pub(super) fn new(secrets: Secrets, state: StateDir) -> Self {
        Self { secrets, state, salts: Arc::default(), mode: Arc::default() }
    }

    /// Whether it is a check, which leaves nothing behind on this side either. Until that is said, it is one.
    pub fn in_mode(&self, mode: Mode) {
        let _ = self.mode.set(mode);
    }

    /// What a function makes of a whole text.
    fn whole(&self, text: &str, make: impl FnOnce(&str) -> Result<String>) -> Result<String> {
        match Secrets::is_tainted(text) {
            true => self.secrets.hold(&make(&self.secrets.revealed(text)?)?),
            false => make(text),
        }
    }

    /// What a function makes of a text, where it makes the same of each piece alone.
    fn each(&self, text: &str, make: impl Fn(&str) -> String) -> Result<String> {
        let piece = |part| match part {
            Part::Text(text) => Ok(make(text)),
            Part::Token(text) | Part::Broken(text) => self.whole(text, |text| Ok(make(text))),
        };
        parts(text).into_iter().map(piece).collect()
    }

    /// In base64, without line breaks.
    ///
    /// # Errors
    /// For a piece of a secret.
    pub fn b64encode(&self, text: &str) -> Result<String> {
        self.whole(text, |text| Ok(STANDARD.encode(text)))
    }

    /// Out of base64, line breaks and padding or not.
    ///
    /// # Errors
    /// When it is no base64, or not of a text.
    pub fn b64decode(&self, text: &str) -> Result<String> {
        self.whole(text, |text| {
            let letters: String = text.chars().filter(|letter| !letter.is_ascii_whitespace()).collect();
            let padding = PAD.with_decode_padding_mode(DecodePaddingMode::Indifferent);
            let bytes = GeneralPurpose::new(&alphabet::STANDARD, padding).decode(letters);
            // What cannot be read may be a secret, so it is not shown.
            let bytes = bytes.map_err(|_| Error::playbook("b64decode: this is no base64"))?;
            String::from_utf8(bytes).map_err(|_| Error::playbook("b64decode: what is encoded here is no text"))
        })
    }

    /// The SHA-256, in lower-case digits.
    ///
    /// # Errors
    /// For a piece of a secret.
    pub fn sha256(&self, text: &str) -> Result<String> {
        self.whole(text, |text| Ok(digest(text.as_bytes())))
    }

    /// One word for a shell, whatever is in it.
    ///
    /// # Errors
    /// For a piece of a secret.
    pub fn quote(&self, text: &str) -> Result<String> {
        Ok(format!("'{}'", self.each(text, |text| text.replace('\'', r"'\''"))?))
    }

    /// The text without the blanks around it.
    ///
    /// # Errors
    /// For a piece of a secret.
    pub fn trim(&self, text: &str) -> Result<String> {
        self.whole(text, |text| Ok(text.trim().to_owned()))
    }

    /// Blanks before each line but the first.
    ///
    /// # Errors
    /// For a piece of a secret.
    pub fn indent(&self, text: &str, width: usize) -> Result<String> {
        let blanks = format!("\n{}", " ".repeat(width));
        let out = self.each(text, |text| text.replace('\n', &blanks))?;
        // An empty line stays empty.
        Ok(out.replace(&format!("{blanks}\n"), "\n\n"))
    }

    /// A value as JSON, in one line.
    ///
    /// # Errors
    /// For a piece of a secret.
    pub fn to_json(&self, value: &Value) -> Result<String> {
        let list = |words: Result<Vec<String>>| words.map(|words| words.join(","));
        match value {
            Value::String(text) if Secrets::is_tainted(text) => {
                Ok(format!("\"{}\"", self.each(text, |text| inside(&Value::from(text).to_string()))?))
            }
            Value::Array(items) => Ok(format!("[{}]", list(items.iter().map(|item| self.to_json(item)).collect())?)),
            Value::Object(fields) => {
                self.secrets.whole(value)?;
                let field = |(key, field): (&String, &Value)| {
                    Ok(format!("{}:{}", Value::from(key.as_str()), self.to_json(field)?))
                };
                Ok(format!("{{{}}}", list(fields.iter().map(field).collect())?))
            }
            other => Ok(other.to_string()),
        }
    }

    /// A value as YAML.
    ///
    /// # Errors
    /// For a piece of a secret, and when it cannot be written.
    pub fn to_yaml(&self, value: &Value) -> Result<String> {
        let mut plain = value.clone();
        let mut words = Vec::new();
        self.secrets.whole(value)?;
        self.stand_ins(&mut plain, &mut words)?;
        let text = serde_saphyr::to_string(&plain);
        let text = text.map_err(|e| Error::playbook("to_yaml: this cannot be written as YAML").because(e))?;
        // The last first: the first may begin the name of another.
        Ok(words.iter().rev().fold(text, |text, (name, word)| text.replace(name, word)))
    }

    /// Puts words that need no quotes in place of secrets, and notes what is to stand there in the end.
    fn stand_ins(&self, value: &mut Value, words: &mut Vec<(String, String)>) -> Result {
        match value {
            Value::String(text) if Secrets::is_tainted(text) => {
                let name = format!("mkStandsForASecret{}", words.len());
                // JSON's quotes are YAML's too.
                words.push((name.clone(), self.to_json(&Value::from(text.as_str()))?));
                *text = name;
                Ok(())
            }
            Value::Array(items) => items.iter_mut().try_for_each(|item| self.stand_ins(item, words)),
            Value::Object(fields) => fields.values_mut().try_for_each(|field| self.stand_ins(field, words)),
            _ => Ok(()),
        }
    }

    /// A password as a host keeps it.
    ///
    /// # Errors
    /// For a salt or a number of rounds that the scheme does not take.
    pub fn password_hash(&self, password: &str, hashing: &Hashing) -> Result<String> {
        let salts = match hashing.salt {
            Some(_) => "",
            None => self.salts()?,
        };
        self.whole(password, |password| {
            let own = || {
                password::salt(hashing.scheme, &digest(format!("{salts} {}", digest(password.as_bytes())).as_bytes()))
            };
            let salt = hashing.salt.clone().unwrap_or_else(own);
            password::hash(hashing.scheme, password, &salt, hashing.rounds)
        })
    }

    /// A line of a file as `htpasswd` writes it.
    ///
    /// # Errors
    /// For a name with a colon, and a password that bcrypt does not take.
    pub fn htpasswd(&self, name: &str, password: &str) -> Result<String> {
        if name.is_empty() || name.contains([':', '\n']) || Secrets::is_tainted(name) {
            return Err(Error::playbook("htpasswd: a name has no colon and no line break, and is no secret"));
        }
        let hashing = Hashing { scheme: Scheme::Bcrypt, ..Hashing::default() };
        Ok(format!("{name}:{}", self.password_hash(password, &hashing)?))
    }

    /// What salts are made of, so that a password has the same one in every run. A check keeps none.
    fn salts(&self) -> Result<&str> {
        if let Some(known) = self.salts.get() {
            return Ok(known);
        }
        let kept = self.state.read(SALTS)?;
        let new = kept.is_none();
        let salts = kept.map_or_else(|| random(32).map(|bytes| hex(&bytes)), Ok)?;
        if new && self.mode.get() == Some(&Mode::Apply) {
            self.state.create(&[(SALTS, &salts)])?;
        }
        Ok(self.salts.get_or_init(|| salts))
    }
}

/// What stands between the quotes.
fn inside(quoted: &str) -> String {
    quoted[1..quoted.len() - 1].to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PASSWORD: &str = "it's \"5\" {{x}}";

    fn texts(folder: &std::path::Path) -> (Texts, String) {
        let secrets = Secrets::default();
        let token = secrets.add("pw", PASSWORD).unwrap();
        (Texts::new(secrets, StateDir::at(folder.join("state"))), token)
    }

    #[test]
    fn what_is_made_of_a_secret_is_right_and_a_secret() {
        let folder = tempfile::tempdir().unwrap();
        let (texts, token) = texts(folder.path());
        let shown = |made: &str| {
            assert!(!made.contains("it's"), "{made}");
            texts.secrets.revealed(made).unwrap()
        };
        let encoded = texts.b64encode(&format!("me:{token}")).unwrap();
        assert_eq!(shown(&encoded), STANDARD.encode(format!("me:{PASSWORD}")));
        assert_eq!(texts.secrets.mask(&shown(&encoded)), "[secret]");
        assert_eq!(shown(&texts.b64decode(&encoded).unwrap()), format!("me:{PASSWORD}"));
        assert_eq!(shown(&texts.sha256(&token).unwrap()), digest(PASSWORD.as_bytes()));
        assert_eq!(shown(&texts.quote(&format!("a b{token}")).unwrap()), r#"'a bit'\''s "5" {{x}}'"#);
        let value = json!({ "a": [token, 5, null], "b": "x\"y" });
        let known = json!({ "a": [PASSWORD, 5, null], "b": "x\"y" });
        let json = shown(&texts.to_json(&value).unwrap());
        assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), known, "{json}");
        let yaml = shown(&texts.to_yaml(&value).unwrap());
        assert_eq!(serde_saphyr::from_str::<Value>(&yaml).unwrap(), known, "{yaml}");
        assert_eq!(texts.b64encode("plain").unwrap(), "cGxhaW4=");
    }

    #[test]
    fn lines_of_a_key_are_indented() {
        let folder = tempfile::tempdir().unwrap();
        let (texts, _) = texts(folder.path());
        let token = texts.secrets.add("key", "one one\ntwo two\n").unwrap();
        let out = texts.indent(&format!("a\n{token}"), 2).unwrap();
        assert_eq!(texts.secrets.revealed(&out).unwrap(), "a\n  one one\n  two two\n  ");
    }

    #[test]
    fn a_password_has_the_same_hash_in_every_run_and_another_in_another_project() {
        let folder = tempfile::tempdir().unwrap();
        let of = |folder: &std::path::Path, hashing: &Hashing, mode| {
            let (texts, token) = texts(folder);
            texts.in_mode(mode);
            let hash = texts.password_hash(&token, hashing).unwrap();
            assert!(Secrets::is_tainted(&hash));
            texts.secrets.revealed(&hash).unwrap()
        };
        let usual = Hashing::default();
        assert_ne!(
            of(folder.path(), &usual, Mode::Check),
            of(folder.path(), &usual, Mode::Check),
            "a check keeps none"
        );
        let first = of(folder.path(), &usual, Mode::Apply);
        assert!(first.starts_with("$6$"), "{first}");
        assert_eq!(of(folder.path(), &usual, Mode::Apply), first);
        assert_eq!(of(folder.path(), &usual, Mode::Check), first);
        let other = tempfile::tempdir().unwrap();
        assert_ne!(of(other.path(), &usual, Mode::Apply), first);
        let salted = Hashing { salt: Some("saltstring".to_owned()), ..Hashing::default() };
        assert_eq!(of(folder.path(), &salted, Mode::Apply), of(other.path(), &salted, Mode::Apply));
    }
}
