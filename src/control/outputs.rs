//! What hosts say, on its way to the script.

use serde_json::Value;

use super::Control;
use crate::change::Outcome;
use crate::error::{Error, Result};
use crate::secret::Secrets;

/// How long what is printed in secret may be, in bytes: it is looked for line by line in all that is shown.
const LONGEST: usize = 1024 * 1024;

/// Whether what a step prints is a secret.
pub(crate) fn has_secret_output(args: &Value) -> bool {
    args.get("secret_output").and_then(Value::as_bool) == Some(true)
}

impl Control {
    /// What this side keeps of an outcome before the script sees it: no token in it is the script's own, and what is
    /// printed in secret becomes one.
    ///
    /// # Errors
    /// When more is printed than a secret has, and when there are no random bytes.
    pub fn kept(&self, args: &Value, outcome: &mut Outcome) -> Result {
        Secrets::defuse(outcome);
        if has_secret_output(args) {
            for name in ["stdout", "stderr"] {
                if let Some(Value::String(said)) = outcome.values.get_mut(name)
                    && !said.is_empty()
                {
                    if said.len() > LONGEST {
                        return Err(Error::step(format!(
                            "a secret of {} bytes, over the limit of {LONGEST}",
                            said.len()
                        )));
                    }
                    *said = self.secrets.hold(said.trim_end_matches('\n'))?;
                }
            }
        }
        Ok(())
    }

    /// A fault that a host told, without what the program printed where that is a secret.
    pub fn hushed(&self, args: &Value, error: Error) -> Error {
        let printed = match has_secret_output(args) {
            true => error.notes().to_vec(),
            false => Vec::new(),
        };
        error.map_text(|text| match printed.iter().any(|note| note == text) {
            true => "what it printed is a secret (`secret_output`)".to_owned(),
            false => Secrets::defused(text),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::change::Status;
    use crate::state::StateDir;

    fn control() -> Control {
        Control::new("/nowhere".into(), StateDir::at("/nowhere/state".into()), Secrets::default())
    }

    #[test]
    fn what_is_printed_in_secret_is_a_secret_however_short_it_is() {
        let control = control();
        let mut outcome = Outcome::new(Status::Read).with("stdout", "abc").with("stderr", "");
        control.kept(&json!({ "secret_output": true }), &mut outcome).unwrap();
        let token = outcome.values["stdout"].as_str().unwrap();
        assert!(Secrets::is_tainted(token));
        assert_eq!((control.secrets.revealed(token).unwrap().as_str(), &outcome.values["stderr"]), ("abc", &json!("")));
    }

    #[test]
    fn a_fault_of_such_a_step_tells_nothing_of_what_it_printed() {
        let error = Error::step("`x` exited with status 3").note("abc");
        let hushed = control().hushed(&json!({ "secret_output": true }), error.clone());
        assert_eq!((hushed.message(), hushed.notes().len()), ("`x` exited with status 3", 1));
        assert!(!hushed.notes()[0].contains("abc"));
        assert_eq!(control().hushed(&json!({}), error).notes(), ["abc"]);
    }

    #[test]
    fn a_token_that_comes_back_from_a_host_is_none_any_more() {
        let control = control();
        let token = control.secrets.add("db", "hunter2hunter2").unwrap();
        let mut outcome = Outcome::new(Status::Changed).with("stdout", token.as_str());
        control.kept(&json!({}), &mut outcome).unwrap();
        assert_eq!(outcome.values["stdout"], "[secret]");
        let hushed = control.hushed(&json!({}), Error::step(format!("no `{token}`")));
        assert_eq!(hushed.message(), "no `[secret]`");
    }
}
