//! The plan of a check, shared with the agent of another user on the same host.

use super::plan::Plan;

impl Plan {
    /// The plan as another user may have it: without what is in files, which that user may not be let to read.
    #[must_use]
    pub fn for_others(&self) -> Self {
        let mut plan = self.clone();
        plan.states.clear();
        for planned in plan.paths.values_mut() {
            planned.content.iter_mut().for_each(|content| content.text = None);
        }
        plan
    }

    /// Takes over a plan that was shared. What does not travel stays as it is here.
    pub fn take_over(&mut self, mut shared: Self) {
        for (path, planned) in &mut shared.paths {
            let own = self.paths.get(path).and_then(|planned| planned.content.as_ref());
            if let (Some(own), Some(content)) = (own, &mut planned.content)
                && own == content
            {
                content.clone_from(own);
            }
        }
        shared.states = std::mem::take(&mut self.states);
        *self = shared;
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use serde_json::json;

    use super::super::plan::{Effect, Kind, Planned};
    use super::*;
    use crate::change::Content;

    fn file(path: &str, text: &str) -> Effect {
        let content = Some(Content::of(text.as_bytes()));
        Effect::Path(path.into(), Planned { kind: Some(Kind::File), content, ..Planned::default() })
    }

    #[test]
    fn what_is_in_files_is_not_shared_and_is_still_here_afterwards() {
        let mut own = Plan::default();
        own.apply(file("/etc/key", "canary 9c1e"));
        own.apply(file("/etc/changed", "canary 9c1e"));
        own.remember("line", "\"/etc/key\"", Some(json!({ "text": "canary 9c1e" })));
        let shared = own.for_others();
        assert!(!serde_json::to_string(&shared).unwrap().contains("canary"));
        // The other one goes on from it.
        let mut other = Plan::default();
        other.take_over(shared);
        other.apply(file("/etc/changed", "new"));
        other.apply(file("/srv/theirs", "x"));
        own.take_over(other.for_others());
        let text = |path: &str| own.path(Path::new(path)).unwrap().content.clone().unwrap().text;
        assert_eq!(text("/etc/key").as_deref(), Some("canary 9c1e"));
        assert_eq!((text("/etc/changed"), text("/srv/theirs")), (None, None));
        assert!(own.recall("line", "\"/etc/key\"").is_some());
        assert!(own.path(&PathBuf::from("/srv/theirs")).is_some());
    }
}
