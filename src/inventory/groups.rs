//! The tree of groups: what the `groups` of an inventory say, checked, with depths and ancestors.

use std::collections::{BTreeSet, HashMap};

use crate::error::{Error, Result};

use super::decode::Fields;
use super::model::{ALL, Group, UNGROUPED};
use super::names;
use super::range::MOST_HOSTS;
use super::vars::{Variable, variables};
use super::yaml::{Node, Text};

/// How many groups may be inside each other.
const DEEPEST: usize = 64;

/// The groups of an inventory, [`ALL`] and [`UNGROUPED`] at 0 and 1.
pub(super) struct Tree {
    pub(super) groups: Vec<Group>,
    pub(super) index: HashMap<String, usize>,
    /// The variables written in the inventory, for each group.
    pub(super) vars: Vec<Vec<Variable>>,
    /// For each host the groups it is in, ancestors too, in the order in which later ones win.
    pub(super) of_host: Vec<Vec<usize>>,
}

/// What one entry under `groups` says.
struct Entry {
    name: Text,
    hosts: Vec<Text>,
    children: Vec<Text>,
}

impl Tree {
    /// Decodes the `groups` of an inventory whose hosts are `hosts`, by name and position.
    pub(super) fn decode(node: Option<Node>, hosts: &HashMap<String, usize>) -> Result<Self> {
        let mut entries = Vec::new();
        let mut vars = vec![Vec::new(), Vec::new()];
        let mut index: HashMap<String, usize> = HashMap::from([(ALL.to_owned(), 0), (UNGROUPED.to_owned(), 1)]);
        for (name, node) in node.map(|node| node.entries("`groups`")).transpose()?.unwrap_or_default() {
            names::check(&name.text, "group", &name)?;
            if hosts.contains_key(&name.text) {
                return Err(name.at.fault(format!("`{}` is the name of a group and of a host", name.text)));
            }
            let mut fields = Fields::of(node, &format!("the group `{}`", name.text), &["hosts", "children", "vars"])?;
            let mut texts = |key: &str| {
                let what = format!("the `{key}` of the group `{}`", name.text);
                fields.take(key).map(|node| node.texts(&what)).transpose().map(Option::unwrap_or_default)
            };
            let entry = Entry { hosts: texts("hosts")?, children: texts("children")?, name };
            let label = format!("group `{}`", entry.name.text);
            let own = fields.take("vars").map(|node| variables(node, &format!("the `vars` of the {label}"), &label));
            vars.push(own.transpose()?.unwrap_or_default());
            index.insert(entry.name.text.clone(), index.len());
            entries.push(entry);
        }
        let (groups, of_host) = Edges::resolve(&entries, &index, hosts)?.finish(&entries, hosts);
        Ok(Self { groups, index, vars, of_host })
    }
}

/// The names of all entries resolved to positions in the tree.
struct Edges {
    hosts: Vec<Vec<usize>>,
    children: Vec<Vec<usize>>,
    parents: Vec<Vec<usize>>,
    depths: Vec<usize>,
    /// Every group, none before one of its parents.
    order: Vec<usize>,
}

impl Edges {
    fn resolve(entries: &[Entry], index: &HashMap<String, usize>, hosts: &HashMap<String, usize>) -> Result<Self> {
        let count = entries.len() + 2;
        let mut edges = Self {
            hosts: vec![Vec::new(); count],
            children: vec![Vec::new(); count],
            parents: vec![Vec::new(); count],
            depths: vec![0; count],
            order: Vec::new(),
        };
        for (group, entry) in (2..).zip(entries) {
            edges.hosts[group] = host_positions(entry, index, hosts)?;
            let mut children = BTreeSet::new();
            for child in &entry.children {
                let position = child_position(entry, child, index, hosts)?;
                if children.insert(position) {
                    edges.children[group].push(position);
                    edges.parents[position].push(group);
                }
            }
        }
        for group in 1..count {
            if edges.parents[group].is_empty() {
                edges.children[0].push(group);
                edges.parents[group].push(0);
            }
        }
        edges.sort(entries)?;
        Ok(edges)
    }

    /// Puts parents before children and finds the depths; a group that cannot be placed is in a cycle.
    /// Without recursion, for a chain of groups may be as long as a file.
    fn sort(&mut self, entries: &[Entry]) -> Result {
        let mut waiting: Vec<usize> = self.parents.iter().map(Vec::len).collect();
        self.order.push(0);
        let mut next = 0;
        while let Some(&group) = self.order.get(next) {
            next += 1;
            for &child in &self.children[group] {
                self.depths[child] = self.depths[child].max(self.depths[group] + 1);
                waiting[child] -= 1;
                if waiting[child] == 0 {
                    self.order.push(child);
                }
            }
        }
        if let Some(start) = waiting.iter().position(|parents| *parents > 0) {
            return Err(self.cycle(entries, start, &waiting));
        }
        match self.depths.iter().position(|depth| *depth > DEEPEST) {
            Some(deep) => {
                let at = &entries[deep - 2].name.at;
                Err(at.fault(format!("there are more than {DEEPEST} groups inside each other")))
            }
            None => Ok(()),
        }
    }

