//! Patterns: which hosts are meant by `workers:!worker-3`, `web-*`, `worker-[1..3]` or `controllers[0]`.

use crate::error::{Error, Result};

use super::model::{ALL, Group, Host, Inventory, UNGROUPED};
use super::names;
use super::range::Ranged;

/// A pattern taken apart: unions first, then what all hosts must be in, then what none may be in.
#[derive(Debug, Default, PartialEq, Eq)]
struct Pattern<'a> {
    any: Vec<&'a str>,
    all: Vec<&'a str>,
    none: Vec<&'a str>,
}

impl<'a> Pattern<'a> {
    fn read(text: &'a str) -> Result<Self> {
        let mut pattern = Self::default();
        let mut rest = Some(text);
        while let Some(remaining) = rest {
            let (element, after) = split(remaining);
            rest = after;
            let element = element.trim();
            let (list, name) = match (element.strip_prefix('&'), element.strip_prefix('!')) {
                (Some(name), _) => (&mut pattern.all, name),
                (_, Some(name)) => (&mut pattern.none, name),
                _ => (&mut pattern.any, element),
            };
            let name = name.trim();
            if name.is_empty() {
                return Err(Error::inventory(if text.trim().is_empty() {
                    "the pattern is empty".to_owned()
                } else {
                    format!("the pattern `{text}` has an empty element")
                })
                .hint(format!("`{ALL}` means every host")));
            }
            list.push(name);
        }
        // As in Ansible: `!db` alone is every host but those.
        if pattern.any.is_empty() {
            pattern.any.push(ALL);
        }
        Ok(pattern)
    }
}

/// The first element, and what follows the separator behind it. A `:` in brackets separates nothing.
fn split(text: &str) -> (&str, Option<&str>) {
    let mut inside = false;
    for (place, c) in text.char_indices() {
        match c {
            '[' => inside = true,
            ']' => inside = false,
            ':' | ',' if !inside => return (&text[..place], Some(&text[place + 1..])),
            _ => {}
        }
    }
    (text, None)
}

impl Inventory {
    /// The hosts that `pattern` means, in inventory order, each once. None is no error: a group may be empty.
    ///
    /// - `worker-1`, `workers`: a host or group by name; `all` and `*` are every host.
    /// - `worker-*`, `worker-?`, `worker-[1..3]`, `worker-[1:3]`: hosts and groups whose name is covered.
    /// - `workers[0]`, `workers[-1]`, `workers[0..2]`: hosts of a group by position, the last one included.
    /// - `a:b` or `a,b`: in either; `:&c`: and also in `c`; `:!d`: but not in `d`. Whatever their order,
    ///   unions come first, then `&`, then `!`. With neither name nor group, these apply to every host.
    ///
    /// # Errors
    /// When an element names or covers nothing, whatever sign it has.
    pub fn select(&self, pattern: &str) -> Result<Vec<&Host>> {
        let pattern = Pattern::read(pattern)?;
        let mut chosen = vec![false; self.hosts.len()];
        for element in pattern.any {
            self.element(element)?.into_iter().for_each(|host| chosen[host] = true);
        }
        for element in pattern.all {
            let mut within = vec![false; self.hosts.len()];
            self.element(element)?.into_iter().for_each(|host| within[host] = true);
            chosen.iter_mut().zip(within).for_each(|(chosen, within)| *chosen &= within);
        }
        for element in pattern.none {
            self.element(element)?.into_iter().for_each(|host| chosen[host] = false);
        }
        Ok(self.hosts.iter().zip(chosen).filter_map(|(host, chosen)| chosen.then_some(host)).collect())
    }

    /// The positions of the hosts that one element means.
    fn element(&self, text: &str) -> Result<Vec<usize>> {
        if let Some(host) = self.host_index.get(text) {
            return Ok(vec![*host]);
        }
        if let Some(group) = self.group_named(text) {
            return Ok(group.members.clone());
        }
        if let Some(indexed) = self.indexed(text) {
            return indexed;
        }
        if !text.contains(['[', ']', '*', '?']) {
            let names = self.hosts.iter().map(|host| host.name.as_str());
            let names = names.chain(self.groups.iter().map(|group| group.name.as_str()));
            let fault = Error::inventory(format!("no host or group is called `{text}`"));
            return Err(names::suggest(fault, text, names));
        }
        let found = self.covered(&Ranged::read(text).map_err(Error::inventory)?);
        if found.is_empty() {
            return Err(Error::inventory(format!("`{text}` matches no host and no group")));
        }
        Ok(found)
    }

    /// The positions of the hosts whose own name or one of whose groups' is covered. The groups that mk makes
    /// are not asked, or `a*` would be every host.
    fn covered(&self, ranged: &Ranged) -> Vec<usize> {
        let hosts = self.hosts.iter().enumerate().filter(|(_, host)| ranged.covers(&host.name)).map(|(place, _)| place);
        let groups = self.groups.iter().filter(|group| ![ALL, UNGROUPED].contains(&group.name.as_str()));
        let groups = groups.filter(|group| ranged.covers(&group.name)).flat_map(|group| group.members.iter().copied());
        hosts.chain(groups).collect()
    }

    fn group_named(&self, name: &str) -> Option<&Group> {
        let name = if name == "*" { ALL } else { name };
        self.group_index.get(name).map(|index| &self.groups[*index])
    }

    /// The hosts of a group by position, if `text` asks for that.
    fn indexed(&self, text: &str) -> Option<Result<Vec<usize>>> {
        let (name, inside) = text.strip_suffix(']')?.rsplit_once('[')?;
        let group = self.group_named(name)?;
        let count = group.members.len();
        let beyond = || {
            let s = if count == 1 { "" } else { "s" };
            Err(Error::inventory(format!("`{text}` is beyond the group `{}`, which has {count} host{s}", group.name)))
        };
        if let Ok(position) = inside.parse::<i64>() {
            let from_end = || count.checked_sub(usize::try_from(position.unsigned_abs()).ok()?);
            let position = if position < 0 { from_end() } else { usize::try_from(position).ok() };
            return Some(match position.and_then(|position| group.members.get(position)) {
                Some(host) => Ok(vec![*host]),
                None => beyond(),
            });
        }
        let (first, last) = inside.split_once("..").or_else(|| inside.split_once(':'))?;
        let first: usize = first.parse().ok()?;
        let last: usize = if last.is_empty() { usize::MAX } else { last.parse().ok()? };
        // A group `a` and hosts `a1`, `a2`: then `a[1..2]` could be either.
        if Ranged::read(text).is_ok_and(|ranged| !self.covered(&ranged).is_empty()) {
            return Some(Err(Error::inventory(format!(
                "`{text}` could be positions in the group `{name}` or a range of names"
            ))
            .hint(format!("name the hosts one by one, or begin with the group: `{name}[{first}],{name}[{}]`", first + 1))));
        }
        let last = last.saturating_add(1).min(count);
        Some(if first < last { Ok(group.members[first..last].to_vec()) } else { beyond() })
    }
}
