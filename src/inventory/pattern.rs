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
            let fault = names::suggest(Error::inventory(format!("no host or group is called `{text}`")), text, names);
            return Err(if self.hosts.is_empty() { fault.hint(self.emptiness()) } else { fault });
        }
        let found = self.covered(&Ranged::read(text).map_err(Error::inventory)?);
        if found.is_empty() {
            return Err(Error::inventory(format!("`{text}` matches no host and no group")));
        }
        Ok(found)
    }

    /// Why there is no host at all.
    fn emptiness(&self) -> String {
        if self.file.as_os_str().is_empty() {
            "no inventory was given, so there is only this machine: name one with `-i`".to_owned()
        } else {
            format!("`{}` names no hosts", self.file.display())
        }
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
            .hint(format!(
                "name the hosts one by one, or begin with the group: `{name}[{first}],{name}[{}]`",
                first + 1
            ))));
        }
        let last = last.saturating_add(1).min(count);
        Some(if first < last { Ok(group.members[first..last].to_vec()) } else { beyond() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{line, load, names};
    use super::*;

    fn lab() -> Inventory {
        load(
            "groups:\n  workers: { children: [a, b] }\n  a: { hosts: ['worker-[1..3]'] }\n  b: { hosts: ['worker-[4..6]'] }\n  \
             empty:\n  one: { hosts: [c-1] }\nhosts:\n  jumpbox:\n  c-1:\n  'worker-[1..6]':\n",
        )
        .unwrap()
    }

    #[test]
    fn patterns_mean_what_they_mean_in_ansible() {
        let lab = lab();
        let numbers = |pattern: &str| -> String {
            names(&lab, pattern)
                .iter()
                .map(|name| if *name == "jumpbox" { "j" } else { name.trim_start_matches("worker-") })
                .collect()
        };
        for (pattern, expected) in [
            ("all", "jc-1123456"),
            ("*", "jc-1123456"),
            ("worker-2", "2"),
            ("workers", "123456"),
            ("empty", ""),
            ("worker-6,worker-1", "16"),
            ("b:a", "123456"),
            ("a, worker-2 ,worker-4", "1234"),
            ("worker-*", "123456"),
            ("worker-?:c-*", "c-1123456"),
            ("*box", "j"),
            ("jum?box", "j"),
            ("worker-[1..3]", "123"),
            ("worker-[2:4]", "234"),
            ("worker-[5..9]", "56"),
            ("[a..b]", "123456"),
            ("work*", "123456"),
            ("a*", "123"),
            ("ungrouped", "j"),
            ("workers:!a", "456"),
            ("!a:workers", "456"),
            ("workers:!worker-[1..2]:!b", "3"),
            ("workers:&a", "123"),
            ("&a:all:!worker-1", "23"),
            ("a:&b", ""),
            ("!workers", "jc-1"),
            ("&a", "123"),
            ("a:b:&worker-[2..5]:!worker-4", "235"),
            ("workers:!all", ""),
            ("workers[0]", "1"),
            ("workers[-1]", "6"),
            ("workers[1..2]", "23"),
            ("workers[1:2]", "23"),
            ("workers[4..]", "56"),
            ("workers[4..99]", "56"),
            ("all[0]", "j"),
            ("*[0]", "j"),
            ("b[0],a[-1]", "34"),
            ("workers:!workers[0]", "23456"),
        ] {
            assert_eq!(numbers(pattern), expected, "{pattern}");
        }
    }

    #[test]
    fn an_element_that_means_nothing_is_refused() {
        let lab = lab();
        let complaint = |pattern| line(&lab.select(pattern).unwrap_err());
        assert_eq!(complaint("wrokers"), "no host or group is called `wrokers` (did you mean `workers`?)");
        assert_eq!(complaint("all:!worker-66"), "no host or group is called `worker-66` (did you mean `worker-6`?)");
        assert_eq!(complaint("all:&xyz"), "no host or group is called `xyz`");
        assert_eq!(complaint("web-*"), "`web-*` matches no host and no group");
        assert_eq!(complaint("worker-[7..9]"), "`worker-[7..9]` matches no host and no group");
        assert_eq!(complaint("worker-[3..1]"), "the range `[3..1]` is empty: it ends before it begins");
        assert_eq!(complaint("worker-[1"), "`worker-[1` has a bracket without its partner");
        assert_eq!(complaint("worker-[12]"), "`[12]` is not a range: write `[1..9]`, `[01..13]` or `[a..c]`");
        assert_eq!(complaint("workers[6]"), "`workers[6]` is beyond the group `workers`, which has 6 hosts");
        assert_eq!(complaint("one[-2]"), "`one[-2]` is beyond the group `one`, which has 1 host");
        assert_eq!(complaint("empty[0..1]"), "`empty[0..1]` is beyond the group `empty`, which has 0 hosts");
        assert_eq!(complaint(" "), "the pattern is empty (`all` means every host)");
        assert_eq!(complaint("a,,b"), "the pattern `a,,b` has an empty element (`all` means every host)");
        assert_eq!(complaint("a:!"), "the pattern `a:!` has an empty element (`all` means every host)");
    }

    #[test]
    fn a_range_that_could_also_be_positions_is_refused() {
        let inventory = load("groups: { a: { hosts: ['a[1..3]'] } }\nhosts: { 'a[1..3]': }").unwrap();
        assert_eq!(
            line(&inventory.select("a[1..2]").unwrap_err()),
            "`a[1..2]` could be positions in the group `a` or a range of names \
             (name the hosts one by one, or begin with the group: `a[1],a[2]`)"
        );
        assert_eq!(names(&inventory, "a[1],a[-1]"), ["a2", "a3"]);
    }

    proptest! {
        #[test]
        fn no_pattern_panics(pattern in "\\PC{0,40}|[-a-c*?:,!&\\[\\]0-9. ]{0,30}") {
            let _ = lab().select(&pattern);
        }

        #[test]
        fn the_answer_is_in_inventory_order_without_duplicates(
            elements in proptest::collection::vec("(|&|!)(all|workers|a|b|worker-[1-6]|worker-\\*|\\*|workers\\[[0-5]\\])", 1..8),
        ) {
            let lab = lab();
            let order: Vec<&str> = lab.hosts().iter().map(|host| host.name.as_str()).collect();
            let answer = names(&lab, &elements.join(":"));
            let places: Vec<_> = answer.iter().map(|name| order.iter().position(|other| other == name)).collect();
            prop_assert!(places.is_sorted_by(|one, next| one < next));
            let mut shuffled = elements.clone();
            shuffled.reverse();
            prop_assert_eq!(names(&lab, &shuffled.join(",")), answer);
        }

        #[test]
        fn a_range_in_a_pattern_is_the_hosts_the_same_range_makes(first in 0u32..30, more in 0u32..30, width in 0usize..4) {
            let last = first + more;
            let width = if width > 1 { width } else { 0 };
            let range = format!("n-[{first:0width$}..{last:0width$}]");
            prop_assume!(Ranged::read(&range).is_ok());
            let inventory = load(&format!("hosts: {{ '{range}': , other: }}")).unwrap();
            prop_assert_eq!(names(&inventory, &range).len(), more as usize + 1);
            prop_assert_eq!(names(&inventory, &range), names(&inventory, "!other"));
        }
    }
}
