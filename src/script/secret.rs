//! A secret as a script has it: a value that can be put into text and passed on, and looked into by nobody.

use rhai::{AST, ASTNode, Array, Dynamic, Engine, EvalAltResult, Expr, ImmutableString, Map, NativeCallContext};

use super::fault::throw;
use super::registry::Registry;
use super::scope::scope;
use super::value::to_json;
use crate::control::{Hashing, Scheme, Texts};
use crate::error::{Error, Result};
use crate::secret::{REMEDY, Secrets, hide_variable};

/// A function on texts.
type OnText = fn(&Texts, &str) -> Result<String>;

type Raised<T> = std::result::Result<T, Box<EvalAltResult>>;

/// A text with secrets in it: the secret itself, or text that was made with one. It holds tokens.
///
/// What `${…}` makes is text of the language, whatever is put into it; [`super::guarded`] keeps the language's own
/// functions from that.
#[derive(Debug, Clone)]
pub(super) struct Secret(pub(super) String);

impl Secret {
    /// A text as a script's value: one of these where it holds a secret.
    pub(super) fn or_text(text: String) -> Dynamic {
        if Secrets::is_tainted(&text) { Dynamic::from(Self(text)) } else { text.into() }
    }
}

/// What a script does with a secret that cannot be done with one.
pub(super) fn refusal(what: &str) -> Error {
    Error::playbook(format!("{what} cannot be told of a secret")).hint(REMEDY)
}

/// The text of a value, its secrets as tokens; `None` for what is no text.
pub(super) fn text(value: &Dynamic) -> Option<String> {
    let value = value.flatten_clone();
    match value.read_lock::<Secret>() {
        Some(secret) => Some(secret.0.clone()),
        None if value.is_string() => value.clone().into_string().ok(),
        None => None,
    }
}

/// What a value says when it is shown to people.
pub(super) fn said(value: &Dynamic) -> String {
    // A list with one would have it escaped letter by letter.
    let list = || to_json(value).ok().filter(Secrets::taints).map(|list| list.to_string());
    text(value).or_else(list).unwrap_or_else(|| super::shown::spoken(value))
}

pub(super) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Secret>("secret");
    engine.register_fn("to_string", |secret: &mut Secret| secret.0.clone());
    engine.register_fn("to_debug", |secret: &mut Secret| format!("\"{}\"", secret.0));
    pieces(engine);
    joins(engine);
    compares(engine);
}

/// Keeps the variables of the environment that a script takes secrets from, as far as its text tells, from the programs
/// that mk starts on this machine: one may be started before the secret is asked for.
pub(super) fn hide_variables(ast: &AST) {
    ast.walk(&mut |path: &[ASTNode<'_>]| {
        if let Some(ASTNode::Expr(Expr::StringConstant(text, _))) = path.last()
            && let Some(name) = text.strip_prefix("env:")
        {
            hide_variable(name);
        }
        true
    });
}

/// There are none, whatever they are asked for by.
fn pieces(engine: &mut Engine) {
    macro_rules! refused {
        ($($index:ty),*) => {
            $(
                engine.register_indexer_get(|context: NativeCallContext, _: &mut Secret, _: $index| -> Raised<Dynamic> {
                    Err(throw(&context, refusal("a piece")))
                });
            )*
        };
    }
    refused!(i64, std::ops::Range<i64>, std::ops::RangeInclusive<i64>);
    engine.register_indexer_get(|context: NativeCallContext, _: &mut Secret, name: &str| -> Raised<Dynamic> {
        Err(throw(&context, refusal(&format!("`{name}`"))))
    });
}

/// Putting text and secrets together, which gives a secret.
fn joins(engine: &mut Engine) {
    macro_rules! with {
        ($($other:ty),*) => {
            $(
                engine.register_fn("+", |one: Secret, other: $other| Secret(format!("{}{other}", one.0)));
                engine.register_fn("+", |other: $other, one: Secret| Secret(format!("{other}{}", one.0)));
                engine.register_fn("+=", |one: &mut Secret, other: $other| one.0 += &other.to_string());
            )*
        };
    }
    with!(ImmutableString, char, i64, f64, bool);
    engine.register_fn("+", |one: Secret, other: Secret| Secret(one.0 + other.0.as_str()));
    engine.register_fn("+", |one: Secret, (): ()| one);
    engine.register_fn("+", |(): (), one: Secret| one);
    engine.register_fn("+=", |one: &mut Secret, other: Secret| one.0 += other.0.as_str());
    engine.register_fn("+=", |_: &mut Secret, (): ()| {});
    // A variable that held a text holds a secret then.
    let types = [std::any::TypeId::of::<ImmutableString>(), std::any::TypeId::of::<Secret>()];
    for name in ["+=", "append"] {
        engine.register_raw_fn(name, types, |_: NativeCallContext, args: &mut [&mut Dynamic]| -> Raised<()> {
            let words: Vec<String> = args.iter().map(|value| said(value)).collect();
            *args[0] = Dynamic::from(Secret(words.concat()));
            Ok(())
        });
    }
}

