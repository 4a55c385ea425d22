//! What is mounted in a folder: nothing is removed across that.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use super::probe::Probe;
use crate::error::{Context, Error, Result};

/// What is behind a word of the kernel's table or of an fstab, which have blanks and backslashes as octal numbers.
pub(crate) fn unescaped(word: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = word;
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..3).filter(|_| *first == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = code.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[3..] } else { after };
    }
    bytes
}

/// A place at or below a folder where something is mounted, in a `mountinfo`.
fn at_or_below(mountinfo: &[u8], folder: &Path) -> Option<PathBuf> {
    let places = mountinfo.split(|byte| *byte == b'\n').filter_map(|line| line.split(|byte| *byte == b' ').nth(4));
    places.map(|place| PathBuf::from(OsString::from_vec(unescaped(place)))).find(|place| place.starts_with(folder))
}

impl Probe<'_> {
    /// Refuses to remove a folder in which something is mounted: what is in there lies elsewhere.
    ///
    /// # Errors
    /// When something is, or, in check mode, when an earlier step may unmount it.
    pub(crate) fn refuse_mounts(&self, folder: &Path) -> Result {
        let failed = || format!("cannot see what is mounted in `{}`", folder.display());
        let table = fs::read("/proc/self/mountinfo").or_step(failed)?;
        // The last part may be a link, which is not followed.
        let real = match (folder.parent(), folder.file_name()) {
            (Some(parent), Some(name)) => fs::canonicalize(parent).or_step(failed)?.join(name),
            _ => folder.to_owned(),
        };
        let Some(place) = at_or_below(&table, &real) else { return Ok(()) };
        let message = format!("`{}` is not removed: something is mounted at `{}`", folder.display(), place.display());
        if self.is_anything_planned() {
            return Err(Error::unknown(format!("unless an earlier step unmounts it, {message}")));
        }
        Err(Error::step(message).hint("unmount it in an earlier step: `host.mount`, with `state: \"unmounted\"`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_mounted_in_a_folder_counts_and_names_are_bytes() {
        let table = b"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 0:5 / /srv/a\\040b\\134/\xff rw - tmpfs x rw\n";
        assert_eq!(at_or_below(table, Path::new("/srv")), Some(OsString::from_vec(b"/srv/a b\\/\xff".to_vec()).into()));
        assert!(at_or_below(table, Path::new("/srv/a b\\")).is_some());
        assert_eq!(at_or_below(table, Path::new("/srv/a")), None);
    }
}
