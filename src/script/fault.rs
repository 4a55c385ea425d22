//! Faults between the language and the rest of mk: none loses its place or its parts on the way.

use rhai::{Dynamic, EvalAltResult, NativeCallContext, ParseErrorType, Position};

use super::suggestions::place_of_name;
use super::syntax::is_closure;
use crate::error::{Detail, Error, Frame, Kind, Place, nearest};

/// Raises a fault where a native function was called.
pub(super) fn throw(context: &NativeCallContext, error: Error) -> Box<EvalAltResult> {
    let position = context.call_position();
    let error = error.raised_at_depth(context.call_level());
    let at = if error.place().is_some() { Place::default() } else { place_of_name(context.call_source(), position) };
    raise(error.at(at), position)
}

/// A fault as the language's own. A script can catch it, unless it ends the run of the script itself.
pub(super) fn raise(error: Error, position: Position) -> Box<EvalAltResult> {
    let payload = Dynamic::from(error.clone());
    match error.kind() {
        Kind::Unknown | Kind::Interrupted => EvalAltResult::ErrorTerminated(payload, position).into(),
        _ => EvalAltResult::ErrorRuntime(payload, position).into(),
    }
}

/// The place of a call.
pub(super) fn place(source: Option<&str>, position: Position) -> Place {
    Place::new(shown(source.unwrap_or_default()), position.line().unwrap_or(0), position.position().unwrap_or(0))
}

/// A source's name as a user would type it: relative to the current folder where that is shorter.
pub(super) fn shown(source: &str) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    std::path::Path::new(source)
        .strip_prefix(&here)
        .map_or_else(|_| source.to_owned(), |path| path.display().to_string())
}

/// What the language raised, as one of our faults. `root` is the source of the script that was started.
pub(crate) fn from_rhai(error: &EvalAltResult, root: &str) -> Error {
    let mut frames = Vec::new();
    let (leaf, source) = descend(error, root, &mut frames);
    let position = leaf.position();
    let error = match leaf {
        EvalAltResult::ErrorRuntime(payload, _) | EvalAltResult::ErrorTerminated(payload, _) => thrown(payload),
        EvalAltResult::ErrorParsing(what, _) => parsing(what),
        EvalAltResult::ErrorFunctionNotFound(signature, _) => not_found(signature),
        EvalAltResult::ErrorVariableNotFound(name, _) => Error::playbook(format!("there is no variable `{name}`")),
        EvalAltResult::ErrorPropertyNotFound(name, _) => {
            Error::playbook(format!("there is no property `{name}`")).detailed(Detail::NoProperty(name.clone()))
        }
        EvalAltResult::ErrorModuleNotFound(name, _) => Error::playbook(format!("there is no module `{name}`")),
        EvalAltResult::ErrorDataRace(name, _) => {
            Error::playbook(format!("`{name}` is used by several hosts at the same time"))
                .hint("give each host its own copy, or return the value from the closure")
        }
        EvalAltResult::ErrorStackOverflow(_) => Error::playbook("functions call each other too deeply"),
        other => Error::playbook(words(other)),
    };
    frames.retain(|frame| frame.function.as_deref() != Some(""));
    let error = if error.frames().is_empty() { error.called_from(frames) } else { error };
    if position.is_none() || error.place().is_some() { error } else { error.at(place_of_name(Some(source), position)) }
}

/// The language's own words for a fault, without the place, which is shown in another way.
fn words(error: &EvalAltResult) -> String {
    let text = error.to_string();
    lower(text.rsplit_once(" (line ").map_or(text.as_str(), |(text, _)| text))
}

/// Down to what went wrong first, noting the calls on the way, innermost first.
fn descend<'a>(error: &'a EvalAltResult, source: &'a str, frames: &mut Vec<Frame>) -> (&'a EvalAltResult, &'a str) {
    match error {
        EvalAltResult::ErrorInFunctionCall(name, callee, inner, position) => {
            let inner_source = if callee.is_empty() { source } else { callee.as_str() };
            let leaf = descend(inner, inner_source, frames);
            if !position.is_none() {
                let function = Some(if is_closure(name) { "closure".to_owned() } else { name.clone() });
                frames.push(Frame { function, place: place(Some(source), *position) });
            }
            leaf
        }
        EvalAltResult::ErrorInModule(module, inner, _) => {
            let inner_source = if module.is_empty() { source } else { module.as_str() };
            descend(inner, inner_source, frames)
        }
        leaf => (leaf, source),
    }
}

