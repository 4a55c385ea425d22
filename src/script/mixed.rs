//! Text is text: what compares or adds up values of kinds that have nothing in common is an error with both shown.
//!
//! The language answers false where a text is compared with a number, and writes the number behind the text where both
//! are added: `r.stdout < 1000` is false whatever a command printed.

use std::any::TypeId;

use rhai::{Array, Dynamic, Engine, EvalAltResult, ImmutableString, Map, NativeCallContext};

use super::fault::throw;
use super::secret::refusal;
use super::shown::quoted;
use crate::error::Error;
use crate::secret::Secrets;

type Raised<T> = std::result::Result<T, Box<EvalAltResult>>;

/// The longest piece of a value that a message shows, in letters.
const LONGEST: usize = 60;

pub(super) fn register(engine: &mut Engine) {
    let texts = [TypeId::of::<ImmutableString>(), TypeId::of::<char>()];
    let numbers = [TypeId::of::<i64>(), TypeId::of::<f64>()];
    let others =
        [TypeId::of::<bool>(), TypeId::of::<()>(), TypeId::of::<Array>(), TypeId::of::<Map>()].map(|one| vec![one]);
    let kinds: Vec<Vec<TypeId>> = [texts.to_vec(), numbers.to_vec()].into_iter().chain(others).collect();
    for (first, second) in mixed(&kinds[..2]) {
        for operator in ["==", "!="] {
            refuse(engine, operator, [first, second], compared);
        }
        for operator in ["+", "+="] {
            refuse(engine, operator, [first, second], added);
        }
    }
    for (first, second) in mixed(&kinds) {
        for operator in ["<", "<=", ">", ">="] {
            refuse(engine, operator, [first, second], compared);
        }
    }
}

/// Every pair of types of which each is of another kind.
fn mixed(kinds: &[Vec<TypeId>]) -> Vec<(TypeId, TypeId)> {
    let of_two = |(index, kind): (usize, &Vec<TypeId>)| {
        let others = kinds.iter().enumerate().filter(move |(other, _)| *other != index);
        let others: Vec<TypeId> = others.flat_map(|(_, kind)| kind.clone()).collect();
        kind.iter().flat_map(|first| others.iter().map(|second| (*first, *second))).collect::<Vec<_>>()
    };
    kinds.iter().enumerate().flat_map(of_two).collect()
}

fn refuse(engine: &mut Engine, operator: &'static str, types: [TypeId; 2], why: fn(&str, &Dynamic, &Dynamic) -> Error) {
    let wrong = move |context: NativeCallContext, args: &mut [&mut Dynamic]| -> Raised<Dynamic> {
        let tainted =
            |value: &Dynamic| value.read_lock::<ImmutableString>().is_some_and(|text| Secrets::is_tainted(&text));
        if args.iter().any(|value| tainted(value)) {
            return Err(throw(&context, refusal(&format!("`{operator}`"))));
        }
        Err(throw(&context, why(operator, args[0], args[1])))
    };
    engine.register_raw_fn(operator, types, wrong);
}

fn compared(operator: &str, one: &Dynamic, other: &Dynamic) -> Error {
    let error = Error::playbook(format!(
        "{} and {} cannot be compared: `{} {operator} {}`",
        what(one),
        what(other),
        short(one),
        short(other)
    ));
    let kinds = [one, other].map(|value| (is_text(value), is_number(value)));
    if kinds == [(true, false), (false, true)] || kinds == [(false, true), (true, false)] {
        return error.hint("`parse_int(text)` makes a number of a text, and `number.to_string()` a text of a number");
    }
    error
}

fn added(operator: &str, one: &Dynamic, other: &Dynamic) -> Error {
    let (first, second) = (short(one), short(other));
    let error =
        Error::playbook(format!("{} and {} cannot be added: `{first} {operator} {second}`", what(one), what(other)));
    error.hint("for a text, write `${…}` in backticks, or `number.to_string()`; for a number, `parse_int(text)`")
}

