//! What the parameters of a step must be like before anything is done with them.
//!
//! A secret in them is a token. Whether they are right is told by its text, and where it may not go is told here.

use serde_json::{Map, Value};

use crate::control::is_read_here;
use crate::error::{Error, Result};
use crate::op::{Parameters, Spec};
use crate::secret::Secrets;

/// The parameter that lets a secret into an argument all the same.
pub(super) const SECRET_ARGV: &str = "secret_argv";

/// The operations that run programs, and those of their parameters that neither become arguments nor go into the
/// environment. Both show: to every user of the host, and in the journal.
const RUN: [(&str, &[&str]); 14] = [
    ("facts", &[]),
    ("group", &[]),
    ("hostname", &[]),
    ("kernel_module", &[]),
    ("mount", &[]),
    ("pkg", &[]),
    ("raw", &["stdin"]),
    ("reboot", &[]),
    ("run", &["stdin"]),
    ("service", &[]),
    ("shell", &["stdin"]),
    ("systemd", &[]),
    ("user", &["password_hash"]),
    ("wait", &["port", "file", "http"]),
];

/// Parameters that are commands wherever they are.
const COMMANDS: [&str; 3] = ["validate", "unless", "only_if"];

/// Parameters that name accounts wherever they are: everybody sees whose a file is, and one that no file of the host has
/// is asked of `getent`.
const ACCOUNTS: [&str; 3] = ["owner", "group", "user"];

/// Parameters that are paths of which a program that validates is told.
const PATHS: [&str; 2] = ["dest", "path"];

/// Takes out what is for this side alone, and sees that the rest is right.
///
/// # Errors
/// What is wrong with it, without any secret's text.
pub(super) fn admit(spec: &Spec, args: &mut Map<String, Value>, secrets: &Secrets) -> Result<Parameters> {
    let in_argv = match args.remove(SECRET_ARGV) {
        None | Some(Value::Bool(false)) => false,
        Some(Value::Bool(true)) => true,
        Some(_) => return Err(Error::playbook(format!("{}: `{SECRET_ARGV}` is true or false", spec.name))),
    };
    let mut value = Value::Object(args.clone());
    secrets.know_addresses(&value);
    if !Secrets::taints(&value) {
        return (spec.check)(value);
    }
    let named = |e: Error| {
        let error = Error::playbook(format!("{}: {}", spec.name, e.message()));
        e.hints().iter().fold(error, |error, hint| error.hint(hint.clone()))
    };
    secrets.whole(&value).map_err(named)?;
    if let Some((name, _)) = args.iter().find(|(name, value)| is_read_here(spec.name, name) && Secrets::taints(value)) {
        return Err(Error::playbook(format!("{}: `{name}` cannot hold a secret", spec.name)));
    }
    if !in_argv {
        no_arguments(spec, args)?;
    }
    let texts = secrets.texts_in(&value);
    secrets.reveal(&mut value);
    // What it says of a wrong value may quote it, and one that is short is masked nowhere else.
    let hidden = |text: &str| texts.iter().fold(secrets.mask(text), |text, secret| text.replace(secret, "[secret]"));
    (spec.check)(value).map_err(|e| e.map_text(hidden))
}

