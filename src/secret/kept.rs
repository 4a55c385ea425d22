//! Secrets of what is kept to be done later: out of one run, into another.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::Secrets;

impl Secrets {
    /// The texts behind the tokens that a value carries, by token.
    pub fn behind(&self, value: &Value) -> BTreeMap<String, String> {
        let text = value.to_string();
        let inner = self.read();
        let carried = inner.by_token.iter().filter(|(token, _)| text.contains(token.as_str()));
        carried.map(|(token, secret)| (token.clone(), secret.expose_secret().to_owned())).collect()
    }

    /// Takes in what [`Secrets::behind`] gave in an earlier run, under the tokens of then.
    pub fn take_back(&self, secrets: &BTreeMap<String, String>) {
        let mut inner = self.write();
        for (token, text) in secrets {
            inner.by_token.insert(token.clone(), SecretString::from(text.as_str()));
            inner.mask_from_now_on(text);
        }
    }
}
