//! Credentials: authorities and secrets, what a script may use and never holds.

use std::sync::Arc;

use rhai::{Dynamic, Engine, EvalAltResult, Map, NativeCallContext};
use serde_json::{Value, json};

use super::fault::throw;
use super::running::Run;
use super::secret::Secret;
use super::value::{from_json, to_json};
use crate::control::{AuthoritySpec, Base, Form, Made};
use crate::error::{Detail, Error, Result};
use crate::event::EventKind;
use crate::ops::Cert;
use crate::secret::Secrets;

type Raised<T> = std::result::Result<T, Box<EvalAltResult>>;

pub(super) fn register(engine: &mut Engine, run: &Arc<Run>) {
    let shared = Arc::clone(run);
    engine.register_fn("ca", move |context: NativeCallContext, name: &str, wish: Map| -> Raised<Dynamic> {
        ca(&shared, name, wish).map_err(|e| throw(&context, e))
    });
    let shared = Arc::clone(run);
    engine.register_fn("ca", move |context: NativeCallContext, name: &str| -> Raised<Dynamic> {
        let authority = shared.control.authorities.get(name).map_err(|e| throw(&context, e))?;
        Ok(shown(name, &authority.cert, &authority.fingerprint))
    });
    let shared = Arc::clone(run);
    engine.register_fn("ca_key", move |context: NativeCallContext, name: &str| -> Raised<Secret> {
        shared.control.authority_key(name).map(Secret).map_err(|e| throw(&context, e))
    });
    let shared = Arc::clone(run);
    engine.register_fn("shared_cert", move |context: NativeCallContext, name: &str, wish: Map| -> Raised<Dynamic> {
        shared_cert(&shared, name, wish).map_err(|e| throw(&context, e))
    });
    let shared = Arc::clone(run);
    engine.register_fn("random_secret", move |context: NativeCallContext, name: &str, bytes: i64| -> Raised<Secret> {
        random(&shared, name, bytes, "base64").map_err(|e| throw(&context, e))
    });
    let shared = Arc::clone(run);
    let formed = move |context: NativeCallContext, name: &str, bytes: i64, form: &str| -> Raised<Secret> {
        random(&shared, name, bytes, form).map_err(|e| throw(&context, e))
    };
    engine.register_fn("random_secret", formed);
    let shared = Arc::clone(run);
    engine.register_fn("has_random_secret", move |context: NativeCallContext, name: &str| -> Raised<bool> {
        shared.control.has_random_secret(name).map_err(|e| throw(&context, e))
    });
    let shared = Arc::clone(run);
    engine.register_fn("secret", move |context: NativeCallContext, from: &str| -> Raised<Secret> {
        let base = Base::of(context.call_source().unwrap_or_default());
        shared.control.secret(&base, from).map(Secret).map_err(|e| throw(&context, e))
    });
}

/// What is wrong with one field of a wish for an authority.
pub(super) fn wish(name: &str, value: Value) -> Option<Error> {
    let known = !value.is_null();
    let wish = serde_json::from_value::<AuthoritySpec>(Value::Object([(name.to_owned(), value)].into_iter().collect()));
    let error = Error::options("ca", &wish.err()?);
    let wrong = match error.detail() {
        Some(Detail::UnknownField { .. }) => true,
        Some(Detail::MissingField(_)) => false,
        _ => known,
    };
    wrong.then_some(error)
}

fn ca(run: &Arc<Run>, name: &str, wish: Map) -> Result<Dynamic> {
    let wish: AuthoritySpec =
        serde_json::from_value(plain("ca", wish)?).map_err(|e| Error::playbook(format!("ca: {e}")))?;
    let (authority, new) = run.control.authorities.ensure(name, &wish, run.fleet.mode())?;
    tell(run, &format!("authority `{name}`"), if new { Made::New } else { Made::Kept });
    Ok(shown(name, &authority.cert, &authority.fingerprint))
}

fn shared_cert(run: &Arc<Run>, name: &str, mut wish: Map) -> Result<Dynamic> {
    if let Some(field) = ["path", "owner", "group", "key_mode"].iter().find(|field| wish.contains_key(**field)) {
        return Err(Error::playbook(format!("shared_cert: `{field}` says how files lie on a host, and here are none"))
            .hint("write the certificate and its key with `copy`"));
    }
    wish.insert("path".into(), "/".into());
    let request = serde_json::from_value::<Cert>(plain("shared_cert", wish)?)
        .map_err(|e| Error::playbook(format!("shared_cert: {e}")))?;
    let (pair, made) = run.control.shared_cert(name, &request, run.fleet.mode())?;
    tell(run, &format!("shared certificate `{name}`"), made);
    Ok(from_json(&json!({ "cert": pair.cert, "key": pair.key, "key_data": pair.key_data })))
}

/// A map as data. What is issued on this side is public, and a secret has no text here.
fn plain(function: &str, wish: Map) -> Result<Value> {
    let wish = to_json(&Dynamic::from(wish))?;
    match Secrets::taints(&wish) {
        true => Err(Error::playbook(format!("{function}: a certificate cannot hold a secret"))),
        false => Ok(wish),
    }
}

fn random(run: &Arc<Run>, name: &str, bytes: i64, form: &str) -> Result<Secret> {
    let form = match form {
        "base64" => Form::Base64,
        "hex" => Form::Hex,
        other => {
            return Err(Error::playbook(format!("random_secret: there is no form `{other}`: \"base64\" or \"hex\"")));
        }
    };
    let size = usize::try_from(bytes).unwrap_or_default();
    let (token, made) = run.control.random_secret(name, size, form, run.fleet.mode())?;
    tell(run, &format!("random secret `{name}`"), made);
    Ok(Secret(token))
}

/// Tells that something was made or renewed on this side.
fn tell(run: &Arc<Run>, what: &str, made: Made) {
    let verb = match made {
        Made::Kept => return,
        Made::New => "made",
        Made::Renewed => "renewed",
    };
    let tense = if run.fleet.mode() == crate::wire::Mode::Check { "would be" } else { "was" };
    run.events.tell(EventKind::Said { host: None, warning: false, text: format!("{what} {tense} {verb}") });
}

fn shown(name: &str, cert: &str, fingerprint: &str) -> Dynamic {
    from_json(&json!({ "name": name, "cert": cert, "fingerprint": fingerprint }))
}
