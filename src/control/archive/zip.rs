//! Reading zip, member by member.

use std::io::{Read, Seek};

use ::zip::ZipArchive;

use super::formats::{Budget, MOST_MEMBERS};
use super::{Head, Raw, Visit};
use crate::error::{Context, Error, Result};

/// The longest target of a link, in bytes.
const LONGEST_TARGET: u64 = 4096;

/// The bits of a Unix mode that say what kind of file it is, and those of the kinds that are taken.
const KIND: u32 = 0o170_000;
const FILE: u32 = 0o100_000;
const DIR: u32 = 0o040_000;
const LINK: u32 = 0o120_000;

pub(super) fn walk(file: impl Read + Seek, budget: &Budget, visit: &mut Visit) -> Result {
    let damaged = || "it is no zip archive, or is damaged".to_owned();
    let mut archive = ZipArchive::new(file).or_step(damaged)?;
    if archive.len() > MOST_MEMBERS {
        return Err(Error::step(format!("it has more than {MOST_MEMBERS} members")));
    }
    for index in 0..archive.len() {
        let member = archive.by_index(index).or_step(damaged)?;
        let is_text = std::str::from_utf8(member.name_raw()).is_ok();
        let path = String::from_utf8_lossy(member.name_raw()).into_owned();
        let mode = member.unix_mode().unwrap_or(0);
        // Archives from other systems say nothing of modes and kinds.
        let kind = match mode & KIND {
            0 if path.ends_with('/') => DIR,
            0 => FILE,
            kind => kind,
        };
        let usual = if kind == DIR { 0o755 } else { 0o644 };
        let bits = if mode & 0o7777 == 0 { usual } else { mode & 0o7777 };
        let mut bytes = budget.counted(member);
        let what = match kind {
            _ if !is_text => Raw::Refused("a name that is not UTF-8".to_owned()),
            FILE => Raw::File,
            DIR => Raw::Dir,
            LINK => {
                let mut target = String::new();
                let read = bytes.by_ref().take(LONGEST_TARGET).read_to_string(&mut target);
                read.or_step(|| format!("the archive is damaged in `{path}`"))?;
                Raw::Link(target)
            }
            _ => Raw::Refused("a device or a pipe".to_owned()),
        };
        visit(Head { path, mode: bits, what }, &mut bytes)?;
    }
    Ok(())
}
