//! Many files below one directory: what `unpack` and `tree` share.
//!
//! All of them are compared in one round trip, by digest; the content of those that differ comes in one stream.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write, sink};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::files::Attrs;
use super::glob::Glob;
use super::hands::Hands;
use super::plan::{Effect, Kind, Planned};
use super::probe::{Look, Probe};
use super::write::Placement;
use crate::change::{Change, Content, map_of, set_of};
use crate::error::{Error, Result};
use crate::wire::Member;

/// How many digests are asked for at once: as many as fit into a message with room to spare.
const BATCH: usize = 50_000;

/// How many letters of a digest stand in a state: enough that no two contents share them.
const SHOWN_DIGEST: usize = 32;

/// What a member is to be on the host.
fn kind_of(member: &Member) -> Kind {
    match (&member.sha256, &member.link) {
        (Some(_), _) => Kind::File,
        (None, Some(_)) => Kind::Link,
        (None, None) => Kind::Dir,
    }
}

/// What is or should be at each path of a tree, in words that are equal when nothing differs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Paths(BTreeMap<String, String>);

/// What a path is to be when something is there that must go.
const ABSENT: &str = "absent";

/// A tree as it is wished for.
#[derive(Debug, Clone)]
pub(crate) struct Tree<'a> {
    /// The directory that everything goes below.
    pub dest: &'a Path,
    /// What is to be there.
    pub members: &'a [Member],
    /// Owner and group of everything; the mode is that of the directories where they are managed.
    pub attrs: Attrs,
    /// Directories that are there already get owner, group and mode too.
    pub manage_dirs: bool,
    /// Remove what is not a member, but for what these cover.
    pub delete: Option<&'a [Glob]>,
}