/// Comparing one tells something of it, so only whether there is one can be asked.
fn compares(engine: &mut Engine) {
    macro_rules! refused {
        ($operator:literal: $($other:ty),*) => {
            $(
                engine.register_fn($operator, |context: NativeCallContext, _: Secret, _: $other| -> Raised<bool> {
                    Err(throw(&context, refusal(concat!("`", $operator, "`"))))
                });
                engine.register_fn($operator, |context: NativeCallContext, _: $other, _: Secret| -> Raised<bool> {
                    Err(throw(&context, refusal(concat!("`", $operator, "`"))))
                });
            )*
            engine.register_fn($operator, |context: NativeCallContext, _: Secret, _: Secret| -> Raised<bool> {
                Err(throw(&context, refusal(concat!("`", $operator, "`"))))
            });
        };
    }
    refused!("==": ImmutableString, char, i64, f64, bool);
    refused!("!=": ImmutableString, char, i64, f64, bool);
    refused!("<": ImmutableString, char, i64, f64);
    refused!("<=": ImmutableString, char, i64, f64);
    refused!(">": ImmutableString, char, i64, f64);
    refused!(">=": ImmutableString, char, i64, f64);
}

/// What mk itself does with the text of a secret.
pub(super) fn functions(registry: &mut Registry) {
    let on_text: [(&'static str, OnText); 4] = [
        ("b64encode", Texts::b64encode),
        ("b64decode", Texts::b64decode),
        ("sha256", Texts::sha256),
        ("quote", Texts::quote),
    ];
    for (name, function) in on_text {
        registry.add(name, move |context: NativeCallContext, value: Dynamic| -> Raised<Dynamic> {
            let scope = scope(&context)?;
            let made = worded(name, &value).and_then(|text| function(&scope.run.control.texts, &text));
            made.map(Secret::or_text).map_err(|e| throw(&context, e))
        });
    }
    let json = move |context: NativeCallContext, value: Dynamic| -> Raised<Dynamic> {
        let scope = scope(&context)?;
        let made = to_json(&value).and_then(|value| scope.run.control.texts.to_json(&value));
        made.map(Secret::or_text).map_err(|e| throw(&context, e))
    };
    // The language has one of its own for maps, which takes no secrets.
    registry.add("to_json", move |context: NativeCallContext, map: Map| json(context, map.into()));
    registry.add("to_json", json);
    registry.add("to_yaml", move |context: NativeCallContext, value: Dynamic| -> Raised<Dynamic> {
        let scope = scope(&context)?;
        let made = to_json(&value).and_then(|value| scope.run.control.texts.to_yaml(&value));
        made.map(Secret::or_text).map_err(|e| throw(&context, e))
    });
    for with_options in [false, true] {
        let hash = move |context: NativeCallContext, value: Dynamic, options: Map| -> Raised<Dynamic> {
            let scope = scope(&context)?;
            let made = hashing(&options)
                .and_then(|hashing| scope.run.control.texts.password_hash(&worded("password_hash", &value)?, &hashing));
            made.map(Secret::or_text).map_err(|e| throw(&context, e))
        };
        match with_options {
            true => registry.add("password_hash", hash),
            false => registry.add("password_hash", move |context: NativeCallContext, value: Dynamic| {
                hash(context, value, Map::new())
            }),
        }
    }
    registry.add("htpasswd", move |context: NativeCallContext, name: &str, value: Dynamic| -> Raised<Dynamic> {
        let scope = scope(&context)?;
        let made = worded("htpasswd", &value).and_then(|text| scope.run.control.texts.htpasswd(name, &text));
        made.map(Secret::or_text).map_err(|e| throw(&context, e))
    });
    // What is said in the end may hold one.
    registry.add("fail", |context: NativeCallContext, message: Secret| -> Raised<()> {
        Err(throw(&context, Error::new(crate::error::Kind::Assertion, message.0)))
    });
    registry.add("assert", |context: NativeCallContext, holds: bool, message: Secret| -> Raised<()> {
        if holds { Ok(()) } else { Err(throw(&context, Error::new(crate::error::Kind::Assertion, message.0))) }
    });
}

fn worded(name: &str, value: &Dynamic) -> Result<String> {
    text(value).ok_or_else(|| Error::playbook(format!("{name}: {} is no text", value.type_name())))
}

fn hashing(options: &Map) -> Result<Hashing> {
    let wrong = |what: &str| Error::playbook(format!("password_hash: {what}"));
    let mut hashing = Hashing::default();
    for (name, value) in options {
        match name.as_str() {
            "scheme" => hashing.scheme = Scheme::named(&text(value).ok_or_else(|| wrong("`scheme` is a text"))?)?,
            "salt" => {
                let salt = text(value).filter(|salt| !Secrets::is_tainted(salt));
                hashing.salt =
                    Some(salt.ok_or_else(|| wrong("`salt` is a text, and no secret: it stands in the hash"))?);
            }
            "rounds" => {
                let rounds = value.as_int().ok().and_then(|rounds| u32::try_from(rounds).ok());
                hashing.rounds = Some(rounds.ok_or_else(|| wrong("`rounds` is a number"))?);
            }
            other => {
                return Err(wrong(&format!("unknown field `{other}`")).suggest(other, ["scheme", "salt", "rounds"]));
            }
        }
    }
    Ok(hashing)
}

/// The items of a list as one text, with another between each two; the place of the first that is no text otherwise.
pub(super) fn joined(list: &Array, between: &str) -> std::result::Result<Dynamic, usize> {
    let words = list.iter().enumerate().map(|(index, item)| {
        let item = item.flatten_clone();
        let data = item.is_int() || item.is_float() || item.is_bool() || item.is_char();
        text(&item).or_else(|| data.then(|| item.to_string())).ok_or(index)
    });
    words.collect::<std::result::Result<Vec<_>, _>>().map(|words| Secret::or_text(words.join(between)))
}

#[cfg(test)]
mod tests {
    use rhai::Scope;

    use super::*;
    use crate::script::engine::engine;
    use crate::script::fault::from_rhai;
    use crate::script::scope::Tag;
    use crate::script::tests::ready;

    const PASSWORD: &str = "hunter2\"hunter2";

    /// What a script gives, with the secret `s` and the text `plain` in it, and the secrets of the run.
    fn eval(script: &str) -> (Result<Dynamic>, Secrets) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("pw"), PASSWORD).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let run = ready(folder.path(), &runtime);
        let mut scope = Scope::new();
        let token = run.control.secrets.add("pw", PASSWORD).unwrap();
        scope.push("s", Secret(token)).push("plain", "Plain".to_owned());
        let result = engine(&Tag::outermost(&run))
            .eval_with_scope::<Dynamic>(&mut scope, script)
            .map_err(|e| from_rhai(&e, "p.rhai"));
        (result, run.control.secrets.clone())
    }

    /// The text of what a script gives, which must hold the secret.
    fn revealed(script: &str) -> String {
        let (result, secrets) = eval(script);
        let value = result.unwrap_or_else(|e| panic!("{script}: {e}"));
        let text = to_json(&value).unwrap();
        assert!(Secrets::taints(&text), "{script}: {text}");
        match text {
            serde_json::Value::String(text) => secrets.revealed(&text).unwrap(),
            mut other => {
                secrets.reveal(&mut other);
                other.to_string()
            }
        }
    }

    #[test]
    fn whatever_a_secret_is_put_into_is_tainted() {
        for (script, wanted) in [
            ("s", "P"),
            ("`${s}`", "P"),
            ("`a ${s} b ${plain}`", "a P b Plain"),
            ("\"a \" + s", "a P"),
            ("s + \" b\"", "P b"),
            ("s + s", "PP"),
            ("s + 'x' + 1 + true + ()", "Px1true"),
            ("1 + s", "1P"),
            ("let t = \"a\"; t += s; t", "aP"),
            ("let t = s; t += \"b\"; t += 'c'; t += s; t", "PbcP"),
            ("let t = \"a\"; t += `${s}`; t += \"b\"; t", "aPb"),
            ("let t = \"a\"; t.append(s); t", "aP"),
            ("s.to_string()", "P"),
            ("fn f(x) { `<${x}>` } f(s)", "<P>"),
            ("[plain, s].joined(\":\")", "Plain:P"),
            ("let m = #{ a: s }; m.a", "P"),
            ("let l = [1]; l += s; l[1]", "P"),
            ("if s == () { 1 } else if s != () { s } else { 2 }", "P"),
            ("b64decode(b64encode(s))", "P"),
            ("s.b64encode().b64decode()", "P"),
            ("[s].map(|x| \"<\" + x + \">\")[0]", "<P>"),
        ] {
            assert_eq!(
                revealed(script),
                wanted.replace('P', PASSWORD).replace(&format!("{PASSWORD}lain"), "Plain"),
                "{script}"
            );
        }
        assert_eq!(eval("type_of(s)").0.unwrap().into_string().unwrap(), "secret");
        assert_eq!(eval("type_of(s + \"x\")").0.unwrap().into_string().unwrap(), "secret");
        assert_eq!(eval("let t = \"x\"; t += s; type_of(t)").0.unwrap().into_string().unwrap(), "secret");
        assert_eq!(revealed("to_json(#{ a: [s, 1] })"), r#"{"a":["hunter2\"hunter2",1]}"#);
        assert_eq!(revealed("quote(`it's ${s}`)"), r#"'it'\''s hunter2"hunter2'"#);
        assert_eq!(revealed("sha256(s)"), crate::change::digest(PASSWORD.as_bytes()));
        assert!(revealed("password_hash(s)").starts_with("$6$"));
        assert!(revealed("s.password_hash(#{ scheme: \"yescrypt\" })").starts_with("$y$j9T$"));
        assert!(revealed("htpasswd(\"me\", s)").starts_with("me:$2y$10$"));
    }

    #[test]
    fn what_would_look_into_it_is_an_error_that_names_the_ways() {
        let value = [
            "S.len()",
            "S.len",
            "S.to_upper()",
            "S.split(\",\")",
            "S == \"x\"",
            "\"x\" != S",
            "S == S",
            "S < \"x\"",
            "S[0]",
            "S[0..2]",
            "S.contains(\"x\")",
            "S.sub_string(0, 2)",
            "S.starts_with(\"x\")",
            "S.index_of(\"x\")",
            "S.trim()",
            "S.chars()",
            "S.replace(\"a\", \"b\")",
            "S.is_empty()",
            "S.lines()",
            "parse_json(S)",
            "parse_int(S)",
            "\"x\" in S",
            "\"abc\".contains(S)",
            "\"a\".split(S)",
            "[S] == [\"x\"]",
            "[\"x\"].contains(S)",
            "\"x\" in [S]",
            "S.make_upper()",
            "S.bytes()",
            "S.to_blob()",
            "S - \"a\"",
            "for letter in S { print(letter); }",
            "[S, S].dedup()",
            "[S, \"x\"].sort()",
            "vars(S, 1)",
            "hosts(S)",
            "host(S)",
            "env(S, 1)",
            "file_text(S)",
            "task(S, || 1)",
            "secret(S)",
            "has_random_secret(S)",
        ];
        for script in value {
            for script in [script.replace('S', "s"), format!("let t = `a${{s}}`; {}", script.replace('S', "t"))] {
                let Err(error) = eval(&script).0.map(|value| value.to_string()) else {
                    // What cannot be kept from a text gives pieces of a token, and those go nowhere.
                    assert!(script.contains("t[0"), "{script}");
                    continue;
                };
                let hints = error.hints().join(" ");
                assert!(error.message().contains("secret") && hints.contains("b64encode"), "{script}: {error} {hints}");
                assert!(!error.to_string().contains("hunter2"), "{script}: {error}");
            }
        }
    }

    #[test]
    fn texts_without_secrets_are_what_they_were() {
        for (script, wanted) in [
            ("plain.len()", "5"),
            ("plain.to_upper()", "PLAIN"),
            ("plain == \"Plain\"", "true"),
            ("plain != \"Plain\" || plain < \"A\"", "false"),
            ("plain in [\"Plain\"]", "true"),
            ("let t = plain; t.trim(); t += \"x\"; t.make_lower(); t", "plainx"),
            ("\"a,b\".split(\",\").len()", "2"),
            ("plain == ()", "false"),
            ("1 + 2 == 3 && 2 * 3.5 > 6 && 7 % 4 == 3", "true"),
            ("plain.len + plain.index_of(\"a\")", "7"),
            ("parse_json(\"{\\\"a\\\": 1}\").a", "1"),
            ("#{ a: 1 }.to_json()", "{\"a\":1}"),
            ("b64encode(plain) + sha256(\"\").sub_string(0, 8) + quote(plain)", "UGxhaW4=e3b0c442'Plain'"),
            ("const C = \"x y\"; `${C.split(\" \")[1]}${C.len}`", "y3"),
        ] {
            assert_eq!(eval(script).0.unwrap_or_else(|e| panic!("{script}: {e}")).to_string(), wanted, "{script}");
        }
    }

    #[test]
    fn a_salt_that_is_given_is_the_one_of_the_hash() {
        let hash = revealed("password_hash(s, #{ salt: sha256(\"web-1\").sub_string(0, 16), rounds: 1000 })");
        assert!(hash.starts_with(&format!("$6$rounds=1000${}$", &crate::change::digest(b"web-1")[..16])), "{hash}");
        for (script, wanted) in [
            ("password_hash(s, #{ schema: \"x\" })", "unknown field `schema`"),
            ("password_hash(s, #{ scheme: \"md5\" })", "no scheme `md5`"),
            ("password_hash(s, #{ salt: s })", "it stands in the hash"),
            ("password_hash(5)", "is no text"),
            ("b64decode(s)", "this is no base64"),
        ] {
            let error = eval(script).0.map(|value| value.to_string()).unwrap_err();
            assert!(error.message().contains(wanted), "{script}: {error}");
        }
    }
}
