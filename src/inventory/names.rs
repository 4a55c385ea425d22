//! What hosts and groups may be called, and the expansion of ranges in their names.

use crate::error::{Error, Result};

use super::model::{ALL, UNGROUPED};
use super::range::{Expanded, MOST_HOSTS, Ranged};
use super::yaml::Text;

/// The longest name: what one file name can hold, with room for an ending.
const LONGEST: usize = 240;

/// Refuses a name that a pattern, a file name or a terminal could take for something else.
pub(super) fn check(name: &str, what: &str, text: &Text) -> Result {
    if [ALL, UNGROUPED].contains(&name) {
        let fault = text.at.fault(format!("`{name}` is reserved: mk itself makes that group"));
        return Err(match (name, what) {
            (ALL, "group") => fault.hint("variables for every host go under the top-level `vars`"),
            _ => fault,
        });
    }
    let good = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || !name.chars().all(good) || name.starts_with(['-', '.']) {
        return Err(text
            .at
            .fault(format!("`{name}` cannot be the name of a {what}"))
            .hint("names are letters, digits, `-`, `_` and `.`, and begin with a letter, a digit or `_`"));
    }
    if name.len() > LONGEST {
        return Err(text.at.fault(format!("the name of a {what} is longer than {LONGEST} bytes")));
    }
    Ok(())
}

/// Every host that `text` names, of which at most `room` may be added.
pub(super) fn expand(text: &Text, room: usize) -> Result<Vec<Expanded>> {
    let ranged = Ranged::read(&text.text).map_err(|message| text.at.fault(message))?;
    if ranged.count() > room {
        return Err(text.at.fault(format!("with `{}` there are more than {MOST_HOSTS} hosts", text.text)));
    }
    let all = ranged.expand();
    all.iter().try_for_each(|one| check(&one.name, "host", text))?;
    Ok(all)
}

/// The fault with a hint at the candidate that `name` was probably meant to be.
pub(super) fn suggest<'a>(fault: Error, name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Error {
    // In one order, whatever they were kept in: of two as near the same one must be named every time.
    let mut candidates: Vec<&str> = candidates.into_iter().collect();
    candidates.sort_unstable();
    fault.suggest(name, candidates)
}
