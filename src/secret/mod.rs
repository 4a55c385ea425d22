//! Values that must never be shown, and how they are redacted (masked).
//!
//! A script holds a token in place of a secret's text. The text itself is put in when a request leaves for
//! its host, and taken out of everything that comes back or is shown, in every form it may take: what others call
//! redaction.

mod forms;
mod kept;
mod known;
mod stream;
pub mod token;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use aho_corasick::{AhoCorasick, MatchKind};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

pub(crate) use known::{hidden_variables, hide_variable, without_passwords};
pub use stream::Masked;

use self::token::Part;
use crate::change::Outcome;
use crate::error::{Error, Result};

/// What stands in place of a secret in everything shown.
pub const MASK: &str = "[secret]";

/// A shorter secret would be masked out of texts that have nothing to do with it.
const SHORTEST: usize = 6;

/// What is found only across line breaks must be longer, or texts that have nothing to do with it would be masked.
const SHORTEST_WRAPPED: usize = 12;

/// The secrets of a run. Clones share them.
#[derive(Clone, Default)]
pub struct Secrets(Arc<RwLock<Inner>>);

#[derive(Default)]
struct Inner {
    by_token: BTreeMap<String, SecretString>,
    by_label: BTreeMap<String, String>,
    forms: BTreeSet<Vec<u8>>,
    /// Made when the next text is masked: it takes milliseconds, and secrets come several at a time.
    matcher: OnceLock<Option<AhoCorasick>>,
    /// Whether there was an address with a password in it: it is taken out of every address then, however short it is.
    addresses: bool,
}

impl Inner {
    /// What finds the forms; `None` where it cannot be made.
    fn matcher(&self) -> Option<&AhoCorasick> {
        let make = || AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&self.forms).ok();
        self.matcher.get_or_init(make).as_ref()
    }

    /// Has a text masked wherever it turns up.
    fn mask_from_now_on(&mut self, text: &str) {
        let known = self.forms.len();
        self.forms.extend(forms::forms(text));
        if self.forms.len() > known {
            self.matcher = OnceLock::new();
        }
    }

    /// The token of a text; the same text always has the same one.
    fn token(&mut self, text: &str) -> Result<String> {
        let known = self.by_token.iter().find(|(_, secret)| secret.expose_secret() == text);
        if let Some((token, _)) = known {
            return Ok(token.clone());
        }
        let token = token::new()?;
        self.by_token.insert(token.clone(), SecretString::from(text));
        self.mask_from_now_on(text);
        Ok(token)
    }

    /// Where secrets are in a text, in order; `None` where that cannot be told.
    fn found(&self, bytes: &[u8]) -> Option<Vec<Range<usize>>> {
        let matcher = self.matcher()?;
        let mut found: Vec<Range<usize>> = matcher.find_iter(bytes).map(|found| found.range()).collect();
        let (unwrapped, places) = forms::unwrapped(bytes);
        if unwrapped.len() < bytes.len() {
            let wrapped = matcher.find_iter(&unwrapped).filter(|found| found.len() >= SHORTEST_WRAPPED);
            found.extend(wrapped.map(|found| places[found.start()]..places[found.end() - 1] + 1));
            found.sort_by_key(|range| range.start);
        }
        // Two beside each other stay two; what overlaps is one.
        let mut apart: Vec<Range<usize>> = Vec::new();
        for range in found {
            match apart.last_mut() {
                Some(last) if range.start < last.end => last.end = last.end.max(range.end),
                _ => apart.push(range),
            }
        }
        Some(apart)
    }
}

impl Secrets {
    fn read(&self) -> std::sync::RwLockReadGuard<'_, Inner> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Inner> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a secret in and gives its token.
    ///
    /// # Errors
    /// When the text is too short to be masked without damage.
    pub fn add(&self, label: &str, text: &str) -> Result<String> {
        if text.len() < SHORTEST {
            return Err(Error::playbook(format!("the secret `{label}` is shorter than {SHORTEST} bytes"))
                .hint("a text that short cannot be kept out of other texts; use a longer one"));
        }
        let mut inner = self.write();
        let token = inner.token(text)?;
        inner.by_label.insert(label.to_owned(), token.clone());
        Ok(token)
    }