    /// The fault that names the cycle above `start`, found by climbing among the groups still waiting.
    fn cycle(&self, entries: &[Entry], start: usize, waiting: &[usize]) -> Error {
        let mut path = vec![start];
        let repeated = loop {
            let last = path[path.len() - 1];
            // A waiting group has a waiting parent: otherwise it had been placed.
            let parent = self.parents[last].iter().copied().find(|parent| waiting[*parent] > 0).unwrap_or(last);
            if let Some(first) = path.iter().position(|group| *group == parent) {
                break first;
            }
            path.push(parent);
        };
        let mut cycle = path.split_off(repeated);
        cycle.reverse();
        let first = cycle.iter().enumerate().min_by_key(|(_, group)| **group).map_or(0, |(place, _)| place);
        cycle.rotate_left(first);
        let last = &entries[cycle[cycle.len() - 1] - 2];
        let first = &entries[cycle[0] - 2].name;
        let at = last.children.iter().find(|child| child.text == first.text).map_or(&first.at, |child| &child.at);
        let name = |group: &usize| format!("`{}`", entries[*group - 2].name.text);
        let names = cycle.iter().chain(cycle.first()).map(name).collect::<Vec<_>>().join(" > ");
        at.fault(format!("groups contain each other: {names}"))
    }

    /// The finished groups, and for each host those it is in.
    fn finish(mut self, entries: &[Entry], hosts: &HashMap<String, usize>) -> (Vec<Group>, Vec<Vec<usize>>) {
        let names: Vec<&str> =
            [ALL, UNGROUPED].into_iter().chain(entries.iter().map(|entry| entry.name.text.as_str())).collect();
        let mut above: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); names.len()];
        for &group in &self.order {
            let mut all = BTreeSet::from([group]);
            self.parents[group].iter().for_each(|parent| all.extend(&above[*parent]));
            above[group] = all;
        }
        let mut of_host: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); hosts.len()];
        for (group, direct) in self.hosts.iter().enumerate() {
            for host in direct {
                of_host[*host].extend(&above[group]);
            }
        }
        let mut members: Vec<Vec<usize>> = vec![Vec::new(); names.len()];
        let mut sorted = Vec::with_capacity(hosts.len());
        for (host, mut groups) in of_host.into_iter().enumerate() {
            if groups.is_empty() {
                groups.extend([0, 1]);
                self.hosts[1].push(host);
            }
            for group in &groups {
                members[*group].push(host);
            }
            let mut groups: Vec<usize> = groups.into_iter().collect();
            groups.sort_by_key(|group| (self.depths[*group], names[*group]));
            sorted.push(groups);
        }
        let mut by_position = vec![""; hosts.len()];
        for (name, position) in hosts {
            by_position[*position] = name;
        }
        let owned = |positions: &[usize], of: &[&str]| positions.iter().map(|p| of[*p].to_owned()).collect();
        let groups = (names.iter().enumerate().zip(members))
            .map(|((group, name), members)| Group {
                name: (*name).to_owned(),
                hosts: owned(&self.hosts[group], &by_position),
                children: owned(&self.children[group], &names),
                depth: self.depths[group],
                members,
            })
            .collect();
        (groups, sorted)
    }
}

/// The positions of the hosts that `entry` names, ascending, each once.
fn host_positions(
    entry: &Entry,
    groups: &HashMap<String, usize>,
    hosts: &HashMap<String, usize>,
) -> Result<Vec<usize>> {
    let mut positions = BTreeSet::new();
    for text in &entry.hosts {
        for one in names::expand(text, MOST_HOSTS)? {
            let Some(position) = hosts.get(&one.name) else {
                let fault = text.at.fault(format!(
                    "the group `{}` names the host `{}`, which is not under `hosts`",
                    entry.name.text, one.name
                ));
                return Err(if groups.contains_key(&one.name) {
                    fault.hint(format!("`{}` is a group: name it under `children`", one.name))
                } else {
                    names::suggest(fault, &one.name, hosts.keys().map(String::as_str))
                });
            };
            positions.insert(*position);
        }
    }
    Ok(positions.into_iter().collect())
}

