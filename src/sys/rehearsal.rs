//! Looking at new content in a check: by the program that would look at it, in a file that is nobody else's.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::command::{Command, Ran};
use super::probe::Probe;
use super::write::random;
use crate::error::{Context, Error, Kind, Result};

/// A folder that goes when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("mk-check-{:016x}", random()));
        let made = DirBuilder::new().mode(0o700).create(&path);
        made.or_step(|| format!("cannot make the directory `{}`", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Has a program look at the content that `path` is to have. Beside `path` itself, those who watch its folder would see it.
///
/// # Errors
/// When it does not accept the content. Where earlier steps of the check may make it do so, that is only assumed.
pub(super) fn validate(probe: &Probe, path: &Path, bytes: &[u8], words: &[String]) -> Result {
    match look(probe, path, bytes, words) {
        Ok(ran) if ran.success() => Ok(()),
        // What it needs may be among what earlier steps bring.
        Err(e) if e.kind() == Kind::Interrupted => Err(e),
        Ok(_) | Err(_) if probe.is_anything_planned() => {
            probe.assume(format!("`{}` accepts it", words.join(" ")));
            Ok(())
        }
        Ok(ran) => {
            // It may look for other files beside the one that it is given, and then it refuses the old content as well.
            let accepts_old =
                fs::read(path).is_ok_and(|old| look(probe, path, &old, words).is_ok_and(|ran| ran.success()));
            let error = refusal(words, &ran);
            if accepts_old {
                return Err(error.hint("a check has it look at a file in a folder for temporary ones"));
            }
            probe.assume(format!(
                "`{}` accepts it, though in a folder for temporary files it does not",
                words.join(" ")
            ));
            Ok(())
        }
        Err(e) => Err(e),
    }
}

/// Has the program look at content in a file of its own.
fn look(probe: &Probe, path: &Path, bytes: &[u8], words: &[String]) -> Result<Ran> {
    let folder = Folder::new()?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let file = folder.0.join(format!(".{name}.mk-{:016x}", random()));
    let failed = || format!("cannot write `{}`", file.display());
    let mut open = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file).or_step(failed)?;
    open.write_all(bytes).or_step(failed)?;
    drop(open);
    probe.observe(&command(words, &file))
}

/// The command that looks at a file.
pub(super) fn command(words: &[String], file: &Path) -> Command {
    let shown = file.to_string_lossy();
    Command::new(words.iter().map(|word| word.replace("%s", &shown)))
}

/// What it means that the command did not succeed.
pub(super) fn refusal(words: &[String], ran: &Ran) -> Error {
    let error = Error::step(format!("the new content was refused: `{}` {}", words.join(" "), ran.ending()));
    match ran.tail() {
        tail if tail.is_empty() => error,
        tail => error.note(tail),
    }
}