    /// The token of what was taken in by that label last.
    pub fn labelled(&self, label: &str) -> Option<String> {
        self.read().by_label.get(label).cloned()
    }

    /// The token of a text that came of a secret, or from a program that prints one. One that is too short to be
    /// masked is never shown by its token either, but cannot be taken out of other texts.
    ///
    /// # Errors
    /// When there are no random bytes.
    pub fn hold(&self, text: &str) -> Result<String> {
        self.write().token(text)
    }

    /// Has a text masked that no script gets: a password that was typed in.
    pub fn know(&self, text: &str) {
        if text.len() >= SHORTEST {
            self.write().mask_from_now_on(text);
        }
    }

    /// Has the passwords masked that stand in the addresses of a value.
    pub fn know_addresses(&self, value: &Value) {
        let passwords = known::passwords_in(value);
        if !passwords.is_empty() {
            passwords.iter().for_each(|password| self.know(password));
            self.write().addresses = true;
        }
    }

    /// Puts the texts in place of the tokens, in every string of `value`. Says whether there were any.
    pub fn reveal(&self, value: &mut Value) -> bool {
        match value {
            Value::String(text) if token::is_in(text) => {
                let inner = self.read();
                let shown = |part: Part| match part {
                    Part::Token(token) => {
                        inner.by_token.get(token).map_or(token, |secret| secret.expose_secret()).to_owned()
                    }
                    Part::Text(text) | Part::Broken(text) => text.to_owned(),
                };
                let revealed: String = token::parts(text).into_iter().map(shown).collect();
                let any = revealed != *text;
                *text = revealed;
                any
            }
            Value::Array(items) => items.iter_mut().map(|item| self.reveal(item)).max().unwrap_or(false),
            Value::Object(fields) => fields.values_mut().map(|field| self.reveal(field)).max().unwrap_or(false),
            _ => false,
        }
    }

    /// A text with its secrets in it.
    ///
    /// # Errors
    /// Where it holds a token that nobody knows, or a piece of one.
    pub fn revealed(&self, text: &str) -> Result<String> {
        let mut value = Value::from(text);
        self.whole(&value)?;
        self.reveal(&mut value);
        Ok(value.as_str().unwrap_or_default().to_owned())
    }

    /// Sees that every token in a value is whole and known, and that none is in the key of a map.
    ///
    /// # Errors
    /// Otherwise: it would be written as it is, and be taken for the secret.
    pub fn whole(&self, value: &Value) -> Result {
        match value {
            Value::String(text) if token::is_in(text) => {
                let inner = self.read();
                let fits = |part: &Part| match part {
                    Part::Text(_) => true,
                    Part::Token(token) => inner.by_token.contains_key(*token),
                    Part::Broken(_) => false,
                };
                match token::parts(text).iter().all(fits) {
                    true => Ok(()),
                    false => Err(Error::playbook("a piece of a secret is no secret any more").hint(REMEDY)),
                }
            }
            Value::Array(items) => items.iter().try_for_each(|item| self.whole(item)),
            Value::Object(fields) => fields.iter().try_for_each(|(key, field)| match token::is_in(key) {
                true => Err(Error::playbook("a secret cannot be the key of a map")),
                false => self.whole(field),
            }),
            _ => Ok(()),
        }
    }

    /// Whether a text carries a token, or a piece of one.
    pub fn is_tainted(text: &str) -> bool {
        token::is_in(text)
    }

    /// Whether a value carries one anywhere.
    pub fn taints(value: &Value) -> bool {
        match value {
            Value::String(text) => token::is_in(text),
            Value::Array(items) => items.iter().any(Self::taints),
            Value::Object(fields) => fields.iter().any(|(key, field)| token::is_in(key) || Self::taints(field)),
            _ => false,
        }
    }

