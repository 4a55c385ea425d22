//! The state of a file that has content: what `copy`, `template` and their like share.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::accounts;
use super::hands::Hands;
use super::plan::{Effect, Kind, Planned};
use super::probe::{Look, Probe};
use super::rehearsal;
use super::write::Placement;
use crate::change::{Change, Content};
use crate::error::{Error, Result};
use crate::wire::Payload;

/// An owner, a group and a mode as a user asks for them.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Attrs {
    /// Permission bits.
    pub mode: Option<u32>,
    /// A user's name or number.
    pub owner: Option<String>,
    /// A group's name or number.
    pub group: Option<String>,
}

impl Attrs {
    /// The numbers behind the names.
    ///
    /// # Errors
    /// When a name is not known on the host.
    pub(crate) fn placement(&self, probe: &Probe) -> Result<Placement> {
        let no = |what: &str, name: &String| {
            Error::step(format!("{what} `{name}` does not exist on this host"))
                .hint(format!("make it in an earlier step with `host.{what}`"))
        };
        let uid = match &self.owner {
            None => None,
            Some(name) => Some(
                probe.needed_user(name).map(|u| u.uid).or_else(|| name.parse().ok()).ok_or_else(|| no("user", name))?,
            ),
        };
        let gid = match &self.group {
            None => None,
            Some(name) => Some(
                probe
                    .needed_group(name)
                    .map(|g| g.gid)
                    .or_else(|| name.parse().ok())
                    .ok_or_else(|| no("group", name))?,
            ),
        };
        Ok(Placement { mode: self.mode, uid, gid })
    }

    /// What was found, in the words the user chose: a number stays a number, and of several names for one number it is
    /// the one that was chosen.
    pub(crate) fn in_words(&self, look: &Look) -> Self {
        let name = |wanted: &Option<String>, found: &String, id: Option<u32>, number: fn(&str) -> Option<u32>| {
            // A tree asks this for each of its files, and mostly for the name that was found.
            let other = wanted.as_ref().filter(|wanted| *wanted != found && id.is_some());
            other.filter(|wanted| number(wanted).or_else(|| wanted.parse().ok()) == id).unwrap_or(found).clone()
        };
        Self {
            mode: Some(look.mode),
            owner: Some(name(&self.owner, &look.owner, look.uid, |name| accounts::user(name).map(|user| user.uid))),
            group: Some(name(&self.group, &look.group, look.gid, |name| accounts::group(name).map(|group| group.gid))),
        }
    }
}

/// A file with content, as it is or should be. A field that is `None` is not managed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct FileState {
    /// The bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Content>,
    /// Permission bits in octal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// The owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
}

/// How a file with content is asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct FileSpec {
    /// Where.
    pub dest: PathBuf,
    /// Attrs, group and mode.
    pub attrs: Attrs,
    /// A command that must accept the new content before it takes its place; `%s` stands for its path.
    pub validate: Option<Vec<String>>,
    /// Keep the old file beside the new one.
    pub backup: bool,
}

impl FileSpec {
    /// The state wished for, with this content.
    pub(crate) fn desired(&self, content: Content) -> FileState {
        FileState {
            content: Some(content),
            mode: self.attrs.mode.map(octal),
            owner: self.attrs.owner.clone(),
            group: self.attrs.group.clone(),
        }
    }

    /// The state found.
    ///
    /// # Errors
    /// When something other than a file is in the way, its directory is missing, or an owner is unknown.
    pub(crate) fn actual(&self, probe: &Probe) -> Result<Option<FileState>> {
        self.attrs.placement(probe)?;
        let shown = self.dest.display();
        if !self.dest.is_absolute() {
            return Err(Error::step(format!("`{shown}` is not an absolute path")));
        }
        match probe.follow(&self.dest)? {
            None => room_for(probe, &self.dest).map(|()| None),
            Some(look) if look.kind == Kind::File => {
                let words = self.attrs.in_words(&look);
                Ok(Some(FileState {
                    content: probe.content(&self.dest)?,
                    mode: words.mode.map(octal),
                    owner: words.owner,
                    group: words.group,
                }))
            }
            Some(_) => Err(Error::step(format!("`{shown}` is there already and is not a file"))),
        }
    }

    /// Brings the change about; `payload` holds the new bytes.
    ///
    /// # Errors
    /// When the content does not pass its validation, or the host refuses.
    pub(crate) fn fix(&self, hands: &Hands, change: &Change<FileState>, payload: &Payload) -> Result {
        let placement = self.attrs.placement(hands)?;
        if change.actual.is_some() && !change.has("content") {
            return hands.place(&self.dest, placement);
        }
        if self.backup && change.actual.is_some() {
            hands.keep_copy(&self.dest)?;
        }
        hands.write_payload(&self.dest, payload, placement, self.validate.as_deref())
    }

    /// Has the new content looked at as when it is written, in a file of its own that is removed again.
    ///
    /// # Errors
    /// When it is refused.
    pub(crate) fn rehearse(&self, probe: &Probe, change: &Change<FileState>, bytes: Option<&[u8]>) -> Result {
        match (&self.validate, bytes) {
            (Some(words), Some(bytes))
                if change.desired.is_some() && (change.actual.is_none() || change.has("content")) =>
            {
                rehearsal::validate(probe, &self.dest, bytes, words)
            }
            _ => Ok(()),
        }
    }

    /// What the change means to later steps of a check.
    pub(crate) fn effects(&self, desired: Option<&FileState>) -> Vec<Effect> {
        let Some(desired) = desired else { return vec![Effect::Gone(self.dest.clone())] };
        vec![Effect::Path(
            self.dest.clone(),
            Planned {
                kind: Some(Kind::File),
                content: desired.content.clone(),
                mode: self.attrs.mode,
                owner: desired.owner.clone(),
                group: desired.group.clone().or_else(|| self.attrs.group.clone()),
                ..Planned::default()
            },
        )]
    }
}

/// Refuses a path whose directory is not there, neither now nor as planned.
///
/// # Errors
/// Also when something other than a directory is in its place.
pub(crate) fn room_for(probe: &Probe, path: &Path) -> Result {
    let parent = path.parent().unwrap_or(Path::new("/"));
    let shown = parent.display();
    match probe.aside(|| probe.follow(parent))? {
        Some(Look { kind: Kind::Dir, .. }) => Ok(()),
        Some(_) => Err(Error::step(format!("`{shown}` is not a directory"))),
        None if probe.may_be_brought(parent) && probe.assume_brought(format_args!("`{shown}`")) => Ok(()),
        None => Err(Error::step(format!("the directory `{shown}` does not exist"))
            .hint(format!("make it in an earlier step: `host.dir(\"{shown}\")`"))),
    }
}

/// Permission bits as people write them.
pub(super) fn octal(mode: u32) -> String {
    format!("{mode:04o}")
}