fn thrown(payload: &Dynamic) -> Error {
    if let Some(error) = payload.read_lock::<Error>() {
        return error.clone();
    }
    if payload.is_map() {
        // A fault of the language that a script caught and threw again.
        let fields = payload.clone().cast::<rhai::Map>();
        if let Some(message) = fields.get("message") {
            return Error::new(Kind::Assertion, message.to_string());
        }
    }
    Error::new(Kind::Assertion, super::secret::said(payload))
}

fn parsing(what: &ParseErrorType) -> Error {
    match what {
        ParseErrorType::VariableUndefined(name) => Error::playbook(format!("there is no variable `{name}`")),
        ParseErrorType::ModuleUndefined(name) => Error::playbook(format!("there is no module `{name}`"))
            .hint(format!("import it first: `import \"{name}\" as {name};`")),
        ParseErrorType::Reserved(word) => Error::playbook(format!("`{word}` is a reserved word")),
        other => Error::playbook(lower(&other.to_string())),
    }
}

/// Whether a call that there is not was to take a secret.
fn is_of_a_secret(signature: &str) -> bool {
    let types = signature.split_once('(').map_or("", |(_, types)| types.trim_end_matches(')'));
    types.split([',', '&', ' ']).any(|one| one == "secret")
}

fn not_found(signature: &str) -> Error {
    let name = signature.split([' ', '(']).next().unwrap_or(signature);
    let base = name.rsplit("::").next().unwrap_or(name);
    if is_of_a_secret(signature) {
        return super::secret::refusal(&format!("`{}`", base.trim_start_matches("get$")));
    }
    if super::functions::names().any(|known| known == base) {
        let error = Error::playbook(format!("`{name}` does not take these: `{signature}`"));
        let types = signature.split_once('(').map_or("", |(_, types)| types.trim_end_matches(')'));
        let error = super::habits::call(error, base, &types.split(", ").collect::<Vec<_>>());
        let documented = super::functions::function_named(base).is_some() || crate::ops::find(base).is_ok();
        return if documented { error.hint(format!("`mk doc {base}` tells what it takes")) } else { error };
    }
    let error = Error::playbook(format!("there is no function `{name}`"));
    match nearest(base, super::functions::names()) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error,
    }
}

/// The language begins its messages with a capital; ours are fragments.
fn lower(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|c| c.to_lowercase().to_string()).unwrap_or_default();
    first + letters.as_str()
}

/// One of our faults inside of what the language raised, if there is one.
pub(super) struct Payload(pub(super) Option<Error>);

/// Looks for our fault in what the language raised.
pub(super) fn payload(error: &EvalAltResult) -> Payload {
    let mut frames = Vec::new();
    let (leaf, _) = descend(error, "", &mut frames);
    Payload(match leaf {
        EvalAltResult::ErrorRuntime(value, _) | EvalAltResult::ErrorTerminated(value, _) => {
            value.read_lock::<Error>().map(|error| error.clone())
        }
        _ => None,
    })
}

/// Lets scripts look into a fault they caught.
pub(super) fn register(engine: &mut rhai::Engine) {
    engine.register_type_with_name::<Error>("Error");
    engine.register_get("kind", |error: &mut Error| error.kind().name().to_owned());
    engine.register_get("message", |error: &mut Error| error.to_string());
    engine.register_get("host", |error: &mut Error| error.host().map_or(Dynamic::UNIT, |text| text.to_owned().into()));
    engine.register_get("step", |error: &mut Error| {
        error.step_name().map_or(Dynamic::UNIT, |text| text.to_owned().into())
    });
    engine.register_get("line", |error: &mut Error| {
        error.place().map_or(0, |place| i64::try_from(place.line).unwrap_or(0))
    });
}