fn is_text(value: &Dynamic) -> bool {
    value.is_string() || value.is_char()
}

fn is_number(value: &Dynamic) -> bool {
    value.is_int() || value.is_float()
}

fn what(value: &Dynamic) -> &'static str {
    match value {
        value if is_text(value) => "a text",
        value if is_number(value) => "a number",
        value if value.is_bool() => "a truth value",
        value if value.is_unit() => "nothing",
        value if value.is_array() => "a list",
        _ => "a map",
    }
}

fn short(value: &Dynamic) -> String {
    let text = quoted(value);
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use rhai::Scope;

    use crate::script::engine::engine;
    use crate::script::fault::from_rhai;
    use crate::script::scope::Tag;
    use crate::script::tests::ready;

    fn eval(script: &str) -> Result<String, String> {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let run = ready(folder.path(), &runtime);
        let result = engine(&Tag::outermost(&run)).eval_with_scope::<rhai::Dynamic>(&mut Scope::new(), script);
        result.map(|value| value.to_string()).map_err(|e| from_rhai(&e, "p.rhai").message().to_owned())
    }

    #[test]
    fn a_text_and_a_number_are_neither_compared_nor_added() {
        for (script, wanted) in [
            ("\"900\" < 1000", "a text and a number cannot be compared: `\"900\" < 1000`"),
            ("1000 >= \"900\"", "a number and a text cannot be compared: `1000 >= \"900\"`"),
            ("\"1\" == 1", "a text and a number cannot be compared: `\"1\" == 1`"),
            ("2.5 != \"2.5\"", "a number and a text cannot be compared: `2.5 != \"2.5\"`"),
            ("'1' == 1", "a text and a number cannot be compared: `'1' == 1`"),
            ("let m = #{ n: \"5\" }; m.n > 3", "a text and a number cannot be compared: `\"5\" > 3`"),
            ("let x; x < 3", "nothing and a number cannot be compared: `() < 3`"),
            ("[1] < 2", "a list and a number cannot be compared: `[1] < 2`"),
            ("true < \"x\"", "a truth value and a text cannot be compared: `true < \"x\"`"),
            ("\"12\" + 1", "a text and a number cannot be added: `\"12\" + 1`"),
            ("1 + \"12\"", "a number and a text cannot be added: `1 + \"12\"`"),
            ("let t = \"a\"; t += 1.5; t", "a text and a number cannot be added: `\"a\" += 1.5`"),
            ("let n = 1; n += \"a\"; n", "a number and a text cannot be added: `1 += \"a\"`"),
            ("[80, 443].contains(\"80\")", "a number and a text cannot be compared: `80 == \"80\"`"),
        ] {
            assert_eq!(eval(script), Err(wanted.to_owned()), "{script}");
        }
        let long = eval(&format!("\"{}\" < 1", "x".repeat(500))).unwrap_err();
        assert!(long.len() < 200 && long.contains("xxx… < 1`"), "{long}");
    }

    #[test]
    fn what_says_that_it_makes_a_text_or_a_number_is_as_it_was() {
        for (script, wanted) in [
            ("parse_int(\"900\") < 1000", "true"),
            ("`${12}${1.5}`", "121.5"),
            ("\"12\" + 1.to_string()", "121"),
            ("\"a\" + 'b' + true + ()", "abtrue"),
            ("1 < 2.5 && 2.0 == 2", "true"),
            ("\"a\" < \"b\" && 'a' == \"a\"", "true"),
            ("() == 1 || \"\" == () || [1] == () || #{} == 1", "false"),
            ("let l = []; l += 1; l += \"a\"; l.len", "2"),
            ("switch \"1\" { 1 => \"number\", _ => \"other\" }", "other"),
        ] {
            assert_eq!(eval(script), Ok(wanted.to_owned()), "{script}");
        }
    }
}
