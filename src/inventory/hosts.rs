//! The hosts of an inventory: names expanded, defaults applied, ways decoded.

use std::collections::HashMap;
use std::path::Path;

use crate::error::{Place, Result};

use super::decode::Fields;
use super::names;
use super::range::{Expanded, MOST_HOSTS, Ranged};
use super::vars::{Layer, variables};
use super::way::{Setting, SshWay, Way};
use super::yaml::{Node, Text, Yaml};

/// A host as its entry and the defaults describe it, not yet in groups.
pub(super) struct Draft {
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) ways: Vec<Way>,
    pub(super) become_user: Option<String>,
    pub(super) vars: Layer,
}

/// What hosts have that do not say otherwise.
#[derive(Default)]
pub(super) struct Defaults {
    ways: Option<Node>,
    become_user: Option<Node>,
}

impl Defaults {
    /// Decodes `defaults`.
    pub(super) fn decode(node: Option<Node>) -> Result<Self> {
        let Some(node) = node else { return Ok(Self::default()) };
        let mut fields = Fields::of(node, "`defaults`", &["become", "ways"])?;
        Ok(Self { ways: fields.take("ways"), become_user: fields.take("become") })
    }
}

/// An entry under `hosts`, and the hosts its name stands for.
struct Entry {
    name: Text,
    node: Node,
    hosts: Vec<Expanded>,
}

/// Decodes `hosts`: the hosts in order, and their positions by name.
pub(super) fn decode(
    node: Option<Node>,
    defaults: &Defaults,
    folder: &Path,
) -> Result<(Vec<Draft>, HashMap<String, usize>)> {
    // Names first: a way may jump through a host that is defined below it.
    let entries = expand(node)?;
    let mut index = HashMap::new();
    for (entry, host) in entries.iter().flat_map(|entry| entry.hosts.iter().map(move |host| (entry, host))) {
        if index.insert(host.name.clone(), index.len()).is_some() {
            let earlier = entries.iter().find(|entry| entry.hosts.iter().any(|other| other.name == host.name));
            let fault = entry.name.at.fault(format!("the host `{}` is given twice", host.name));
            return Err(match earlier {
                Some(earlier) => fault.hint(format!("it is also given at {}", shown(&earlier.name.at.place()))),
                None => fault,
            });
        }
    }
    let mut drafts = Vec::with_capacity(index.len());
    for entry in entries {
        let is_range = Ranged::read(&entry.name.text).is_ok_and(|ranged| !ranged.is_plain());
        let what = format!("the host `{}`", entry.name.text);
        let mut fields = Fields::of(entry.node, &what, &["become", "ways", "vars"])?;
        let (ways, become_user) = (fields.take("ways"), fields.take("become"));
        let vars = fields.take("vars").unwrap_or(Node { kind: Yaml::Null, at: entry.name.at.clone() });
        let vars_of = |node| variables(node, &format!("the `vars` of {what}"), "host");
        // Without a range, braces in a variable mean whatever the variable is for; and what is the same for
        // every host of an entry is kept once.
        let shared = (!is_range || !vars.has_braces()).then(|| vars_of(vars.clone())).transpose()?.map(Layer::from);
        for host in &entry.hosts {
            let fill = |node: &Node| node.map_text(&|text| host.fill(text));
            let setting = Setting { folder, hosts: &index, host: &host.name };
            let vars = match &shared {
                Some(layer) => layer.clone(),
                None => vars_of(fill(&vars))?.into(),
            };
            drafts.push(Draft {
                name: host.name.clone(),
                place: entry.name.at.place(),
                ways: match ways.as_ref().or(defaults.ways.as_ref()) {
                    Some(node) => decode_ways(fill(node), &setting)?,
                    None => vec![Way::Ssh(SshWay::default())],
                },
                become_user: match become_user.as_ref().or(defaults.become_user.as_ref()) {
                    Some(node) => decode_become(fill(node))?,
                    None => None,
                },
                vars,
            });
        }
    }
    Ok((drafts, index))
}

fn expand(node: Option<Node>) -> Result<Vec<Entry>> {
    let mut room = MOST_HOSTS;
    let mut entries = Vec::new();
    for (name, node) in node.map(|node| node.entries("`hosts`")).transpose()?.unwrap_or_default() {
        let hosts = names::expand(&name, room)?;
        room -= hosts.len();
        entries.push(Entry { name, node, hosts });
    }
    Ok(entries)
}

fn decode_ways(node: Node, setting: &Setting) -> Result<Vec<Way>> {
    let at = node.at.clone();
    let ways: Vec<Way> =
        node.items("`ways`")?.into_iter().map(|item| Way::decode(item, setting)).collect::<Result<_>>()?;
    if ways.is_empty() {
        return Err(at.fault("`ways` is empty").hint("without `ways` a host is reached by your SSH configuration"));
    }
    Ok(ways)
}

/// The user to become; `become: ~` undoes the default.
fn decode_become(node: Node) -> Result<Option<String>> {
    match node.kind {
        Yaml::Null => Ok(None),
        _ => node.text("`become`").map(|user| Some(user.text)),
    }
}

fn shown(place: &Place) -> String {
    format!("line {}", place.line)
}
