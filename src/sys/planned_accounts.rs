//! What stands in the way of accounts, on the host as planned.

use serde_json::Value;

use super::accounts;
use super::probe::Probe;

impl Probe<'_> {
    /// The user other than `name` that has this number.
    pub(crate) fn user_with(&self, uid: u32, name: &str) -> Option<String> {
        let now = accounts::user(&uid.to_string()).map(|user| user.name).filter(|user| self.user(user).is_some());
        self.holder("user", "uid", uid, name, now)
    }

    /// The group other than `name` that has this number.
    pub(crate) fn group_with(&self, gid: u32, name: &str) -> Option<String> {
        let now = accounts::group(&gid.to_string()).map(|group| group.name).filter(|group| self.group(group).is_some());
        self.holder("group", "gid", gid, name, now)
    }

    /// A user whose primary group this is.
    pub(crate) fn primary_user(&self, group: &str) -> Option<String> {
        let gid = self.group(group)?.gid;
        let stays = |user: &String| {
            let planned = self.state_of("user", user);
            let other = planned.as_ref().and_then(|state| state.get("group")).is_some_and(|planned| planned != group);
            self.user(user).is_some() && !other
        };
        let now = accounts::users().into_iter().filter(|user| user.gid == gid).map(|user| user.name);
        let coming = self.plan.and_then(|plan| {
            let plan = plan.borrow();
            let moved = plan.holder("user", "group", &Value::from(group));
            moved.or_else(|| plan.user_of(group).map(str::to_owned))
        });
        // A group that is only planned has no number yet.
        let mut now = now.filter(|_| accounts::group(group).is_some()).filter(stays);
        now.next().or(coming)
    }

    /// Who has a number once what is planned is so: `now`, unless it gets another one, or who is planned to get it.
    fn holder(&self, op: &str, field: &str, number: u32, name: &str, now: Option<String>) -> Option<String> {
        let keeps = |other: &String| {
            let planned = self.state_of(op, other);
            planned.as_ref().and_then(|state| state.get(field)).is_none_or(|planned| *planned == number)
        };
        let now = now.filter(|other| other != name).filter(keeps);
        now.or_else(|| self.plan?.borrow().holder(op, field, &number.into()).filter(|other| other != name))
    }

    fn state_of(&self, op: &str, name: &str) -> Option<Value> {
        self.plan?.borrow().recall(op, &Value::from(name).to_string()).cloned()
    }
}
