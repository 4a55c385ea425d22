//! Values that must never be shown.
//!
//! A script holds a token in place of a secret's text. The text itself is put in when a request leaves for
//! its host, and taken out of everything that comes back or is shown, in every form it may take.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine as _;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use crate::error::{Error, Result};

/// What stands in place of a secret in everything shown.
pub const MASK: &str = "[secret]";

/// A shorter secret would be masked out of texts that have nothing to do with it.
const SHORTEST: usize = 6;

/// What every token begins with.
const TOKEN: &str = "mk-secret-";

/// The secrets of a run. Clones share them.
#[derive(Clone, Default)]
pub struct Secrets(Arc<RwLock<Inner>>);

#[derive(Default)]
struct Inner {
    by_token: BTreeMap<String, SecretString>,
    by_label: BTreeMap<String, String>,
    forms: Vec<Vec<u8>>,
    /// Made when the next text is masked: it takes milliseconds, and secrets come several at a time.
    matcher: OnceLock<Option<AhoCorasick>>,
}

impl Inner {
    /// Has a text masked from now on.
    fn hide(&mut self, text: &str) {
        self.forms.extend(forms(text));
        self.forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
        self.forms.dedup();
        self.matcher = OnceLock::new();
    }

    /// What finds the forms; `None` where it cannot be made.
    fn matcher(&self) -> Option<&AhoCorasick> {
        let make = || AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&self.forms).ok();
        self.matcher.get_or_init(make).as_ref()
    }
}

impl Secrets {
    /// Takes a secret in and gives its token. The same label always gives the same token.
    ///
    /// # Errors
    /// When the text is too short to be masked without damage.
    pub fn add(&self, label: &str, text: &str) -> Result<String> {
        if text.len() < SHORTEST {
            return Err(Error::playbook(format!("the secret `{label}` is shorter than {SHORTEST} bytes"))
                .hint("a text that short cannot be kept out of other texts; use a longer one"));
        }
        let mut inner = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(token) = inner.by_label.get(label) {
            return Ok(token.clone());
        }
        let mut random = [0; 12];
        rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())
            .map_err(|e| Error::internal("no random bytes").because(e))?;
        let token = format!("{TOKEN}{}", crate::change::hex(&random));
        inner.by_token.insert(token.clone(), SecretString::from(text));
        inner.by_label.insert(label.to_owned(), token.clone());
        inner.hide(text);
        Ok(token)
    }

    /// Puts the texts in place of the tokens, in every string of `value`. Says whether there were any.
    pub fn reveal(&self, value: &mut Value) -> bool {
        match value {
            Value::String(text) if text.contains(TOKEN) => {
                let inner = self.0.read().unwrap_or_else(PoisonError::into_inner);
                let before = text.clone();
                for (token, secret) in &inner.by_token {
                    if text.contains(token) {
                        *text = text.replace(token, secret.expose_secret());
                    }
                }
                *text != before
            }
            Value::Array(items) => items.iter_mut().map(|item| self.reveal(item)).max().unwrap_or(false),
            Value::Object(fields) => fields.values_mut().map(|field| self.reveal(field)).max().unwrap_or(false),
            _ => false,
        }
    }

    /// The texts behind the tokens that a value carries, by token: for what is kept to be done later.
    pub fn behind(&self, value: &Value) -> BTreeMap<String, String> {
        let text = value.to_string();
        let inner = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let carried = inner.by_token.iter().filter(|(token, _)| text.contains(token.as_str()));
        carried.map(|(token, secret)| (token.clone(), secret.expose_secret().to_owned())).collect()
    }

    /// Takes in what [`Secrets::behind`] gave in an earlier run, under the tokens of then.
    pub fn take_back(&self, secrets: &BTreeMap<String, String>) {
        let mut inner = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for (token, text) in secrets {
            inner.by_token.insert(token.clone(), SecretString::from(text.as_str()));
            inner.hide(text);
        }
    }

    /// Whether a text carries a token.
    pub fn is_tainted(text: &str) -> bool {
        text.contains(TOKEN)
    }

    /// Takes every secret out of a text.
    pub fn mask(&self, text: &str) -> String {
        let inner = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if inner.forms.is_empty() {
            return text.to_owned();
        }
        // Rather nothing is shown than a secret.
        let Some(matcher) = inner.matcher() else { return MASK.to_owned() };
        let masks = vec![MASK; inner.forms.len()];
        let mut masked = matcher.replace_all(text, &masks);
        for token in inner.by_token.keys() {
            if masked.contains(token.as_str()) {
                masked = masked.replace(token, MASK);
            }
        }
        masked
    }

    /// Takes every secret out of every string of `value`.
    pub fn mask_value(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.mask(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.mask_value(item)),
            Value::Object(fields) => fields.values_mut().for_each(|field| self.mask_value(field)),
            _ => {}
        }
    }

    /// Whether there is nothing to hide, so that masking can be left out.
    pub fn is_empty(&self) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).forms.is_empty()
    }

    /// How many bytes at the end of `bytes` might be the beginning of a secret whose rest is still to come.
    fn held_back(&self, bytes: &[u8]) -> usize {
        let inner = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let longest =
            |form: &Vec<u8>| (1..form.len().min(bytes.len() + 1)).rev().find(|n| bytes.ends_with(&form[..*n]));
        inner.forms.iter().filter_map(longest).max().unwrap_or(0)
    }

    /// The border itself, or the end of the complete secret that it would cut.
    fn border(&self, bytes: &[u8], border: usize) -> usize {
        let inner = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let Some(matcher) = inner.matcher() else { return border };
        let cut = matcher.find_iter(bytes).find(|found| found.start() < border && border < found.end());
        cut.map_or(border, |found| found.end())
    }
}

