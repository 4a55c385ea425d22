//! What hosts say, on its way to the script.

use serde_json::Value;

use crate::change::Outcome;
use crate::error::{Error, Result};
use crate::secret::Secrets;

/// How long what is printed in secret may be, in bytes: it is looked for line by line in all that is shown.
const LONGEST: usize = 1024 * 1024;

/// Whether what a step prints is a secret.
pub(crate) fn has_secret_output(args: &Value) -> bool {
    args.get("secret_output").and_then(Value::as_bool) == Some(true)
}

/// What this side keeps of an outcome before the script sees it: no token in it is the script's own, and what is
/// printed in secret becomes one.
///
/// # Errors
/// When more is printed than a secret has, and when there are no random bytes.
pub(crate) fn kept(secrets: &Secrets, args: &Value, outcome: &mut Outcome) -> Result {
    Secrets::defuse(outcome);
    if has_secret_output(args) {
        for name in ["stdout", "stderr"] {
            if let Some(Value::String(said)) = outcome.values.get_mut(name)
                && !said.is_empty()
            {
                if said.len() > LONGEST {
                    return Err(Error::step(format!("a secret of {} bytes, over the limit of {LONGEST}", said.len())));
                }
                *said = secrets.hold(said.trim_end_matches('\n'))?;
            }
        }
    }
    Ok(())
}

/// A fault that a host told, without what the program printed where that is a secret.
pub(crate) fn hushed(args: &Value, error: Error) -> Error {
    let printed = match has_secret_output(args) {
        true => error.notes().to_vec(),
        false => Vec::new(),
    };
    error.map_text(|text| match printed.iter().any(|note| note == text) {
        true => "what it printed is a secret (`secret_output`)".to_owned(),
        false => Secrets::defused(text),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::change::Status;

    #[test]
    fn what_is_printed_in_secret_is_a_secret_however_short_it_is() {
        let secrets = Secrets::default();
        let mut outcome = Outcome::new(Status::Read).with("stdout", "abc").with("stderr", "");
        kept(&secrets, &json!({ "secret_output": true }), &mut outcome).unwrap();
        let token = outcome.values["stdout"].as_str().unwrap();
        assert!(Secrets::is_tainted(token));
        assert_eq!((secrets.revealed(token).unwrap().as_str(), &outcome.values["stderr"]), ("abc", &json!("")));
    }

    #[test]
    fn a_fault_of_such_a_step_tells_nothing_of_what_it_printed() {
        let error = Error::step("`x` exited with status 3").note("abc");
        let told = hushed(&json!({ "secret_output": true }), error.clone());
        assert_eq!((told.message(), told.notes().len()), ("`x` exited with status 3", 1));
        assert!(!told.notes()[0].contains("abc"));
        assert_eq!(hushed(&json!({}), error).notes(), ["abc"]);
    }

    #[test]
    fn a_token_that_comes_back_from_a_host_is_none_any_more() {
        let secrets = Secrets::default();
        let token = secrets.add("db", "hunter2hunter2").unwrap();
        let mut outcome = Outcome::new(Status::Changed).with("stdout", token.as_str());
        kept(&secrets, &json!({}), &mut outcome).unwrap();
        assert_eq!(outcome.values["stdout"], "[secret]");
        let told = hushed(&json!({}), Error::step(format!("no `{token}`")));
        assert_eq!(told.message(), "no `[secret]`");
    }
}
