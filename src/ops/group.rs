//! `group`: a group of users.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::change::{Change, Thing};
use crate::error::{Error, Result};
use crate::op::{Danger, Effects, Example, Operation, Removal, Resource, Shows};
use crate::sys::{Command, Effect, Hands, Probe};

/// Sees to a group in the host's own files, through `groupadd`, `groupmod` and `groupdel`.
///
/// Who belongs to it is said by each `user`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "control", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct Group {
    /// The group's name.
    pub name: String,
    /// `"present"` or `"absent"`.
    #[serde(default)]
    pub state: GroupState,
    /// Its number. The host chooses one by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// Give a new group a number from the range for the system's own.
    #[serde(default)]
    pub system: bool,
}

/// Whether the group is to be there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "control", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(super) enum GroupState {
    /// It is to be there.
    #[default]
    Present,
    /// It is to be gone.
    Absent,
}

/// A group as it is or should be.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Found {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gid: Option<u32>,
}

impl Group {
    fn words(&self, change: &Change<Found>) -> Vec<String> {
        let mut words = match (&change.actual, &change.desired) {
            (_, None) => vec!["groupdel"],
            (None, Some(_)) if self.system => vec!["groupadd", "--system"],
            (None, Some(_)) => vec!["groupadd"],
            (Some(_), Some(_)) => vec!["groupmod"],
        }
        .into_iter()
        .map(str::to_owned)
        .collect::<Vec<_>>();
        if let (Some(gid), Some(_)) = (self.gid, &change.desired) {
            words.extend(["--gid".to_owned(), gid.to_string()]);
        }
        words.push(self.name.clone());
        words
    }
}

impl Operation for Group {
    const NAME: &'static str = "group";
    const SUBJECT: &'static str = "name";
    const DANGER: Danger = Danger::Destroy;
    const SHOWS: Shows = Shows::All;
    const REMOVAL: Removal = Removal::Absent;
    const EXAMPLES: &'static [Example] = &[
        Example { title: "A group for a daemon.", code: r#"host.group("mkdemo", #{ system: true });"# },
        Example { title: "A group that must not be there.", code: r#"host.group("mkdemo", #{ state: "absent" });"# },
    ];

    fn validate(&self) -> Result {
        let odd = |c: char| !(c.is_ascii_alphanumeric() || "._-$".contains(c));
        if self.name.is_empty()
            || self.name.contains(odd)
            || self.name.starts_with('-')
            || self.name.parse::<u32>().is_ok()
        {
            return Err(Error::playbook(format!("`{}` cannot be the name of a group", self.name)));
        }
        Ok(())
    }
}

impl Resource for Group {
    type State = Found;

    fn actual(&self, probe: &Probe) -> Result<Option<Found>> {
        let found = probe.group(&self.name);
        let present = self.state == GroupState::Present;
        // What has its number already may share it.
        let has = found.as_ref().map(|group| group.gid);
        let gid = self.gid.filter(|gid| present && has != Some(*gid));
        if let Some(other) = gid.and_then(|gid| probe.group_with(gid, &self.name)) {
            return Err(Error::step(format!("the gid {} is that of group `{other}`", gid.unwrap_or_default())));
        }
        if let Some(user) = found.as_ref().filter(|_| !present).and_then(|_| probe.primary_user(&self.name)) {
            return Err(Error::step(format!("`{}` is the primary group of user `{user}`", self.name))
                .hint("remove that user in an earlier step, or give it another group"));
        }
        if found.is_none() && present {
            probe.assume_not_brought();
        }
        Ok(found.map(|group| Found { gid: Some(group.gid) }))
    }

    fn desired(&self, _actual: Option<&Found>) -> Result<Option<Found>> {
        Ok((self.state == GroupState::Present).then_some(Found { gid: self.gid }))
    }

    fn fix(&self, hands: &Hands, change: &Change<Found>) -> Result {
        hands.must(&Command::parsed(self.words(change))).map(drop)
    }

    fn things(&self, state: Option<&Found>) -> Vec<Thing> {
        let call = json!({ "name": self.name, "state": "absent" });
        state.map(|_| Thing::new(Self::NAME, &self.name, call)).into_iter().collect()
    }

    fn effects(&self, desired: Option<&Found>) -> Effects {
        vec![if desired.is_some() { Effect::Group(self.name.clone()) } else { Effect::GroupGone(self.name.clone()) }]
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::change::{Status, compare};
    use crate::op::alone::alone;
    use crate::op::contract::{Host, refusal};

    fn words(args: Value, actual: Option<Found>) -> String {
        let group: Group = serde_json::from_value(args).unwrap();
        let desired = group.desired(actual.as_ref()).unwrap();
        let diff = compare(actual.as_ref(), desired.as_ref()).unwrap().unwrap();
        group.words(&Change { actual, desired, diff }).join(" ")
    }

    #[test]
    fn coming_changing_and_going_hold_the_contract() {
        alone(&[], |_| {
            let wish = |gid: u32| json!({ "name": "mk-group", "gid": gid });
            Host::new().contract("group", &[wish(641), wish(642), json!({ "name": "mk-group", "state": "absent" })]);
        });
    }

    #[test]
    fn each_change_has_its_command() {
        assert_eq!(words(json!({ "name": "g", "system": true }), None), "groupadd --system g");
        assert_eq!(words(json!({ "name": "g", "gid": 7 }), None), "groupadd --gid 7 g");
        assert_eq!(words(json!({ "name": "g", "gid": 7 }), Some(Found { gid: Some(8) })), "groupmod --gid 7 g");
        assert_eq!(
            words(json!({ "name": "g", "gid": 7, "state": "absent" }), Some(Found { gid: Some(7) })),
            "groupdel g"
        );
    }

    #[test]
    fn a_planned_group_can_own_a_file_and_a_planned_removal_is_seen() {
        let host = Host::new();
        assert_eq!(host.check("group", json!({ "name": "mk-none" })).status, Status::WouldChange);
        assert_eq!(host.check("group", json!({ "name": "mk-none" })).status, Status::Ok);
        let file = json!({ "dest": host.path("f"), "content": "", "group": "mk-none" });
        assert_eq!(host.check("copy", file.clone()).status, Status::WouldChange);
        assert_eq!(host.check("group", json!({ "name": "mk-none", "state": "absent" })).status, Status::WouldChange);
        assert!(host.try_check("copy", file).is_err());
    }

    #[test]
    fn a_number_may_be_shared_by_a_group_that_has_it_already() {
        alone(&[], |_| {
            let text = std::fs::read_to_string("/etc/group").unwrap();
            std::fs::write("/etc/group", format!("{text}toor:x:0:\n")).unwrap();
            let wish = |name: &str| json!({ "name": name, "gid": 0 });
            assert_eq!(Host::new().apply("group", wish("toor")).status, Status::Ok);
            let error = Host::new().try_check("group", wish("other")).unwrap_err();
            assert!(error.message().starts_with("the gid 0 is that of group `"), "{error}");
        });
    }

    #[test]
    fn a_number_is_no_name() {
        assert_eq!(refusal("group", json!({ "name": "12" })), "group: `12` cannot be the name of a group");
    }
}