/// Masks a stream that arrives in pieces: a secret cut in two by a border is still found.
pub struct Masked {
    secrets: Secrets,
    held: Vec<u8>,
}

impl Masked {
    /// A stream with nothing in it yet.
    pub fn new(secrets: Secrets) -> Self {
        Self { secrets, held: Vec::new() }
    }

    /// Takes a piece, and gives what can be shown by now.
    pub fn push(&mut self, piece: &[u8]) -> String {
        self.held.extend_from_slice(piece);
        let keep = self.secrets.held_back(&self.held).max(cut_character(&self.held));
        // A secret that is complete is never cut, even where its end may begin another one.
        let border = self.secrets.border(&self.held, self.held.len() - keep);
        let ready = self.held.drain(..border).collect::<Vec<_>>();
        self.secrets.mask(&String::from_utf8_lossy(&ready))
    }

    /// Gives what is left at the end of the stream.
    pub fn finish(mut self) -> String {
        let rest = std::mem::take(&mut self.held);
        self.secrets.mask(&String::from_utf8_lossy(&rest))
    }
}

fn cut_character(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(e) if e.error_len().is_none() => bytes.len() - e.valid_up_to(),
        _ => 0,
    }
}

/// The forms in which a secret may turn up.
fn forms(text: &str) -> Vec<Vec<u8>> {
    let mut whole = vec![text.to_owned(), text.trim().to_owned()];
    // Tools print keys line by line, so a long line of a longer secret is one too.
    whole.extend(
        text.lines().map(str::trim).filter(|line| line.len() >= 16 && !line.starts_with("-----")).map(str::to_owned),
    );
    let mut forms = Vec::new();
    for text in whole.iter().filter(|text| text.len() >= SHORTEST) {
        let json = Value::from(text.as_str()).to_string();
        forms.push(json.as_bytes()[1..json.len() - 1].to_vec());
        forms.push(crate::change::hex(text.as_bytes()).into_bytes());
        forms.push(percent(text).into_bytes());
        forms.push(text.as_bytes().to_vec());
        forms.extend(base64_forms(text.as_bytes()));
    }
    forms.sort();
    forms.dedup();
    forms
}

/// The part of the base64 that is the same whatever stands before and after, for each of three alignments.
fn base64_forms(bytes: &[u8]) -> Vec<Vec<u8>> {
    let encode = |bytes: &[u8]| base64::engine::general_purpose::STANDARD_NO_PAD.encode(bytes);
    let mut forms: Vec<Vec<u8>> = (0..3)
        .map(|shift| {
            let padded = [&[0; 2][..shift], bytes].concat();
            let text = encode(&padded);
            let skip = [0, 2, 3][shift];
            let end = padded.len() / 3 * 4;
            text.as_bytes()[skip..end.max(skip)].to_vec()
        })
        .filter(|form| form.len() >= SHORTEST)
        .collect();
    let url: Vec<Vec<u8>> = forms
        .iter()
        .map(|form| {
            form.iter()
                .map(|b| match b {
                    b'+' => b'-',
                    b'/' => b'_',
                    b => *b,
                })
                .collect()
        })
        .collect();
    forms.extend(url);
    forms
}

fn percent(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const TEXT: &str = "s3cr\"et/+ü!";

    #[test]
    fn a_token_is_replaced_only_when_it_is_revealed() {
        let secrets = Secrets::default();
        let token = secrets.add("db", TEXT).unwrap();
        assert!(!token.contains(TEXT));
        let mut request = json!({ "args": { "content": format!("password={token}\n"), "mode": "0600" } });
        assert!(secrets.reveal(&mut request));
        assert_eq!(request["args"]["content"], format!("password={TEXT}\n"));
        assert!(!secrets.reveal(&mut json!({ "mode": "0600" })));
    }

    #[test]
    fn a_short_secret_is_refused() {
        assert!(Secrets::default().add("pin", "12345").unwrap_err().message().contains("shorter than 6 bytes"));
    }

    #[test]
    fn every_form_of_a_secret_is_masked() {
        let secrets = Secrets::default();
        let token = secrets.add("db", TEXT).unwrap();
        let json = Value::from(TEXT).to_string();
        let base64 = |text: String| base64::engine::general_purpose::STANDARD.encode(text);
        let shown = [TEXT.to_owned(), json, crate::change::hex(TEXT.as_bytes()), percent(TEXT), token];
        for text in shown {
            let masked = secrets.mask(&format!("<{text}>"));
            assert!(masked.contains(MASK) && !masked.contains(&text), "{masked}");
        }
        for before in ["", "a", "ab"] {
            let masked = secrets.mask(&base64(format!("{before}{TEXT}--after")));
            assert!(masked.contains(MASK), "{masked}");
        }
    }

    #[test]
    fn a_line_of_a_key_is_masked_by_itself() {
        let secrets = Secrets::default();
        let key = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49\nAwEHBG0wawIBAQQg\n-----END PRIVATE KEY-----\n";
        secrets.add("key", key).unwrap();
        assert_eq!(secrets.mask("> MIGHAgEAMBMGByqGSM49AgEGCCqGSM49"), format!("> {MASK}"));
    }

    proptest! {
        #[test]
        fn no_border_between_pieces_lets_a_secret_through(before in "[a-z ]{0,12}", after in "[a-z ]{0,12}", cut in 1usize..20) {
            let secrets = Secrets::default();
            secrets.add("s", "hunter2hunter2").unwrap();
            let stream = format!("{before}hunter2hunter2{after}");
            let mut masked = Masked::new(secrets);
            let mut shown = String::new();
            for piece in stream.as_bytes().chunks(cut) {
                shown += &masked.push(piece);
            }
            shown += &masked.finish();
            prop_assert_eq!(shown, format!("{before}{MASK}{after}"));
        }
    }
}