impl Tree<'_> {
    /// What is there.
    ///
    /// # Errors
    /// When something is in the way, a directory on the way is a link, or an owner is unknown.
    pub(crate) fn actual(&self, probe: &Probe) -> Result<Option<Paths>> {
        self.attrs.placement(probe)?;
        match probe.follow(self.dest)? {
            None => return Ok(None),
            Some(Look { kind: Kind::Dir, .. }) => {}
            Some(_) => return Err(Error::step(format!("`{}` is not a directory", self.dest.display()))),
        }
        let mut found = BTreeMap::new();
        let mut dirs = map_of([(self.dest.to_owned(), true)]);
        for member in self.members {
            let path = self.dest.join(&member.path);
            if !real_dir(probe, path.parent().unwrap_or(self.dest), &mut dirs)? {
                continue;
            }
            let Some(look) = probe.look(&path)? else { continue };
            if kind_of(member) == Kind::Dir && look.kind == Kind::Dir {
                dirs.insert(path.clone(), true);
            }
            let in_the_way = (kind_of(member) == Kind::Dir) != (look.kind == Kind::Dir);
            if in_the_way && self.delete.is_none() {
                let what = if look.kind == Kind::Dir { "a directory" } else { "not a directory" };
                return Err(Error::step(format!("`{}` is there already and is {what}", path.display())));
            }
            let content = if look.kind == Kind::File { probe.content(&path)? } else { None };
            found.insert(member.path.clone(), self.in_words(&look, content.as_ref()));
        }
        if let Some(kept) = self.delete {
            let members = set_of(self.members.iter().map(|member| member.path.as_str()));
            self.extras(probe, "", kept, &members, &mut found)?;
        }
        Ok(Some(Paths(found)))
    }

    /// What should be there.
    pub(crate) fn desired(&self, actual: Option<&Paths>) -> Paths {
        let mut wanted = map_of(self.members.iter().map(|member| (member.path.clone(), self.wanted(member))));
        for path in actual.iter().flat_map(|paths| paths.0.keys()) {
            wanted.entry(path.clone()).or_insert_with(|| ABSENT.to_owned());
        }
        Paths(wanted)
    }

    /// Brings the change about.
    ///
    /// # Errors
    /// When the host refuses, or other bytes than those wanted arrive.
    pub(crate) fn fix(&self, hands: &Hands, change: &Change<Paths>) -> Result {
        let place = self.attrs.placement(hands)?;
        let differing = set_of(change.diff.fields.iter().map(|field| field.name.as_str()));
        let wanted = change.desired.as_ref().map(|paths| &paths.0);
        // Children before their parents, so that each is there to be removed.
        for path in differing.iter().rev() {
            let gone = wanted.and_then(|paths| paths.get(*path)).is_some_and(|words| words == ABSENT);
            if gone {
                hands.remove(&self.dest.join(path))?;
            }
        }
        if !self.dest.is_dir() {
            hands.make_dir(self.dest, place, true)?;
        }
        let mut files = Vec::new();
        for member in self.members.iter().filter(|member| differing.contains(member.path.as_str())) {
            let path = self.dest.join(&member.path);
            self.make_room(hands, &path, member, place)?;
            match kind_of(member) {
                Kind::Dir if path.is_dir() => hands.place(&path, place)?,
                Kind::Dir => {
                    let mode = place.mode.or(member.mode);
                    hands.make_dir(&path, Placement { mode, ..place }, false)?;
                }
                Kind::Link => {
                    hands.link(&path, member.link.as_deref().unwrap_or_default())?;
                    if place.uid.is_some() || place.gid.is_some() {
                        hands.place_link(&path, place)?;
                    }
                }
                _ => {
                    let same = hands.look(&path)?.is_some_and(|look| look.kind == Kind::File)
                        && hands.content(&path)?.map(|content| content.sha256) == member.sha256;
                    match same {
                        true => hands.place(&path, Placement { mode: member.mode, ..place })?,
                        false => files.push((path, member)),
                    }
                }
            }
        }
        for files in files.chunks(BATCH) {
            Self::write(hands, files, place)?;
        }
        hands.settle(self.dest);
        Ok(())
    }

    /// What the change means to later steps of a check.
    pub(crate) fn effects(&self, desired: Option<&Paths>) -> Vec<Effect> {
        let dir = |path: &Path| Effect::Path(path.to_owned(), Planned { kind: Some(Kind::Dir), ..Planned::default() });
        let mut effects: Vec<Effect> = self.dest.ancestors().filter(|path| !path.exists()).map(dir).collect();
        let mut parents = BTreeSet::new();
        for member in self.members {
            let path = self.dest.join(&member.path);
            let above = path.ancestors().skip(1).take_while(|above| *above != self.dest);
            for above in above.filter(|above| !above.exists()) {
                if parents.insert(above.to_owned()) {
                    effects.push(dir(above));
                }
            }
            let kind = kind_of(member);
            let content =
                member.sha256.as_ref().map(|sha256| Content { sha256: sha256.clone(), size: member.size, text: None });
            let mode = if kind == Kind::Dir { self.attrs.mode } else { member.mode };
            effects.push(Effect::Path(
                path,
                Planned {
                    kind: Some(kind),
                    content,
                    mode,
                    owner: self.attrs.owner.clone(),
                    group: self.attrs.group.clone(),
                    target: member.link.clone(),
                    ..Planned::default()
                },
            ));
        }
        let gone = desired.iter().flat_map(|paths| &paths.0).filter(|(_, words)| *words == ABSENT);
        effects.extend(gone.map(|(path, _)| Effect::Gone(self.dest.join(path))));
        effects
    }

    fn write(hands: &Hands, files: &[(PathBuf, &Member)], place: Placement) -> Result {
        let digests: Vec<String> = files.iter().filter_map(|(_, member)| member.sha256.clone()).collect();
        if digests.is_empty() {
            return Ok(());
        }
        let mut stream = hands.blobs(&digests)?;
        let written = files.iter().try_for_each(|(path, member)| {
            let sha256 = member.sha256.as_deref().unwrap_or_default();
            let place = Placement { mode: member.mode, ..place };
            hands.write_one_of_many(path, &mut stream.by_ref().take(member.size), sha256, place)
        });
        // What is still under way belongs to this stream, and must not be taken for the next thing.
        let _ = std::io::copy(&mut stream, &mut sink().by_ref());
        written
    }

    /// Makes the directories above a member, and clears away what is of another kind.
    fn make_room(&self, hands: &Hands, path: &Path, member: &Member, place: Placement) -> Result {
        let above: Vec<&Path> =
            path.ancestors().skip(1).take_while(|above| *above != self.dest).filter(|above| !above.is_dir()).collect();
        for dir in above.into_iter().rev() {
            hands.make_dir(dir, place, false)?;
        }
        let Some(look) = hands.look(path)? else { return Ok(()) };
        if (kind_of(member) == Kind::Dir) == (look.kind == Kind::Dir) {
            return Ok(());
        }
        // Only where everything else may be removed too; `actual` has refused it otherwise.
        hands.remove(path)
    }

    /// What is below `dir` and no member. A directory is one extra, unless something in it is to be kept.
    fn extras(
        &self,
        probe: &Probe,
        dir: &str,
        kept: &[Glob],
        members: &BTreeSet<&str>,
        found: &mut BTreeMap<String, String>,
    ) -> Result<bool> {
        let mut all_gone = true;
        for name in probe.list(&self.dest.join(dir))?.unwrap_or_default() {
            let path = if dir.is_empty() { name } else { format!("{dir}/{name}") };
            let below = format!("{path}/");
            let holds_members = members.range(below.as_str()..).next().is_some_and(|next| next.starts_with(&below));
            if kept.iter().any(|glob| glob.fits(&path)) {
                all_gone = false;
                continue;
            }
            let Some(look) = probe.look(&self.dest.join(&path))? else {
                if path.contains(char::REPLACEMENT_CHARACTER) {
                    let place = self.dest.join(dir);
                    return Err(Error::step(format!(
                        "`{}` has a name in it that is not UTF-8: `{path}`",
                        place.display()
                    ))
                    .hint("`exclude` with a pattern leaves it alone"));
                }
                continue;
            };
            let is_member = members.contains(path.as_str()) || holds_members;
            let mut goes = !is_member;
            if look.kind == Kind::Dir && (is_member || !kept.is_empty()) {
                goes &= self.extras(probe, &path, kept, members, found)?;
            }
            all_gone &= goes;
            if goes {
                let size = look.size;
                let words = match look.kind {
                    Kind::File => format!("{size} bytes"),
                    Kind::Dir => "a directory".to_owned(),
                    Kind::Link => "a link".to_owned(),
                    Kind::Other => "something".to_owned(),
                };
                found.insert(path, words);
            }
        }
        Ok(all_gone)
    }

    fn wanted(&self, member: &Member) -> String {
        let owner = self.attrs.owner.as_deref();
        let group = self.attrs.group.as_deref();
        match kind_of(member) {
            Kind::Dir => {
                let managed = self.manage_dirs;
                let mode = self.attrs.mode.filter(|_| managed);
                words("directory", mode, owner.filter(|_| managed), group.filter(|_| managed))
            }
            Kind::Link => words(&format!("link to {}", member.link.as_deref().unwrap_or_default()), None, owner, group),
            _ => {
                let sha256 = member.sha256.as_deref().unwrap_or_default();
                words(&bytes(member.size, sha256), member.mode, owner, group)
            }
        }
    }

    fn in_words(&self, look: &Look, content: Option<&Content>) -> String {
        let found = self.attrs.in_words(look);
        let owner = self.attrs.owner.as_ref().and(found.owner.as_deref());
        let group = self.attrs.group.as_ref().and(found.group.as_deref());
        match look.kind {
            Kind::Dir => {
                let managed = self.manage_dirs;
                let mode = self.attrs.mode.and(found.mode).filter(|_| managed);
                words("directory", mode, owner.filter(|_| managed), group.filter(|_| managed))
            }
            Kind::Link => words(&format!("link to {}", look.target.as_deref().unwrap_or_default()), None, owner, group),
            Kind::File => {
                let what = content.map_or_else(String::new, |content| bytes(content.size, &content.sha256));
                words(&what, found.mode, owner, group)
            }
            Kind::Other => "something".to_owned(),
        }
    }
}

