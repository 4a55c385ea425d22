//! This side's part in `fetch`: where a host's file goes, and the writing of it.

use std::collections::HashMap;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use super::Control;
use super::resolve::{Place, text};
use crate::change::{Content, hex};
use crate::error::{Context, Error, Kind, Result};
use crate::op::FileMode;
use crate::ops::Fetch;
use crate::wire::{Mode, Request};

/// Which host's file, and which of its files, each file on this side is.
pub(super) type Fetched = Mutex<HashMap<PathBuf, (String, String)>>;

impl Control {
    /// Works out where a host's file goes.
    pub(super) fn fetch(&self, args: &mut Map<String, Value>, place: &Place) -> Result {
        let (Some(src), dest) = (text(args, "src"), text(args, "dest")) else { return Ok(()) };
        let dest = dest.unwrap_or_else(|| "fetched/".to_owned());
        let path = destination(self.sources.project(), &dest, &src, place.host)?;
        let mut fetched = self.fetched.lock().unwrap_or_else(PoisonError::into_inner);
        let own = (place.host.to_owned(), src);
        let known = fetched.entry(path.clone()).or_insert_with(|| own.clone());
        if *known != own {
            let error = Error::playbook(format!("`{}` is already `{}` of `{}`", path.display(), known.1, known.0));
            return Err(error.hint("`{name}` in `dest` stands for the host's name"));
        }
        args.insert("@path".to_owned(), Value::from(path.display().to_string()));
        Ok(())
    }
}

/// The path of a file on this side, which is always below the project: a part of `dest` may come from a host.
fn destination(project: &Path, dest: &str, src: &str, host: &str) -> Result<PathBuf> {
    let plain = |path: &Path| path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    let mut name = Path::new(host).components();
    if !matches!((name.next(), name.next()), (Some(Component::Normal(_)), None)) {
        return Err(Error::playbook(format!("`{host}` cannot be a file's name")));
    }
    let mut path = PathBuf::from(dest.replace("{name}", host));
    if dest.ends_with('/') {
        path = path.join(host).join(src.trim_start_matches('/'));
    }
    let inside = path.strip_prefix(project).unwrap_or(&path);
    if !plain(inside) || inside.file_name().is_none() {
        let error = Error::playbook(format!("`{dest}` would leave the project's folder `{}`", project.display()));
        return Err(error.hint("`dest` is relative to that folder and has no `..`"));
    }
    Ok(project.join(inside))
}

/// What is at a file's place now, in the words of the operation's state.
///
/// # Errors
/// When something other than a file is there, or it cannot be read.
pub(super) fn answer(request: &Request, blobs: &super::Blobs) -> Result<Value> {
    let path = place(request)?;
    let failed = || format!("cannot look at `{}`", path.display());
    let meta = match std::fs::symlink_metadata(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Value::Null),
        meta => meta.or_step(failed)?,
    };
    if !meta.is_file() {
        return Err(Error::step(format!("`{}` on the control side is not a file", path.display())));
    }
    let content = blobs.measure(&path)?;
    let mode = FileMode(meta.mode() & 0o7777);
    Ok(json!({ "path": path, "content": Content { text: None, ..content }, "mode": mode }))
}

/// Where the bytes of a host's file go. They are in their place once the writer was flushed.
///
/// # Errors
/// When the step may not write, sends more than it may, or the place cannot be written to.
pub(super) fn take(request: &Request, sha256: &str, size: u64) -> Result<Box<dyn Write + Send>> {
    let wanted: Fetch = serde_json::from_value(request.args.clone())
        .map_err(|e| Error::internal("a step that cannot be read").because(e))?;
    if request.mode != Mode::Apply || size > wanted.limit {
        return Err(Error::new(Kind::Protocol, format!("the host sends {size} bytes nobody asked for")));
    }
    let path = place(request)?;
    let failed = || format!("cannot write `{}`", path.display());
    let folder = path.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(folder).or_step(failed)?;
    // It is nobody else's to read from the start.
    let file = NamedTempFile::with_prefix_in(".mk-fetch-", folder).or_step(failed)?;
    let sha256 = sha256.to_owned();
    Ok(Box::new(Incoming { file: Some(file), path, mode: wanted.mode.0, hash: Sha256::new(), left: size, sha256 }))
}

fn place(request: &Request) -> Result<PathBuf> {
    let path = request.args.get("@path").and_then(Value::as_str).map(PathBuf::from);
    path.ok_or_else(|| Error::internal("a step whose `dest` was not worked out"))
}

/// A file on its way in. Dropped before its end, it leaves nothing.
struct Incoming {
    file: Option<NamedTempFile>,
    path: PathBuf,
    mode: u32,
    hash: Sha256,
    left: u64,
    sha256: String,
}

impl Write for Incoming {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.left = self.left.checked_sub(bytes.len() as u64).ok_or_else(|| io::Error::other("it is too long"))?;
        self.hash.update(bytes);
        self.file.as_mut().ok_or_else(|| io::Error::other("it has ended already"))?.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        let Some(mut file) = self.file.take() else { return Ok(()) };
        if hex(&self.hash.finalize_reset()) != self.sha256 {
            return Err(io::Error::other("the file was changed while it was read"));
        }
        file.flush()?;
        file.as_file().set_permissions(std::fs::Permissions::from_mode(self.mode))?;
        file.as_file().sync_all()?;
        file.persist(&self.path).map_err(|e| e.error).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn goes(dest: &str, src: &str) -> String {
        destination(Path::new("/p"), dest, src, "h1")
            .map_or_else(|e| e.message().to_owned(), |p| p.display().to_string())
    }

    #[test]
    fn a_file_goes_below_the_project_and_nowhere_else() {
        assert_eq!(goes("fetched/", "/etc/x"), "/p/fetched/h1/etc/x");
        assert_eq!((goes("{name}.conf", "/x"), goes("/p/out/{name}", "/x")), ("/p/h1.conf".into(), "/p/out/h1".into()));
        for dest in ["../x", "a/../../x", "/etc/passwd", "..", "/p/../x", "/p", "."] {
            assert_eq!(goes(dest, "/x"), format!("`{dest}` would leave the project's folder `/p`"));
        }
        assert!(goes("out/", "/../../etc/x").contains("would leave"));
        assert!(destination(Path::new("/p"), "{name}", "/x", "../h").is_err());
    }

    fn incoming(folder: &Path, sha256: &str, size: u64) -> Box<dyn Write + Send> {
        let args = json!({ "src": "/x", "@path": folder.join("a/f"), "mode": "0640" });
        let request = json!({ "id": 1, "op": "fetch", "args": args, "mode": "apply" });
        take(&serde_json::from_value(request).unwrap(), sha256, size).unwrap()
    }

    #[test]
    fn a_file_is_there_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let sha256 = crate::change::digest(b"bytes");
        let mut cut = incoming(folder.path(), &sha256, 5);
        cut.write_all(b"byt").unwrap();
        drop(cut);
        let mut other = incoming(folder.path(), &sha256, 5);
        other.write_all(b"bytez").unwrap();
        assert!(other.flush().is_err() && incoming(folder.path(), &sha256, 5).write_all(b"too long").is_err());
        assert_eq!(std::fs::read_dir(folder.path().join("a")).unwrap().count(), 0);
        let mut whole = incoming(folder.path(), &sha256, 5);
        whole.write_all(b"bytes").unwrap();
        whole.flush().unwrap();
        let file = folder.path().join("a/f");
        assert_eq!(std::fs::read(&file).unwrap(), b"bytes");
        assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, 0o640);
    }
}