/// Refuses a secret that would become an argument of a program, or go into its environment.
fn no_arguments(spec: &Spec, args: &Map<String, Value>) -> Result {
    let elsewhere = RUN.iter().find(|(name, _)| *name == spec.name).map(|(_, fields)| *fields);
    let validated = args.contains_key("validate");
    let shows = |name: &str| {
        COMMANDS.contains(&name)
            || ACCOUNTS.contains(&name)
            || validated && PATHS.contains(&name)
            || elsewhere.is_some_and(|fields| !fields.contains(&name))
    };
    let Some((name, _)) = args.iter().find(|(name, value)| shows(name) && Secrets::taints(value)) else {
        return Ok(());
    };
    let error = Error::playbook(format!(
        "{}: `{name}` holds a secret, and every user of the host could read it there",
        spec.name
    ));
    let way = match elsewhere.is_some_and(|fields| fields.contains(&"stdin")) {
        true => "give it to the program in `stdin`, or in a file that `copy` writes with `mode: \"0600\"`",
        false => "arguments and the environment of programs are no place for a secret; give it in a file of mode 0600",
    };
    Err(error.hint(way).hint(format!("`{SECRET_ARGV}: true` lets it through, for a program that can do no other")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn admitted(op: &str, args: Value, secrets: &Secrets) -> Result {
        let Value::Object(mut args) = args else { panic!("a map") };
        admit(crate::ops::find(op).unwrap(), &mut args, secrets).map(drop)
    }

    #[test]
    fn every_operation_that_runs_programs_is_known_here() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ops");
        for spec in crate::ops::OPS {
            let (file, inside) = (folder.join(format!("{}.rs", spec.name)), folder.join(spec.name));
            let files = walkdir::WalkDir::new(if file.exists() { file } else { inside }).into_iter();
            let text: String = files
                .map(Result::<_, walkdir::Error>::unwrap)
                .filter(|entry| entry.file_type().is_file())
                .map(|entry| std::fs::read_to_string(entry.path()).unwrap())
                .map(|text| text.split("#[cfg(test)]").next().unwrap_or_default().to_owned())
                .collect();
            let runs = text.contains("Command") || spec.name == "raw";
            let known = RUN.iter().find(|(name, _)| *name == spec.name);
            assert_eq!(runs, known.is_some(), "{}", spec.name);
            let parameters: Vec<String> = crate::ops::parameters(spec).into_iter().map(|p| p.name).collect();
            for field in known.into_iter().flat_map(|(_, fields)| *fields) {
                assert!(parameters.iter().any(|name| name == field), "{} has no `{field}`", spec.name);
            }
            for argv in ["validate", "unless", "only_if"] {
                let named = text.contains(&format!("pub {argv}: Option<Argv>"));
                assert_eq!(named, parameters.iter().any(|name| name == argv), "{}: {argv}", spec.name);
            }
        }
    }

    #[test]
    fn a_secret_is_no_argument_and_no_variable() {
        let secrets = Secrets::default();
        let token = secrets.add("pw", "hunter2hunter2").unwrap();
        for (op, args) in [
            ("run", json!({ "argv": ["echo", token] })),
            ("run", json!({ "argv": ["true"], "env": { "PASSWORD": token } })),
            ("run", json!({ "argv": ["true"], "unless": ["grep", token, "/etc/x"] })),
            ("run", json!({ "argv": ["true"], "only_if": ["grep", token, "/etc/x"] })),
            ("shell", json!({ "script": format!("echo {token}") })),
            ("shell", json!({ "script": "true", "env": { "PASSWORD": token } })),
            ("raw", json!({ "command": format!("echo {token}") })),
            ("wait", json!({ "command": ["curl", token] })),
            ("user", json!({ "name": "u", "comment": token })),
            ("group", json!({ "name": token })),
            ("hostname", json!({ "name": token })),
            ("pkg", json!({ "names": token })),
            ("kernel_module", json!({ "name": "x", "options": token })),
            ("copy", json!({ "dest": "/x", "content": "x", "validate": ["check", token] })),
            ("copy", json!({ "dest": format!("/x/{token}"), "content": "x", "validate": ["check", "%s"] })),
            ("line", json!({ "path": format!("/x/{token}"), "line": "x", "validate": ["check", "%s"] })),
            ("systemd", json!({ "unit": "u", "restart_on": [token] })),
            ("file", json!({ "path": "/x", "owner": token })),
            ("dir", json!({ "path": "/x", "group": token })),
            ("authorized_key", json!({ "user": token, "key": "ssh-ed25519 AAAA" })),
        ] {
            let error = admitted(op, args.clone(), &secrets).unwrap_err();
            assert!(error.message().contains("holds a secret"), "{args}: {error}");
            assert!(error.hints()[0].contains("0600") && error.hints()[1].contains("secret_argv"), "{args}");
            let mut way_out = args.clone();
            way_out[SECRET_ARGV] = json!(true);
            let held = admitted(op, way_out, &secrets).err().map(|e| e.message().to_owned()).unwrap_or_default();
            assert!(!held.contains("holds a secret") && !held.contains("hunter2"), "{args}: {held}");
        }
        for (op, args) in [
            ("cert", json!({ "path": "/x", "ca": "c", "cn": token })),
            ("download", json!({ "dest": "/x", "url": format!("https://h/{token}") })),
            ("copy", json!({ "dest": "/x", "src": token })),
        ] {
            let error = admitted(op, args.clone(), &secrets).unwrap_err();
            assert!(error.message().contains("cannot hold a secret"), "{args}: {error}");
        }
        for (op, args) in [
            ("run", json!({ "argv": ["cat"], "stdin": token })),
            ("copy", json!({ "dest": "/x", "content": token })),
            ("template", json!({ "dest": "/x", "src": "x.j2", "vars": { "pw": token } })),
            ("line", json!({ "path": "/x", "line": token })),
            ("wait", json!({ "http": format!("http://x/{token}") })),
        ] {
            assert!(admitted(op, args.clone(), &secrets).is_ok(), "{args}");
        }
    }

    #[test]
    fn parameters_are_judged_by_the_text_of_the_secret_and_never_show_it() {
        let secrets = Secrets::default();
        let add = |text: &str| secrets.hold(text).unwrap();
        let hash = add("$6$salt$hash");
        assert!(admitted("user", json!({ "name": "u", "password_hash": hash }), &secrets).is_ok());
        let key = add("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0kE0jyWqJ5cXmYQ0m0sZ7m3a2m6q4T8b6iQ1k0V3fC me");
        assert!(admitted("authorized_key", json!({ "user": "u", "key": key }), &secrets).is_ok());
        let ip = add("10.0.0.7");
        let entries = |ip: &str| json!({ "name": "x", "entries": [{ "ip": ip, "names": ["a"] }] });
        assert!(admitted("etc_hosts", entries(&ip), &secrets).is_ok());
        for (op, args) in [
            ("user", json!({ "name": "u", "password_hash": add("not-a-hash") })),
            ("authorized_key", json!({ "user": "u", "key": add("not-a-key") })),
            ("etc_hosts", entries(&add("not-an-ip"))),
            ("etc_hosts", entries(&add("no"))),
            ("copy", json!({ "dest": "/x", "content": "x", "mode": add("not-a-mode") })),
        ] {
            let error = admitted(op, args, &secrets).unwrap_err();
            let all = format!("{error} {:?} {:?}", error.hints(), error.notes());
            assert!(!all.contains("not-a") && !all.contains("`no`") && !Secrets::is_tainted(&all), "{op}: {all}");
        }
    }

    #[test]
    fn the_password_of_an_address_is_masked_from_then_on() {
        let secrets = Secrets::default();
        let _ = admitted("download", json!({ "dest": "/x", "url": "https://me:hunter2hunter2@h/x" }), &secrets);
        assert_eq!(secrets.mask("GET https://me:hunter2hunter2@h/x"), "GET https://me:**************@h/x");
        assert_eq!(secrets.mask("no `hunter2hunter2`; a://b:c@d"), "no `[secret]`; a://b:*@d");
    }
}