fn bytes(size: u64, sha256: &str) -> String {
    format!("{size} bytes, {}", sha256.get(..SHOWN_DIGEST).unwrap_or(sha256))
}

fn words(what: &str, mode: Option<u32>, owner: Option<&str>, group: Option<&str>) -> String {
    let mut words = what.to_owned();
    if let Some(mode) = mode {
        words += &format!(", {mode:04o}");
    }
    if owner.is_some() || group.is_some() {
        words += &format!(", {}", owner.unwrap_or_default());
    }
    if let Some(group) = group {
        words += &format!(":{group}");
    }
    words
}

/// Whether a directory is there, and none of those that were made for the tree is a link: what is behind a
/// link could be anywhere. `known` begins with the tree's own directory, which may be one.
fn real_dir(probe: &Probe, path: &Path, known: &mut BTreeMap<PathBuf, bool>) -> Result<bool> {
    if let Some(there) = known.get(path) {
        return Ok(*there);
    }
    let there = match path.parent() {
        Some(parent) => real_dir(probe, parent, known)?,
        None => true,
    };
    let there = there
        && match probe.look(path)? {
            None => false,
            Some(Look { kind: Kind::Dir, .. }) => true,
            Some(_) => {
                return Err(Error::step(format!(
                    "`{}` is a link or a file, so nothing is written below it",
                    path.display()
                )));
            }
        };
    known.insert(path.to_owned(), there);
    Ok(there)
}
