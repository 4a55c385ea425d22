//! Whether what is mounted at a place comes from where a wish says: the same device has many names.

use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::table::Mounted;
use crate::error::{Error, Result};
use crate::sys::{Command, Probe};

/// The words that find a device by what is written on it.
const TAGS: [&str; 4] = ["UUID", "LABEL", "PARTUUID", "PARTLABEL"];

/// Whether options ask for a directory or a file to be seen at another place too.
fn is_bind(options: &str) -> bool {
    options.split(',').any(|option| matches!(option, "bind" | "rbind"))
}

/// The device of a tag; anything else as it stands.
fn device(probe: &Probe, wanted: &str) -> Result<PathBuf> {
    if wanted.split_once('=').is_none_or(|(tag, _)| !TAGS.contains(&tag)) {
        return Ok(wanted.into());
    }
    let ran = probe.observe(&Command::parsed(["findfs", wanted]))?;
    match ran.text() {
        path if ran.success() && !path.is_empty() => Ok(path.into()),
        _ => Err(Error::step(format!("no device of this host has `{wanted}`"))),
    }
}

/// A device's number as the kernel's tables write it.
fn number(meta: &Metadata) -> String {
    format!("{}:{}", rustix::fs::major(meta.rdev()), rustix::fs::minor(meta.rdev()))
}

/// Whether `mounted`, at `place`, is what a wish with this source and these options would mount there.
///
/// # Errors
/// When the device of a tag is not on the host.
pub(super) fn is_same(probe: &Probe, mounted: &Mounted, place: &str, wanted: &str, options: &str) -> Result<bool> {
    if is_bind(options) {
        let of = |path: &str| fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()));
        return Ok(of(wanted).is_some_and(|wanted| Some(wanted) == of(place)));
    }
    let path = device(probe, wanted)?;
    match fs::metadata(&path).ok().filter(|_| path.is_absolute()) {
        Some(meta) if meta.file_type().is_block_device() => {
            // Some file systems have a number of their own, and name their device.
            let named = fs::metadata(&mounted.source).ok().filter(|named| named.file_type().is_block_device());
            let same = number(&meta) == mounted.device || named.is_some_and(|named| named.rdev() == meta.rdev());
            Ok(same && is_same_part(mounted, options))
        }
        Some(meta) if meta.is_file() => {
            let loops = Path::new("/sys/dev/block").join(&mounted.device).join("loop/backing_file");
            let backing = fs::read_to_string(loops).unwrap_or_default();
            Ok(fs::canonicalize(&path).is_ok_and(|path| path == Path::new(backing.trim_end_matches('\n'))))
        }
        _ => Ok(is_same_name(mounted, wanted)),
    }
}

/// Whether it is the whole of a device, or the wished part of one that has several.
fn is_same_part(mounted: &Mounted, options: &str) -> bool {
    let part = options.split(',').find_map(|option| option.strip_prefix("subvol="));
    match part {
        Some(part) => mounted.root.trim_matches('/') == part.trim_matches('/'),
        None => mounted.root == "/" || mounted.fstype == "btrfs",
    }
}

/// Whether a name that is no device of the host is the same: a share's, or one that only people read.
fn is_same_name(mounted: &Mounted, wanted: &str) -> bool {
    // Programs of users show what they like. Where no device is, many write the type or a word that says so.
    let idle = |name: &str| matches!(name, "none" | "nodev") || name == mounted.fstype;
    let bare = |name: &str| name.trim_end_matches('/').to_owned();
    mounted.fstype.starts_with("fuse") || idle(wanted) || idle(&mounted.source) || bare(wanted) == bare(&mounted.source)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_whatever_stands_for_no_device() {
        let mounted = |fstype: &str, source: &str| Mounted {
            device: "0:50".into(),
            root: "/".into(),
            fstype: fstype.into(),
            source: source.into(),
            options: Vec::new(),
        };
        let share = mounted("nfs4", "files.example:/a");
        assert!(is_same_name(&share, "files.example:/a/") && !is_same_name(&share, "files.example:/b"));
        assert!(is_same_name(&mounted("tmpfs", "tmpfs"), "none") && is_same_name(&mounted("proc", "none"), "proc"));
        assert!(is_same_name(&mounted("fuse.sshfs", "x"), "y") && !is_same_name(&mounted("tmpfs", "one"), "two"));
    }

    #[test]
    fn a_part_of_a_device_is_not_the_whole() {
        let part = |fstype: &str, root: &str| Mounted {
            device: "8:1".into(),
            root: root.into(),
            fstype: fstype.into(),
            source: "/dev/sda1".into(),
            options: Vec::new(),
        };
        assert!(is_same_part(&part("ext4", "/"), "ro") && !is_same_part(&part("ext4", "/srv"), "ro"));
        let sub = part("btrfs", "/@home");
        assert!(is_same_part(&sub, "subvol=@home,ro") && !is_same_part(&sub, "subvol=/@") && is_same_part(&sub, "ro"));
    }
}
