//! Secrets in templates: values of their own, that can be written and handed to the filters that know what to do with
//! them. Whatever else looks into one is found out.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use minijinja::value::{Enumerator, Object, ObjectRepr, Rest, Value as Jinja, ValueKind};
use minijinja::{Environment, Error as Fault, ErrorKind, State, escape_formatter, filters, tests};
use serde_json::{Map, Value};

use crate::control::password::Scheme;
use crate::control::texts::{Hashing, Texts};
use crate::error::{Error, Place, Result};
use crate::secret::token::NOT_HERE;
use crate::secret::{REMEDY, Secrets};

/// A function on texts.
type OnText = fn(&Texts, &str) -> Result<String>;

type Filtered = std::result::Result<Jinja, Fault>;

/// A text with secrets in it. Only [`text`] and what writes a value look at it; the renderer's own ways to do so are
/// noted.
struct Tainted {
    text: String,
    touched: Arc<AtomicBool>,
}

impl Tainted {
    fn touch(&self) {
        self.touched.store(true, Ordering::Relaxed);
    }
}

impl fmt::Debug for Tainted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.touch();
        write!(f, "{NOT_HERE}")
    }
}

impl Object for Tainted {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        self.touch();
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, _: &Jinja) -> Option<Jinja> {
        self.touch();
        None
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        self.touch();
        Enumerator::NonEnumerable
    }

    /// Whether there is one may be asked.
    fn is_true(self: &Arc<Self>) -> bool {
        true
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// The names of one rendering.
pub(super) struct Names {
    touched: Arc<AtomicBool>,
    /// Where the secrets are among them, as a template names it.
    paths: Vec<String>,
}

impl Names {
    pub(super) fn of(names: &Map<String, Value>) -> Self {
        let mut paths = Vec::new();
        names.iter().for_each(|(name, value)| find(name, value, &mut paths));
        Self { touched: Arc::default(), paths }
    }

    /// The names as the renderer takes them.
    pub(super) fn context(&self, names: &Map<String, Value>) -> Jinja {
        Jinja::from_pairs(names.iter().map(|(name, value)| (name.clone(), self.value(value))))
    }

    fn value(&self, value: &Value) -> Jinja {
        match value {
            value if !Secrets::taints(value) => Jinja::from(minijinja::value::Serde(value)),
            Value::String(text) => self.tainted(text),
            Value::Array(items) => Jinja::from(items.iter().map(|item| self.value(item)).collect::<Vec<_>>()),
            Value::Object(fields) => {
                Jinja::from_pairs(fields.iter().map(|(name, field)| (name.clone(), self.value(field))))
            }
            value => Jinja::from(minijinja::value::Serde(value)),
        }
    }

    fn tainted(&self, text: &str) -> Jinja {
        Jinja::from_object(Tainted { text: text.to_owned(), touched: Arc::clone(&self.touched) })
    }

    /// Refuses what compares a secret with something before it: of that, the renderer tells the secret nothing. Found by
    /// its name, by one that a template gave it, and by that of a field which holds one somewhere.
    pub(super) fn are_not_compared(&self, file: &str, text: &str) -> Result {
        let plain = |name: &str| name.replace('.', r"\.").replace('[', r"\[").replace(']', r"\]");
        let paths: Vec<String> = self.paths.iter().map(|path| plain(path)).collect();
        let mut names = paths.clone();
        for path in &paths {
            let given = regex_lite::Regex::new(&format!(r"\bset\s+(\w+)\s*=\s*{path}\s*-?%\}}"));
            names.extend(given.iter().flat_map(|given| given.captures_iter(text)).map(|found| found[1].to_owned()));
        }
        let fields = self.paths.iter().filter_map(|path| path.rsplit_once('.'));
        let fields = fields.map(|(_, field)| format!(r"\w[\w.\[\]]*\.{}", plain(field)));
        // A field of that name may be a list elsewhere, which is gone through.
        let fields = fields.map(|field| (r"==|!=|<=|>=|[^%-]<|>", field));
        for (operators, name) in names.into_iter().map(|name| (r"==|!=|<=|>=|[^%-]<|>|\bin", name)).chain(fields) {
            let Ok(compares) = regex_lite::Regex::new(&format!(r"({operators})[\s(]*{name}\b")) else { continue };
            let inside = |at: usize| text[..at].rfind(['{', '}']).is_some_and(|brace| text[brace..].starts_with('{'));
            if let Some(found) = compares.find_iter(text).find(|found| inside(found.start())) {
                return Err(refusal("a secret cannot be compared").at(Place::after(file, &text[..found.start()])));
            }
        }
        Ok(())
    }

    /// Refuses what looked into a secret in a way that gives something else than its text.
    pub(super) fn are_untouched(&self, file: &str) -> Result {
        match self.touched.load(Ordering::Relaxed) {
            true => {
                Err(refusal("the template looks into a secret: it compares it, joins it with `~` or asks what it is")
                    .at(Place::new(file, 0, 0)))
            }
            false => Ok(()),
        }
    }
}

fn find(path: &str, value: &Value, paths: &mut Vec<String>) {
    match value {
        Value::String(text) if Secrets::is_tainted(text) => paths.push(path.to_owned()),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, item)| find(&format!("{path}[{at}]"), item, paths));
        }
        Value::Object(fields) => fields.iter().for_each(|(name, field)| find(&format!("{path}.{name}"), field, paths)),
        _ => {}
    }
}

