//! Reading tar, member by member. Long names are read here and not by the library, which would take a name of
//! any length into memory.

use std::io::Read;

use ::tar::{Archive, Entry, EntryType, PaxExtensions};

use super::formats::MOST_MEMBERS;
use super::{Head, Raw, Visit};
use crate::error::{Context, Error, Result};

/// The longest name, target or extended header, in bytes.
const LONGEST_NAME: u64 = 64 * 1024;

/// What the members before a member say about it.
#[derive(Default)]
struct Said {
    path: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    size: Option<u64>,
}

pub(super) fn walk(stream: impl Read, visit: &mut Visit) -> Result {
    let damaged = || "it is no tar archive, or is damaged".to_owned();
    let mut archive = Archive::new(stream);
    let entries = archive.entries().or_step(damaged)?.raw(true);
    let mut said = Said::default();
    let mut count = 0;
    for entry in entries {
        let mut entry = entry.or_step(damaged)?;
        match entry.header().entry_type() {
            EntryType::GNULongName => said.path = Some(name(&mut entry)?),
            EntryType::GNULongLink => said.target = Some(name(&mut entry)?),
            EntryType::XHeader => extended(&mut entry, &mut said)?,
            // What holds for the whole archive is only a comment, as git writes it.
            EntryType::XGlobalHeader => {}
            kind => {
                count += 1;
                if count > MOST_MEMBERS {
                    return Err(Error::step(format!("it has more than {MOST_MEMBERS} members")));
                }
                let head = head(&entry, kind, std::mem::take(&mut said))?;
                visit(head, &mut entry)?;
            }
        }
    }
    Ok(())
}

fn head<R: Read>(entry: &Entry<R>, kind: EntryType, said: Said) -> Result<Head> {
    let header = entry.header();
    let path = said.path.unwrap_or_else(|| header.path_bytes().into_owned());
    let target = said.target.or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned)).unwrap_or_default();
    let is_text = std::str::from_utf8(&path).is_ok() && std::str::from_utf8(&target).is_ok();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let path = text(&path);
    let size = header.entry_size().or_step(|| format!("the archive is damaged in `{path}`"))?;
    if said.size.is_some_and(|said| said != size) {
        return Err(Error::step(format!("`{path}` is larger than mk unpacks")));
    }
    let what = match kind {
        _ if !is_text => Raw::Refused("a name that is not UTF-8".to_owned()),
        // The oldest archives have no type for directories.
        EntryType::Regular | EntryType::Continuous if path.ends_with('/') => Raw::Dir,
        EntryType::Regular | EntryType::Continuous => Raw::File,
        EntryType::Directory => Raw::Dir,
        EntryType::Symlink => Raw::Link(text(&target)),
        EntryType::Link => Raw::Same(text(&target)),
        EntryType::Block | EntryType::Char => Raw::Refused("a device".to_owned()),
        EntryType::Fifo => Raw::Refused("a pipe".to_owned()),
        EntryType::GNUSparse => Raw::Refused("a sparse file".to_owned()),
        _ => Raw::Refused("something of a kind that mk does not know".to_owned()),
    };
    let mode = header.mode().unwrap_or(0o644) & 0o7777;
    Ok(Head { path, mode, what })
}

/// A long name: the whole content of its entry, without the zero at its end.
fn name<R: Read>(entry: &mut Entry<R>) -> Result<Vec<u8>> {
    let mut bytes = content(entry)?;
    if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
        bytes.truncate(end);
    }
    Ok(bytes)
}

fn extended<R: Read>(entry: &mut Entry<R>, said: &mut Said) -> Result {
    let bytes = content(entry)?;
    for record in PaxExtensions::new(&bytes) {
        let record = record.or_step(|| "the archive has a damaged header".to_owned())?;
        let value = record.value_bytes();
        match record.key_bytes() {
            b"path" => said.path = Some(value.to_vec()),
            b"linkpath" => said.target = Some(value.to_vec()),
            b"size" => said.size = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()),
            key if key.starts_with(b"GNU.sparse") => {
                return Err(Error::step("it holds a sparse file, which mk does not unpack"));
            }
            _ => {}
        }
    }
    Ok(())
}

fn content<R: Read>(entry: &mut Entry<R>) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let damaged = || "the archive has a damaged header".to_owned();
    entry.by_ref().take(LONGEST_NAME + 1).read_to_end(&mut bytes).or_step(damaged)?;
    if bytes.len() as u64 > LONGEST_NAME {
        return Err(Error::step(format!("it has a name of more than {LONGEST_NAME} bytes")));
    }
    Ok(bytes)
}
