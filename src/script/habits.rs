//! What people write who come from other languages and runners, and what it is called here. Only hints come of it.

use rhai::{LexError, ParseErrorType, Position};

use crate::error::Error;

/// Words of other languages.
const WORDS: [(&[&str], &str); 8] = [
    (&["not"], "`!` negates: `if !changed { … }`"),
    (&["and"], "`&&` joins conditions that must both hold"),
    (&["or"], "`||` joins conditions of which one must hold"),
    (&["null", "None", "nil", "undefined", "NULL"], "nothing is `()`: `let x = ();`, `if x == () { … }`"),
    (&["True", "False", "TRUE", "FALSE"], "truth values are `true` and `false`"),
    (&["elif", "elsif", "elseif"], "it is called `else if`"),
    (&["def", "func", "function"], "a function begins with `fn`: `fn name(host) { … }`"),
    (&["var"], "a variable begins with `let`: `let name = …;`"),
];

/// Parameters that other runners give every step.
const PARAMETERS: [(&[&str], &str); 15] = [
    (&["when"], "a condition stands around the call: `if … { host.OP(…) }`"),
    (
        &["become", "become_user", "sudo", "remote_user"],
        "another user is one of the host: `host.as_user(\"NAME\").OP(…)`",
    ),
    (&["register"], "the call gives its outcome: `let r = host.OP(…);`"),
    (&["loop", "with_items", "with_dict"], "a loop stands around the call: `for item in list { host.OP(…) }`"),
    (&["ignore_errors"], "a failure is caught: `try { host.OP(…) } catch (e) { … }`"),
    (&["delegate_to"], "any host can be called: `host(\"NAME\").OP(…)`"),
    (&["run_once"], "once for all of them: `run_once(hosts, |host| host.OP(…))`"),
    (&["changed_when"], "it is called `changed`: `changed: |outcome| …`"),
    (&["failed_when"], "it is called `failed`: `failed: |outcome| …`"),
    (&["until", "retries"], "it is called `retry`: `retry: #{ attempts: 5, delay: \"2s\" }`"),
    (&["tags"], "`--tags` names tasks: `task(\"NAME\", || …)`"),
    (&["no_log"], "a secret is one by itself: `secret(\"file.age#key\")`, or `secret_output: true`"),
    (&["chdir"], "it is called `cwd`"),
    (&["environment"], "it is called `env`"),
    (&["check_mode"], "`checking()` tells whether it is a check"),
];

fn of(list: &[(&[&str], &'static str)], word: &str) -> Option<&'static str> {
    list.iter().find(|(words, _)| words.contains(&word)).map(|(_, hint)| *hint)
}

/// What a word of another language is called here.
pub(super) fn word(word: &str) -> Option<&'static str> {
    of(&WORDS, word)
}

/// What is done here instead of giving a step this parameter.
pub(super) fn parameter(name: &str) -> Option<&'static str> {
    of(&PARAMETERS, name)
}

/// An error about a script that cannot be read, with what may have been meant.
pub(super) fn syntax(error: Error, what: &ParseErrorType, at: Position, text: &str) -> Error {
    let hint = match what {
        ParseErrorType::BadInput(LexError::MalformedChar(_)) => {
            Some("a text stands in double quotes, `\"text\"`; single quotes hold one letter")
        }
        ParseErrorType::Reserved(name) | ParseErrorType::VariableUndefined(name) if word(name).is_some() => word(name),
        ParseErrorType::VariableUndefined(name) if is_variable_outside(name, text) => {
            let hint = format!(
                "a function sees nothing from outside: pass `{name}` to it, or write `const {name} = …;` and `global::{name}`"
            );
            return error.hint(hint);
        }
        _ => {
            let before = before(text, at);
            let found: String = text[before.len()..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            word(&found).or_else(|| in_bare_braces(before).then_some("a map begins with `#{`: `#{ mode: \"0644\" }`"))
        }
    };
    hint.into_iter().fold(error, Error::hint)
}

/// Whether the script has a variable of that name outside of its functions.
fn is_variable_outside(name: &str, text: &str) -> bool {
    let mut engine = rhai::Engine::new();
    super::engine::limits(&mut engine);
    engine.set_strict_variables(false);
    engine.compile(text).is_ok_and(|ast| {
        ast.statements().iter().any(|statement| matches!(statement, rhai::Stmt::Var(one, ..) if one.0.name == name))
    })
}

/// The text before a place.
fn before(text: &str, at: Position) -> &str {
    let (Some(line), Some(column)) = (at.line(), at.position()) else { return text };
    let start: usize = text.split_inclusive('\n').take(line - 1).map(str::len).sum();
    let rest = &text[start..];
    let inside = rest.char_indices().nth(column.saturating_sub(1)).map_or(rest.len(), |(at, _)| at);
    &text[..start + inside]
}

/// Whether a text ends inside of braces that stand where a value does, and are no map.
fn in_bare_braces(before: &str) -> bool {
    let mut closed = 0;
    for (at, letter) in before.char_indices().rev() {
        match letter {
            '}' => closed += 1,
            '{' if closed > 0 => closed -= 1,
            '{' => return before[..at].trim_end().ends_with(['(', ',', '=', ':', '[']),
            _ => {}
        }
    }
    false
}

/// An error about a call that there is not, with types as the language tells them: how an operation is called.
pub(super) fn call(error: Error, name: &str, types: &[&str]) -> Error {
    if crate::ops::find(name).is_err() {
        return error;
    }
    match types {
        ["Host", ..] => {
            error.hint(format!("parameters after the subject stand in a map: `host.{name}(SUBJECT, #{{ … }})`"))
        }
        _ => error.hint(format!("an operation is a method of a host: `host.{name}(…)`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_are_known_from_those_of_blocks() {
        assert!(in_bare_braces("f(\"x\", { ") && in_bare_braces("let m = {\n  a: #{ b: 1 }, "));
        assert!(
            !in_bare_braces("f(#{ ")
                && !in_bare_braces("if x { ")
                && !in_bare_braces("f(|x| { ")
                && !in_bare_braces("{ a } ")
        );
    }

    #[test]
    fn no_parameter_of_an_operation_is_called_one_of_another_runner() {
        let known: Vec<String> =
            crate::ops::OPS.iter().flat_map(crate::ops::parameters).map(|parameter| parameter.name).collect();
        for (names, _) in PARAMETERS {
            for name in names {
                let common = crate::run::is_common(name);
                assert!(!common && !known.iter().any(|one| one == name), "{name}");
            }
        }
    }
}