fn refusal(message: &str) -> Error {
    Error::playbook(message).hint(REMEDY)
}

fn raised(error: Error) -> Fault {
    Fault::new(ErrorKind::InvalidOperation, error.message().to_owned()).with_source(error)
}

/// The text of a value that holds secrets itself; not what it holds of other values.
fn tainted(value: &Jinja) -> Option<String> {
    match value.downcast_object_ref::<Tainted>() {
        Some(secret) => Some(secret.text.clone()),
        None => value.as_str().filter(|text| Secrets::is_tainted(text)).map(str::to_owned),
    }
}

/// The text of a value, as the functions on texts take it.
fn text(value: &Jinja) -> std::result::Result<String, Fault> {
    match tainted(value) {
        Some(text) => Ok(text),
        None if value.is_undefined() => Err(Fault::from(ErrorKind::UndefinedError)),
        None => Ok(value.to_string()),
    }
}

/// A value as data, its secrets as tokens.
fn data(value: &Jinja) -> std::result::Result<Value, Fault> {
    if let Some(text) = tainted(value) {
        return Ok(Value::from(text));
    }
    match value.kind() {
        ValueKind::Seq | ValueKind::Iterable => value.try_iter()?.map(|item| data(&item)).collect(),
        ValueKind::Map => {
            let field = |key: Jinja| Ok((key.to_string(), data(&value.get_item(&key)?)?));
            value.try_iter()?.map(field).collect::<std::result::Result<Map<_, _>, Fault>>().map(Value::Object)
        }
        _ => serde_json::to_value(value)
            .map_err(|e| Fault::new(ErrorKind::BadSerialization, "a value that is no data").with_source(e)),
    }
}

/// What a function on texts gave, as a value of the same rendering as the one that it was made of.
fn given(made: Result<String>, of: &Jinja) -> Filtered {
    let made = made.map_err(raised)?;
    let secret = of.downcast_object_ref::<Tainted>().filter(|_| Secrets::is_tainted(&made));
    Ok(match secret {
        Some(secret) => Jinja::from_object(Tainted { text: made, touched: Arc::clone(&secret.touched) }),
        None => Jinja::from(made),
    })
}