    /// Whether a value would show a secret to those who read it: by a token, or in the clear. What is kept where
    /// anybody may read it is asked for this.
    pub fn shows(&self, value: &Value) -> bool {
        let text = value.to_string();
        let strings = |value: &Value| {
            let mut masked = value.clone();
            self.mask_value(&mut masked);
            masked != *value
        };
        self.mask(&text) != text || strings(value)
    }

    /// Takes every secret out of a text.
    pub fn mask(&self, text: &str) -> String {
        let text = if token::is_in(text) { token::replaced(text, MASK) } else { text.to_owned() };
        let inner = self.read();
        let text = if inner.addresses { known::without_passwords(&text) } else { text };
        if inner.forms.is_empty() {
            return text;
        }
        // Rather nothing is shown than a secret.
        let Some(found) = inner.found(text.as_bytes()) else { return MASK.to_owned() };
        let mut out = String::with_capacity(text.len());
        let mut done = 0;
        for range in found {
            // A form begins and ends where letters do, unless it was cut out of something that is no text.
            let Some(before) = text.get(done..range.start).filter(|_| text.is_char_boundary(range.end)) else {
                return MASK.to_owned();
            };
            out += before;
            out += MASK;
            done = range.end;
        }
        out + &text[done..]
    }

    /// Takes every secret out of every string of `value`, and out of the keys of its maps.
    pub fn mask_value(&self, value: &mut Value) {
        each_text(value, &|text| self.mask(text));
    }

    /// The same of what a host gave and what it has; the names there are mk's own.
    pub fn mask_outcome(&self, outcome: &mut Outcome) {
        texts(outcome).for_each(|value| self.mask_value(value));
    }

    /// Takes every secret out of every string of `value`, whose keys are mk's own.
    pub fn mask_strings(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.mask(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.mask_strings(item)),
            Value::Object(fields) => fields.values_mut().for_each(|field| self.mask_strings(field)),
            _ => {}
        }
    }

    /// The texts of the secrets in a value.
    pub fn texts_in(&self, value: &Value) -> Vec<String> {
        match value {
            Value::String(text) if token::is_in(text) => {
                let inner = self.read();
                let secret = |part: &Part| match part {
                    Part::Token(token) => inner.by_token.get(*token).map(|secret| secret.expose_secret().to_owned()),
                    Part::Text(_) | Part::Broken(_) => None,
                };
                let parts = token::parts(text);
                parts.iter().filter_map(secret).filter(|text: &String| !text.is_empty()).collect()
            }
            Value::Array(items) => items.iter().flat_map(|item| self.texts_in(item)).collect(),
            Value::Object(fields) => fields.values().flat_map(|field| self.texts_in(field)).collect(),
            _ => Vec::new(),
        }
    }

    /// A text of a host's without tokens.
    pub fn defused(text: &str) -> String {
        if token::is_in(text) { token::replaced(text, MASK) } else { text.to_owned() }
    }

    /// Takes the tokens out of what a host says: they are the script's own, and would be filled in with the secret when
    /// the script passes them on.
    pub fn defuse(outcome: &mut Outcome) {
        for value in texts(outcome).filter(|value| Self::taints(value)) {
            each_text(value, &|text| token::replaced(text, MASK));
        }
        for text in [&mut outcome.reason, &mut outcome.digest].into_iter().flatten() {
            *text = Self::defused(text);
        }
    }

    /// Whether there is nothing to hide, so that masking can be left out.
    pub fn is_empty(&self) -> bool {
        let inner = self.read();
        inner.forms.is_empty() && inner.by_token.is_empty() && !inner.addresses
    }
}

/// What is said to those who do with a secret what cannot be done with it.
pub const REMEDY: &str = "a secret can be put into text with `+` or `${…}` and passed on; what else is done with one, \
    a function does: `b64encode`, `sha256`, `password_hash`, `to_json`, `quote` (`mk doc secret`)";