fn child_position(
    entry: &Entry,
    child: &Text,
    groups: &HashMap<String, usize>,
    hosts: &HashMap<String, usize>,
) -> Result<usize> {
    match groups.get(&child.text) {
        Some(position) if *position > 1 => Ok(*position),
        Some(_) => Err(child.at.fault(format!("`{}` cannot be a child: mk itself makes that group", child.text))),
        None => {
            let fault = child.at.fault(format!(
                "the group `{}` names the child `{}`, which is not under `groups`",
                entry.name.text, child.text
            ));
            Err(if hosts.contains_key(&child.text) {
                fault.hint(format!("`{}` is a host: name it under `hosts`", child.text))
            } else {
                names::suggest(fault, &child.text, groups.keys().map(String::as_str))
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{complaint, load};

    #[test]
    fn a_tree_knows_depths_members_and_what_no_group_contains() {
        let inventory = load(
            "groups:\n  top: { children: [b, a] }\n  a: { hosts: ['w-[2..3]', w-2] }\n  b: { hosts: [w-1], children: [a] }\n  \
             none:\nhosts: { 'w-[1..4]': }",
        )
        .unwrap();
        let shown: Vec<String> = inventory
            .groups()
            .iter()
            .map(|group| {
                let members: Vec<_> = inventory.members(group).map(|host| host.name.as_str()).collect();
                format!("{} {} {:?} {:?} {members:?}", group.depth, group.name, group.children, group.hosts)
            })
            .collect();
        assert_eq!(
            shown,
            [
                r#"0 all ["ungrouped", "top", "none"] [] ["w-1", "w-2", "w-3", "w-4"]"#,
                r#"1 ungrouped [] ["w-4"] ["w-4"]"#,
                r#"1 top ["b", "a"] [] ["w-1", "w-2", "w-3"]"#,
                r#"3 a [] ["w-2", "w-3"] ["w-2", "w-3"]"#,
                r#"2 b ["a"] ["w-1"] ["w-1", "w-2", "w-3"]"#,
                "1 none [] [] []",
            ]
        );
        assert_eq!(inventory.host("w-2").unwrap().groups, ["a", "b", "top"]);
        assert_eq!(inventory.host("w-4").unwrap().groups, ["ungrouped"]);
        assert_eq!(inventory.group("nnoe").unwrap_err().hints(), ["did you mean `none`?"]);
    }

    #[test]
    fn a_cycle_is_named_from_its_first_group() {
        assert_eq!(
            complaint(
                "groups:\n  x: { children: [c] }\n  a: { children: [b] }\n  b: { children: [c] }\n  c: { children: [d, a] }\n  d:\n"
            ),
            "inventory.yml:5:22: groups contain each other: `a` > `b` > `c` > `a`"
        );
        assert_eq!(
            complaint("groups: { a: { children: [a] } }"),
            "inventory.yml:1:27: groups contain each other: `a` > `a`"
        );
    }

    #[test]
    fn an_undefined_host_or_child_is_refused() {
        assert_eq!(
            complaint("hosts: { 'worker-[1..3]': }\ngroups: { w: { hosts: ['worker-[1..4]'] } }"),
            "inventory.yml:2:24: the group `w` names the host `worker-4`, which is not under `hosts` \
             (did you mean `worker-1`?)"
        );
        assert_eq!(
            complaint("groups: { web: , all-of: { children: [wbe] } }"),
            "inventory.yml:1:39: the group `all-of` names the child `wbe`, which is not under `groups` \
             (did you mean `web`?)"
        );
        assert_eq!(
            complaint("groups: { a: , b: { hosts: [a] } }"),
            "inventory.yml:1:29: the group `b` names the host `a`, which is not under `hosts` \
             (`a` is a group: name it under `children`)"
        );
        assert_eq!(
            complaint("hosts: { a: }\ngroups: { b: { children: [a] } }"),
            "inventory.yml:2:27: the group `b` names the child `a`, which is not under `groups` \
             (`a` is a host: name it under `hosts`)"
        );
        assert_eq!(
            complaint("groups: { b: { children: [all] } }"),
            "inventory.yml:1:27: `all` cannot be a child: mk itself makes that group"
        );
    }

    #[test]
    fn a_long_chain_of_groups_is_refused_without_a_crash() {
        let chain: Vec<String> = (0..20_000).map(|n| format!("  g{n}: {{ children: [g{}] }}\n", n + 1)).collect();
        let chain = chain.concat();
        assert_eq!(
            complaint(&format!("groups:\n{chain}  g20000:\n")),
            "inventory.yml:66:3: there are more than 64 groups inside each other"
        );
        assert!(
            complaint(&format!("groups:\n{chain}  g20000: {{ children: [g0] }}\n"))
                .contains("groups contain each other: `g0` > `g1`")
        );
    }
}