/// Adds the filters that know secrets, and keeps the others from them.
pub(super) fn prepare(environment: &mut Environment<'static>, texts: &Texts) {
    environment.set_formatter(|out, state, value| match value.downcast_object_ref::<Tainted>() {
        Some(secret) => out.write_str(&secret.text).map_err(Fault::from),
        None => escape_formatter(out, state, value),
    });
    environment.set_unknown_method_callback(|state, value, method, args| {
        refuse(&format!("`{method}`"), [value].into_iter().chain(args))?;
        minijinja_contrib::pycompat::unknown_method_callback(state, value, method, args)
    });
    others(environment);
    comparing(environment);
    let own: [(&'static str, OnText); 5] = [
        ("b64encode", Texts::b64encode),
        ("b64decode", Texts::b64decode),
        ("sha256", Texts::sha256),
        ("quote", Texts::quote),
        ("trim", Texts::trim),
    ];
    for (name, function) in own {
        let texts = texts.clone();
        environment.add_filter(name, move |value: Jinja| given(function(&texts, &text(&value)?), &value));
    }
    let own = texts.clone();
    environment.add_filter("indent", move |state: &mut State, value: Jinja, width: usize, more: Rest<Jinja>| {
        match tainted(&value) {
            Some(text) if more.is_empty() => given(own.indent(&text, width), &value),
            _ => {
                refuse("`indent` with more than a width", [&value])?;
                let all: Vec<Jinja> = [value, Jinja::from(width)].into_iter().chain(more.iter().cloned()).collect();
                Jinja::from_function(filters::indent).call(state, &all)
            }
        }
    });
    let own = texts.clone();
    environment.add_filter("password_hash", move |value: Jinja, scheme: Option<String>, salt: Option<String>| {
        let scheme = scheme.map_or_else(|| Ok(Scheme::default()), |name| Scheme::named(&name)).map_err(raised)?;
        let hashing = Hashing { scheme, salt, rounds: None };
        given(own.password_hash(&text(&value)?, &hashing), &value)
    });
    let own = texts.clone();
    environment
        .add_filter("htpasswd", move |value: Jinja, name: String| given(own.htpasswd(&name, &text(&value)?), &value));
    for name in ["to_json", "tojson"] {
        let own = texts.clone();
        environment.add_filter(name, move |value: Jinja| given(own.to_json(&data(&value)?), &value));
    }
    let own = texts.clone();
    environment.add_filter("to_yaml", move |value: Jinja| given(own.to_yaml(&data(&value)?), &value));
    environment.add_filter("join", |list: Jinja, between: Option<String>| -> Filtered {
        let between = between.unwrap_or_default();
        refuse("the filter `join`", [&list])?;
        let letters = |text: &str| text.chars().map(Jinja::from).collect();
        let items: Vec<Jinja> =
            list.as_str().map_or_else(|| Ok(list.try_iter()?.collect()), |text| Ok::<_, Fault>(letters(text)))?;
        let words: std::result::Result<Vec<String>, Fault> = items.iter().map(text).collect();
        let secret = items.iter().find(|item| item.downcast_object_ref::<Tainted>().is_some());
        given(Ok(words?.join(&between)), secret.unwrap_or(&list))
    });
    environment.add_filter("string", |value: Jinja| -> Filtered {
        Ok(if tainted(&value).is_some() { value } else { Jinja::from(value.to_string()) })
    });
}

/// The renderer's own filters that look into what they are given.
fn others(environment: &mut Environment<'static>) {
    macro_rules! guarded {
        ($($name:literal => $filter:path),* $(,)?) => {
            $({
                let inner = Jinja::from_function($filter);
                environment.add_filter($name, move |state: &mut State, args: Rest<Jinja>| {
                    refuse(concat!("the filter `", $name, "`"), args.iter())?;
                    inner.call(state, &args)
                });
            })*
        };
    }
    guarded!(
        "escape" => filters::escape, "e" => filters::escape, "lower" => filters::lower, "upper" => filters::upper,
        "title" => filters::title, "capitalize" => filters::capitalize, "replace" => filters::replace,
        "length" => filters::length, "count" => filters::length, "reverse" => filters::reverse,
        "split" => filters::split, "lines" => filters::lines, "round" => filters::round, "abs" => filters::abs,
        "int" => filters::int, "float" => filters::float, "first" => filters::first, "last" => filters::last,
        "min" => filters::min, "max" => filters::max, "sort" => filters::sort, "list" => filters::list,
        "bool" => filters::bool, "batch" => filters::batch, "slice" => filters::slice, "sum" => filters::sum,
        "unique" => filters::unique, "pprint" => filters::pprint, "format" => filters::format,
    );
}

/// One of the renderer's tests of two values.
type Comparison = fn(&Jinja, &Jinja) -> bool;

/// The renderer's own tests that compare.
fn comparing(environment: &mut Environment<'static>) {
    let all: [(&[&'static str], Comparison); 6] = [
        (&["eq", "equalto", "=="], tests::is_eq),
        (&["ne", "!="], tests::is_ne),
        (&["lt", "lessthan", "<"], tests::is_lt),
        (&["le", "<="], tests::is_le),
        (&["gt", "greaterthan", ">"], tests::is_gt),
        (&["ge", ">="], tests::is_ge),
    ];
    for (names, inner) in all {
        for name in names {
            environment.add_test(*name, move |one: Jinja, other: Jinja| {
                refuse(&format!("the test `{name}`"), [&one, &other]).map(|()| inner(&one, &other))
            });
        }
    }
    environment.add_test("in", |state: &State, one: Jinja, other: Jinja| {
        refuse("the test `in`", [&one, &other]).and_then(|()| tests::is_in(state, &one, &other))
    });
}

/// Refuses to look into secrets.
fn refuse<'a>(what: &str, values: impl IntoIterator<Item = &'a Jinja>) -> std::result::Result<(), Fault> {
    match values.into_iter().any(|value| tainted(value).is_some()) {
        true => Err(raised(refusal(&format!("{what} does nothing with a secret")))),
        false => Ok(()),
    }
}
