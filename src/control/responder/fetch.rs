//! This side's half of `fetch`: where a host's file goes, and the writing of it.

use std::collections::HashMap;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use super::{Responder, TwoSided, unasked};
use crate::change::{Content, hex};
use crate::control::resolve::ResolveContext;
use crate::control::{Blobs, Control};
use crate::error::{Context, Error, Result};
use crate::op::FileMode;
use crate::ops::Fetch;
use crate::wire::{Attachment, Mode};

/// Which host's file, and which of its files, each file on this side is.
pub(crate) type Fetched = Mutex<HashMap<PathBuf, (String, String)>>;

/// Takes a host's file in. Where it goes is this side's alone to say.
struct Taker {
    path: PathBuf,
    mode: u32,
    limit: u64,
    run: Mode,
    blobs: Arc<Blobs>,
}

impl TwoSided for Fetch {
    fn resolve(
        &self,
        control: &Control,
        _args: &mut Map<String, Value>,
        context: &ResolveContext,
    ) -> Result<Arc<dyn Responder>> {
        let src = self.src.to_string_lossy();
        let path = destination(control.sources.project(), &self.dest, &src, context.host)?;
        let mut fetched = control.fetched.lock().unwrap_or_else(PoisonError::into_inner);
        let own = (context.host.to_owned(), src.into_owned());
        let known = fetched.entry(path.clone()).or_insert_with(|| own.clone());
        if *known != own {
            let error = Error::playbook(format!("`{}` is already `{}` of `{}`", path.display(), known.1, known.0));
            return Err(error.hint("`{name}` in `dest` stands for the host's name"));
        }
        let blobs = Arc::clone(&control.blobs);
        Ok(Arc::new(Taker { path, mode: self.mode.0, limit: self.limit, run: context.mode, blobs }))
    }
}

impl Responder for Taker {
    fn attachment(&self) -> Attachment {
        Attachment::Destination(self.path.clone())
    }

    /// What is at the file's place now, in the words of the operation's state.
    fn answer(&self, _question: &Value) -> Result<Value> {
        let failed = || format!("cannot look at `{}`", self.path.display());
        let meta = match std::fs::symlink_metadata(&self.path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Value::Null),
            meta => meta.or_step(failed)?,
        };
        if !meta.is_file() {
            return Err(Error::step(format!("`{}` on the control side is not a file", self.path.display())));
        }
        let content = self.blobs.measure(&self.path)?;
        let mode = FileMode(meta.mode() & 0o7777);
        Ok(json!({ "path": self.path, "content": Content { text: None, ..content }, "mode": mode }))
    }

    fn take(&self, sha256: &str, size: u64) -> Result<Box<dyn Write + Send>> {
        if self.run != Mode::Apply || size > self.limit {
            return Err(unasked(&format!("sends {size} bytes")));
        }
        let failed = || format!("cannot write `{}`", self.path.display());
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        std::fs::create_dir_all(folder).or_step(failed)?;
        // It is nobody else's to read from the start.
        let file = NamedTempFile::with_prefix_in(".mk-fetch-", folder).or_step(failed)?;
        let (path, sha256) = (self.path.clone(), sha256.to_owned());
        Ok(Box::new(Incoming { file: Some(file), path, mode: self.mode, hash: Sha256::new(), left: size, sha256 }))
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
        let blobs = Arc::new(Blobs::default());
        let taker = Taker { path: folder.join("a/f"), mode: 0o640, limit: 100, run: Mode::Apply, blobs };
        taker.take(sha256, size).unwrap()
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
