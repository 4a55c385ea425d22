//! Which members of an archive go where, and that none of them can leave the place it is meant for.

use std::collections::BTreeMap;

use super::{Index, Member, MemberKind, plain};
use crate::error::{Error, Result, nearest};
use crate::sys::Glob;
use crate::wire;

/// What is wanted of an archive.
#[derive(Debug, Clone, Default)]
pub(crate) struct Choice {
    /// Names, patterns for names, paths and patterns for paths; `None` for everything.
    pub only: Option<Vec<String>>,
    /// How many folders to leave away from the front of every path.
    pub strip: Option<usize>,
}

impl Choice {
    /// The members as they are to be on the host.
    ///
    /// # Errors
    /// When something wanted is not there, or must not be unpacked.
    pub(crate) fn of(&self, index: &Index) -> Result<Vec<wire::Member>> {
        let mut chosen: BTreeMap<String, (&Member, wire::Member)> = BTreeMap::new();
        for (member, path) in self.placed(index)? {
            let Some(member_there) = safe(member, &path)? else { continue };
            if let Some((first, there)) = chosen.get(&path) {
                // A later member of the same path takes the place of the earlier one, as with tar.
                let same_member = plain(&first.path) == plain(&member.path);
                let same_kind = there.sha256.is_some() == member_there.sha256.is_some();
                if !same_kind || (!same_member && there.sha256 != member_there.sha256) {
                    let both = format!("`{}` and `{}`", first.path, member.path);
                    return Err(Error::step(format!("{both} would both become `{path}`"))
                        .hint("name the one that is wanted by its path in `only`"));
                }
            }
            chosen.insert(path, (member, member_there));
        }
        for path in chosen.keys() {
            let above = path.match_indices('/').map(|(at, _)| &path[..at]);
            for above in above {
                if let Some((first, there)) = chosen.get(above)
                    && (there.sha256.is_some() || there.link.is_some())
                {
                    return Err(refused(first, &format!("`{path}` would be written through it")));
                }
            }
        }
        Ok(chosen.into_values().map(|(_, member)| member).collect())
    }

    /// The members wanted, and where each goes below the target.
    fn placed<'a>(&self, index: &'a Index) -> Result<Vec<(&'a Member, String)>> {
        let stripped = |member: &Member| strip(&plain(&member.path), self.strip.unwrap_or(0));
        let Some(only) = &self.only else {
            let all = index.members.iter().filter_map(|member| Some((member, stripped(member)?)));
            return Ok(all.collect());
        };
        let mut placed = Vec::new();
        for wanted in only {
            let glob = Glob::new(wanted.trim_start_matches("./"))?;
            let before = placed.len();
            for member in &index.members {
                let path = plain(&member.path);
                if path.is_empty() {
                    continue;
                }
                if glob.is_for_names() {
                    if !glob.fits(&path) || member.what == MemberKind::Dir {
                        continue;
                    }
                    let name = path.rsplit('/').next().unwrap_or(&path).to_owned();
                    let to = if self.strip.is_some() { stripped(member) } else { Some(name) };
                    placed.extend(to.map(|to| (member, to)));
                } else if glob.covers(&path) {
                    placed.extend(stripped(member).map(|to| (member, to)));
                }
            }
            if placed.len() == before {
                return Err(nothing(wanted, &glob, index));
            }
        }
        Ok(placed)
    }
}

fn nothing(wanted: &str, glob: &Glob, index: &Index) -> Error {
    let error = Error::step(format!("nothing in the archive fits `{wanted}`"));
    let files = index.members.iter().filter(|member| member.what != MemberKind::Dir).map(|member| plain(&member.path));
    let whole: Vec<String> = files.collect();
    let near = match glob.is_for_names() {
        true => nearest(wanted, whole.iter().map(|path| path.rsplit('/').next().unwrap_or(path))),
        false => nearest(wanted, whole.iter().map(String::as_str)),
    };
    match near {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => {
            let some: Vec<String> = whole.iter().take(20).map(|path| format!("`{path}`")).collect();
            let more = if whole.len() > 20 { " and more" } else { "" };
            error.hint(format!("it has {}{more}", some.join(", ")))
        }
    }
}

/// A path without its first folders; `None` when nothing is left of it.
fn strip(path: &str, folders: usize) -> Option<String> {
    let rest: Vec<&str> = path.split('/').skip(folders).collect();
    Some(rest.join("/")).filter(|rest| !rest.is_empty())
}

fn refused(member: &Member, why: &str) -> Error {
    Error::step(format!("refusing to unpack `{}`", member.path)).because(why)
}

/// A member as it is to be on the host, if nothing about it could reach out of its target.
fn safe(member: &Member, path: &str) -> Result<Option<wire::Member>> {
    // The whole path counts, also what is stripped off it: who packs `../x` means no good.
    for seen in [member.path.as_str(), path] {
        if seen.starts_with('/') {
            return Err(refused(member, "its path is absolute"));
        }
        if seen.split('/').any(|part| part == "..") {
            return Err(refused(member, "its path leads out of the target"));
        }
        if seen.contains(['\0', '\n']) {
            return Err(refused(member, "its path has a letter in it that no path should have"));
        }
        if seen.split('/').any(|part| part.len() > 255) || seen.len() > 4000 {
            return Err(refused(member, "its path is too long"));
        }
    }
    if member.mode & 0o6000 != 0 && matches!(member.what, MemberKind::File { .. } | MemberKind::Dir) {
        return Err(refused(member, "it would run as its owner or group whoever starts it (setuid or setgid)"));
    }
    // Nobody but the owner may write to what comes out of an archive.
    let mode = member.mode & 0o755;
    Ok(Some(match &member.what {
        MemberKind::File { sha256, size } => wire::Member::file(path, sha256, *size, mode),
        MemberKind::Dir => wire::Member::dir(path, Some(mode | 0o700)),
        MemberKind::Link(target) if leads_out(path, target) => {
            return Err(refused(member, &format!("it is a link to `{target}`, which is outside of the target")));
        }
        MemberKind::Link(target) => wire::Member::link(path, target),
        MemberKind::Refused(why) => return Err(refused(member, &format!("it is {why}"))),
    }))
}