/// What of an outcome is a host's own.
fn texts(outcome: &mut Outcome) -> impl Iterator<Item = &mut Value> {
    let fields = outcome.diff.iter_mut().flat_map(|diff| &mut diff.fields);
    let differ = fields.flat_map(|field| [&mut field.before, &mut field.after]).flatten();
    outcome.values.values_mut().chain(differ)
}

/// Changes every string of a value, the keys of maps included.
fn each_text(value: &mut Value, change: &dyn Fn(&str) -> String) {
    match value {
        Value::String(text) => *text = change(text),
        Value::Array(items) => items.iter_mut().for_each(|item| each_text(item, change)),
        Value::Object(fields) => {
            let old = std::mem::take(fields);
            for (key, mut field) in old {
                each_text(&mut field, change);
                fields.insert(change(&key), field);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::change::Status;

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
        let hex = crate::change::hex(TEXT.as_bytes());
        let twice = base64(base64(TEXT.to_owned()));
        let shown = [
            (TEXT.to_owned(), "as it is"),
            (json, "JSON"),
            (hex.to_uppercase(), "upper-case digits"),
            (hex, "digits"),
            ("s3cr%22et%2F%2B%C3%BC%21".to_owned(), "an address"),
            (r#"s3cr\"et/+\u00fc!"#.to_owned(), "JSON in ASCII"),
            ("s3cr&quot;et/+ü!".to_owned(), "HTML"),
            ("s3cr&#34;et/+ü!".to_owned(), "HTML as Go writes it"),
            (r#"s3cr\"et/+ü\!"#.to_owned(), "a shell's backslashes"),
            (twice, "base64 of base64"),
            (token, "the token"),
        ];
        for (text, form) in shown {
            let masked = secrets.mask(&format!("<{text}>"));
            assert!(masked.contains(MASK) && !masked.contains(&text), "{form}: {masked}");
        }
        for before in ["", "a", "ab"] {
            let masked = secrets.mask(&base64(format!("{before}{TEXT}--after")));
            assert!(masked.contains(MASK), "{masked}");
        }
    }

    #[test]
    fn what_a_shell_or_go_quotes_is_masked() {
        let secrets = Secrets::default();
        secrets.add("pw", "it's <a> & b").unwrap();
        for text in
            [r"it'\''s <a> & b", "it's \\u003ca\\u003e \\u0026 b", "it&#39;s &lt;a&gt; &amp; b", "it''s <a> & b"]
        {
            assert_eq!(secrets.mask(&format!("<{text}>")), format!("<{MASK}>"), "{text}");
        }
    }

    #[test]
    fn base64_and_digits_that_are_wrapped_are_masked_wherever_the_line_breaks() {
        let secrets = Secrets::default();
        secrets.add("db", "correct horse battery staple").unwrap();
        for before in 0..90 {
            let text = format!("{}correct horse battery staple, and more", "x".repeat(before));
            let encoded = base64::engine::general_purpose::STANDARD.encode(&text);
            let (shown, hex) = (wrap(&encoded, 76), wrap(&crate::change::hex(text.as_bytes()), 60));
            let known = "cnJlY3QgaG9yc2UgYmF0dGVyeSBzdGFwb";
            let plain = |text: &str| text.replace("\n    ", "");
            assert!(plain(&shown).contains(&encoded) && secrets.mask(&shown) != shown, "{before}: {shown}");
            assert!(!plain(&secrets.mask(&shown)).contains(known), "{before}");
            assert!(!plain(&secrets.mask(&hex)).contains("686f727365"), "{before}: {hex}");
            let mut masked = Masked::new(secrets.clone());
            let pieces: String = shown.as_bytes().chunks(77).map(|piece| masked.push(piece)).collect();
            let pieces = format!("{pieces}{}", masked.finish());
            assert!(!plain(&pieces).contains("aG9yc2UgYmF0dGVyeS"), "{before}: {pieces}");
        }
    }

    fn wrap(text: &str, width: usize) -> String {
        let lines: Vec<&str> = text.as_bytes().chunks(width).map(|line| std::str::from_utf8(line).unwrap()).collect();
        lines.join("\n    ")
    }

    #[test]
    fn keys_of_maps_are_masked() {
        let secrets = Secrets::default();
        secrets.add("db", "hunter2hunter2").unwrap();
        let mut value = json!({ "a-hunter2hunter2": ["hunter2hunter2"] });
        assert!(secrets.shows(&value));
        secrets.mask_value(&mut value);
        assert_eq!(value, json!({ format!("a-{MASK}"): [MASK] }));
        assert!(!secrets.shows(&value));
    }

    #[test]
    fn what_a_host_says_is_never_filled_in() {
        let secrets = Secrets::default();
        let token = secrets.add("db", "hunter2hunter2").unwrap();
        let said = json!({ "list": [token[..20].to_owned()], token.as_str(): 1 });
        let mut outcome = Outcome::new(Status::Read).with("stdout", format!("got {token}")).with("more", said);
        outcome.reason = Some(token);
        Secrets::defuse(&mut outcome);
        assert_eq!(
            Value::Object(outcome.values.clone()),
            json!({ "stdout": format!("got {MASK}"), "more": { "list": [MASK], MASK: 1 } })
        );
        assert!(!secrets.reveal(&mut Value::Object(outcome.values)));
        assert_eq!(outcome.reason.as_deref(), Some(MASK));
    }

    #[test]
    fn a_piece_of_a_token_and_one_of_another_run_are_faults() {
        let secrets = Secrets::default();
        let token = secrets.add("db", "hunter2hunter2").unwrap();
        let other = Secrets::default().add("db", "hunter2hunter2").unwrap();
        let piece: String = token.chars().take(3).collect();
        assert!(secrets.whole(&json!({ "content": token })).is_ok());
        for wrong in [json!([piece]), json!({ "content": other }), json!({ token: 1 })] {
            assert_eq!(secrets.whole(&wrong).unwrap_err().kind(), crate::error::Kind::Playbook, "{wrong}");
        }
    }

    #[test]
    fn what_is_too_short_to_be_masked_has_a_token_all_the_same() {
        let secrets = Secrets::default();
        let token = secrets.hold("abc").unwrap();
        assert_eq!(secrets.mask(&format!("abc {token}")), format!("abc {MASK}"));
        assert_eq!(secrets.revealed(&token).unwrap(), "abc");
        assert_eq!(secrets.hold("abc").unwrap(), token);
    }

    #[test]
    fn a_line_of_a_key_is_masked_by_itself() {
        let secrets = Secrets::default();
        let key = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49\nAwEHBG0wawIBAQQg\n-----END PRIVATE KEY-----\n";
        secrets.add("key", key).unwrap();
        assert_eq!(secrets.mask("> MIGHAgEAMBMGByqGSM49AgEGCCqGSM49"), format!("> {MASK}"));
    }

    #[test]
    fn a_long_secret_is_masked_as_it_is_in_json_in_base64_and_line_by_line() {
        let secrets = Secrets::default();
        let lines: Vec<String> = (0..2000).map(|n| format!("line {n} of a \"secret\"\n")).collect();
        let text = lines.concat();
        secrets.add("long", &text).unwrap();
        let base64 = base64::engine::general_purpose::STANDARD.encode(&text);
        for shown in [text.clone(), Value::from(text.as_str()).to_string(), base64, text.lines().nth(7).unwrap().into()]
        {
            let masked = secrets.mask(&shown);
            assert!(masked.replace(MASK, "").len() < 8, "{masked}");
        }
    }

    #[test]
    fn blank_lines_after_what_may_begin_a_secret_are_not_kept_for_ever() {
        let secrets = Secrets::default();
        secrets.add("s", "hunter2hunter2").unwrap();
        let mut masked = Masked::new(secrets);
        let mut shown = masked.push(format!("{}h", "x".repeat(50)).as_bytes()).len();
        (0..50).for_each(|_| shown += masked.push(&vec![b'\n'; 64 * 1024]).len());
        assert!(shown > 48 * 64 * 1024, "{shown}");
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
