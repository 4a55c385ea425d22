//! Templates that a script names: their syntax, and the names they use.

use std::collections::BTreeMap;
use std::rc::Rc;

use rhai::Expr;

use super::Surroundings;
use super::findings::Findings;
use crate::control::{Found, Templates};
use crate::error::{Error, Place, nearest};
use crate::script::fault::shown;
use crate::script::syntax::literal;

/// The names that a template uses and does not define, each with the place where it does so first.
struct Used(Vec<(String, Place)>);

/// The templates that were read.
pub(super) struct Read {
    reader: Templates,
    /// What each uses, by its own name; `None` for one that cannot be read.
    used: BTreeMap<String, Option<Rc<Used>>>,
}

impl Read {
    /// None yet.
    pub(super) fn new() -> Self {
        Self { reader: Templates::new(), used: BTreeMap::new() }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.used.len()
    }

    /// A template, rendered with `vars`.
    pub(super) fn look(&mut self, findings: &mut Findings, found: &Found, vars: Option<&Expr>, around: &Surroundings) {
        let Some(used) = self.used(findings, found, around) else { return };
        let given: Option<Vec<&str>> = match vars {
            None => Some(Vec::new()),
            Some(vars) => literal::fields(vars).map(|fields| fields.iter().map(|(key, _)| key.name.as_str()).collect()),
        };
        let Some(given) = given else { return };
        for (name, place) in &used.0 {
            if name == "host" || given.contains(&name.as_str()) {
                continue;
            }
            let near = nearest(name, given.iter().copied());
            let missing = match &around.inventory {
                Some(inventory) => {
                    !inventory.vars_of_all().contains_key(name)
                        && !inventory.hosts().iter().any(|host| host.var(name).is_some())
                }
                // Any name can be a host's variable; one that is nearly given is more likely a slip.
                None => near.is_some(),
            };
            if missing {
                let error = Error::playbook(format!("`{name}` is not defined"));
                let error = match near {
                    Some(near) => error.hint(format!("did you mean `{near}`?")),
                    None => error.hint("neither `vars` nor a host's variables define it"),
                };
                findings.absent(error, place.clone());
            }
        }
    }

    fn used(&mut self, findings: &mut Findings, found: &Found, around: &Surroundings) -> Option<Rc<Used>> {
        let name = found.name();
        if let Some(known) = self.used.get(&name) {
            return known.clone();
        }
        let file = shown(&name);
        let read = around.sources.code(found).and_then(|text| {
            let names = self.reader.names(&file, &text)?;
            for (at, name) in self.reader.unknown(&text) {
                let error = Error::playbook(format!("templates have no filter or test `{name}`"));
                let error = error
                    .hint("those of Jinja are there, and `b64encode`, `password_hash`, `to_json`, `to_yaml`, `quote`");
                findings.report(error, Place::after(&file, &text[..at]).spanning(name.chars().count()));
            }
            let needed = names.into_iter().filter(|name| !optional(&text, name));
            Ok(Rc::new(Used(needed.map(|name| (name.clone(), first(&file, &text, &name))).collect())))
        });
        let used = findings.kept(read.map_err(|e| e.at(Place::new(file.clone(), 0, 0))));
        self.used.insert(name, used.clone());
        used
    }
}

/// Whether a template asks if a name is there, or has something in its place.
fn optional(text: &str, name: &str) -> bool {
    uses(text, name).any(|(_, after)| {
        let after = after.trim_start();
        after.starts_with("is defined")
            || after.starts_with("is undefined")
            || after.starts_with("is not defined")
            || after.strip_prefix('|').is_some_and(|filter| filter.trim_start().starts_with("default"))
    })
}

/// Where a template uses a name first.
fn first(file: &str, text: &str, name: &str) -> Place {
    let Some((at, _)) = uses(text, name).next() else { return Place::new(file, 0, 0) };
    Place::after(file, &text[..at]).spanning(name.chars().count())
}

/// The uses of a name between the braces of a template: where each begins, and the text behind it.
fn uses<'a>(text: &'a str, name: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(name).filter_map(move |(at, found)| {
        let (before, after) = (&text[..at], &text[at + found.len()..]);
        let whole = !before.ends_with(part) && !before.ends_with('.') && !after.starts_with(part);
        let open = before.rfind("{{").max(before.rfind("{%"));
        let closed = before.rfind("}}").max(before.rfind("%}"));
        let inside = open.is_some_and(|open| closed.is_none_or(|closed| closed < open));
        let quotes = open.map_or(0, |open| before[open..].matches(['"', '\'']).count());
        (whole && inside && quotes % 2 == 0).then_some((at, after))
    })
}