/// Whether a link could lead out of the target. Climbing is allowed at the front only, and not further than the
/// target: behind the name of another link, `..` would be counted from wherever that one leads.
fn leads_out(path: &str, target: &str) -> bool {
    if target.is_empty() || target.starts_with('/') || target.contains(['\0', '\n']) {
        return true;
    }
    let depth = path.split('/').count() - 1;
    let mut parts = target.split('/').filter(|part| !part.is_empty() && *part != ".").peekable();
    let mut climbed = 0;
    while parts.next_if(|part| *part == "..").is_some() {
        climbed += 1;
    }
    climbed > depth || parts.any(|part| part == "..")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(path: &str) -> Member {
        Member { path: path.to_owned(), mode: 0o755, what: MemberKind::File { sha256: format!("of {path}"), size: 1 } }
    }

    fn index(members: Vec<Member>) -> Index {
        Index { members }
    }

    fn chosen(index: &Index, only: Option<&[&str]>, strip: Option<usize>) -> Result<Vec<String>> {
        let only = only.map(|only| only.iter().map(|text| (*text).to_owned()).collect());
        let members = Choice { only, strip }.of(index)?;
        Ok(members.into_iter().map(|member| member.path).collect())
    }

    fn etcd() -> Index {
        let dir = |path: &str| Member { path: path.to_owned(), mode: 0o755, what: MemberKind::Dir };
        index(vec![dir("./etcd-v3/"), file("etcd-v3/etcd"), file("etcd-v3/etcdctl"), file("etcd-v3/doc/README.md")])
    }

    #[test]
    fn names_land_flat_and_paths_are_kept() {
        let of = |only: &[&str], strip| chosen(&etcd(), Some(only), strip).unwrap();
        assert_eq!(of(&["etcd", "etcdctl"], None), ["etcd", "etcdctl"]);
        assert_eq!(of(&["etcd*"], None), ["etcd", "etcdctl"]);
        assert_eq!(of(&["etcd"], Some(0)), ["etcd-v3/etcd"]);
        assert_eq!(of(&["*/etcd"], None), ["etcd-v3/etcd"]);
        assert_eq!(of(&["etcd-v3/doc"], Some(1)), ["doc/README.md"]);
        assert_eq!(chosen(&etcd(), None, Some(1)).unwrap(), ["doc/README.md", "etcd", "etcdctl"]);
        assert_eq!(chosen(&etcd(), None, None).unwrap().len(), 4);
    }

    #[test]
    fn what_fits_nothing_is_a_fault_with_the_nearest_name() {
        let error = chosen(&etcd(), Some(&["etcdctk"]), None).unwrap_err();
        assert_eq!(error.message(), "nothing in the archive fits `etcdctk`");
        assert_eq!(error.hints(), ["did you mean `etcdctl`?"]);
    }

    #[test]
    fn two_members_for_one_path_are_a_fault() {
        let two = index(vec![file("a/x"), file("b/x")]);
        let error = chosen(&two, Some(&["x"]), None).unwrap_err();
        assert_eq!(error.message(), "`a/x` and `b/x` would both become `x`");
        assert_eq!(chosen(&index(vec![file("x"), file("./x")]), None, None).unwrap(), ["x"]);
    }

    #[test]
    fn modes_lose_the_right_to_write_for_others() {
        let open = Member { mode: 0o777, ..file("x") };
        let members = Choice::default().of(&index(vec![open])).unwrap();
        assert_eq!(members[0].mode, Some(0o755));
    }

    #[test]
    fn a_link_may_climb_within_the_target_only() {
        assert!(!leads_out("lib/a", "../b") && !leads_out("a", "b/c") && !leads_out("a", "."));
        assert!(leads_out("a", "../b") && leads_out("a/b", "../../c") && leads_out("a", "/etc"));
        // `b` may itself be a link to the target's own folder.
        assert!(leads_out("a", "b/..") && leads_out("a", ""));
    }

    proptest! {
        #[test]
        fn no_path_leaves_the_target(path in "[a./\\\\]{0,10}", strip in 0..3_usize, flat in any::<bool>()) {
            let only = flat.then(|| vec!["*".to_owned()]);
            let choice = Choice { only, strip: (strip > 0).then_some(strip) };
            if let Ok(members) = choice.of(&index(vec![file(&path)])) {
                for member in members {
                    let normal = std::path::Path::new(&member.path)
                        .components()
                        .all(|part| matches!(part, std::path::Component::Normal(_)));
                    prop_assert!(normal && !path.split('/').any(|part| part == ".."), "{path} became {}", member.path);
                }
            }
        }

        #[test]
        fn no_link_leaves_the_target(path in "[ab]{1,2}(/[ab]){0,2}", target in "[ab./]{0,12}") {
            if !leads_out(&path, &target) {
                let mut depth = path.split('/').count() - 1;
                for part in target.split('/') {
                    match part {
                        "" | "." => {}
                        ".." => depth = depth.checked_sub(1).unwrap(),
                        _ => depth += 1,
                    }
                }
            }
        }
    }
}
