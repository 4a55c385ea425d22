//! Content that the host of one step may ask for, by digest: that of its own step, and no other.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::pieces::{Opener, Pieces, Recent, Source};
use crate::change::Content;
use crate::error::{Context, Error, Kind, Result};
use crate::sys::Digests;
use crate::wire::Payload;

/// Contents one after another. One that fails to open ends the stream with its fault.
struct Several {
    waiting: std::vec::IntoIter<Opener>,
    current: Option<Box<dyn Source>>,
}

impl Read for Several {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        loop {
            if let Some(current) = &mut self.current {
                match current.read(buffer)? {
                    0 if !buffer.is_empty() => self.current = None,
                    count => return Ok(count),
                }
            }
            match self.waiting.next() {
                Some(open) => self.current = Some(open().map_err(std::io::Error::other)?),
                None => return Ok(0),
            }
        }
    }
}

/// What all steps share about content: digests that are known, and pieces that were read last.
pub struct Blobs {
    digests: Mutex<Digests>,
    recent: Arc<Recent>,
}

impl Default for Blobs {
    fn default() -> Self {
        Self { digests: Mutex::new(Digests::of_all()), recent: Arc::default() }
    }
}

impl Blobs {
    /// Offers for one step, empty still.
    pub fn offers(&self) -> Offers {
        Offers { openers: HashMap::new(), recent: Arc::clone(&self.recent) }
    }

    /// Offers a file; a short one travels with the request.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn file(&self, offers: &mut Offers, path: &Path) -> Result<Payload> {
        let failed = || format!("cannot read `{}`", path.display());
        let size = std::fs::metadata(path).or_kind(Kind::Playbook, failed)?.len();
        if size <= Payload::INLINE as u64 {
            return Ok(offers.bytes(std::fs::read(path).or_kind(Kind::Playbook, failed)?));
        }
        let content = self.measure(path)?;
        offers.file(path, &content.sha256, content.size);
        Ok(Payload { sha256: content.sha256, size: content.size, inline: None })
    }

    /// The digest and length of a file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn measure(&self, path: &Path) -> Result<Content> {
        let content = self.digests.lock().unwrap_or_else(PoisonError::into_inner).content(path);
        let content = content.map_err(|e| e.as_kind(Kind::Playbook))?;
        content.ok_or_else(|| Error::playbook(format!("`{}` does not exist", path.display())))
    }
}

/// The content on offer to the host of one step. Nothing of it is held in memory but what was given as bytes.
#[derive(Clone)]
pub struct Offers {
    openers: HashMap<String, Opener>,
    recent: Arc<Recent>,
}

impl Offers {
    /// Offers bytes; short ones travel with the request.
    pub fn bytes(&mut self, bytes: Vec<u8>) -> Payload {
        if bytes.len() <= Payload::INLINE {
            return Payload::inline(&bytes);
        }
        let payload = Payload { sha256: crate::change::digest(&bytes), size: bytes.len() as u64, inline: None };
        let bytes: Arc<[u8]> = bytes.into();
        self.add(&payload.sha256, move || Ok(Box::new(Cursor::new(Arc::clone(&bytes)))));
        payload
    }

    /// Offers a file under the digest and length it was measured to have; more than that is never sent.
    pub fn file(&mut self, path: &Path, sha256: &str, size: u64) {
        let path = path.to_owned();
        self.add(sha256, move || {
            let file = File::open(&path).or_kind(Kind::Playbook, || format!("cannot read `{}`", path.display()))?;
            let now = file.metadata().or_kind(Kind::Playbook, || format!("cannot read `{}`", path.display()))?.len();
            if now != size {
                return Err(Error::playbook(format!("`{}` was changed during the run", path.display())));
            }
            Ok(Box::new(file.take(size)))
        });
    }

    /// Offers what `open` opens, under its digest.
    pub fn add(&mut self, sha256: &str, open: impl Fn() -> Result<Box<dyn Source>> + Send + Sync + 'static) {
        self.openers.insert(sha256.to_owned(), Arc::new(open));
    }

    /// What is on offer under a digest. It is opened when its first piece is taken.
    ///
    /// # Errors
    /// When nothing is: the host asks for something it was not offered.
    pub fn open(&self, sha256: &str) -> Result<Pieces> {
        Ok(Pieces::shared(Arc::clone(&self.recent), sha256, Arc::clone(self.opener(sha256)?)))
    }

    /// Opens several, one after another as they are read.
    ///
    /// # Errors
    /// As for [`Offers::open`].
    pub fn open_all(&self, sha256: &[String]) -> Result<Pieces> {
        let waiting = sha256.iter().map(|sha256| self.opener(sha256).map(Arc::clone)).collect::<Result<Vec<_>>>()?;
        Ok(Pieces::own(Box::new(Several { waiting: waiting.into_iter(), current: None })))
    }

    /// The whole of each content, to be read from its beginning.
    ///
    /// # Errors
    /// When one cannot be opened.
    pub fn readers(&self) -> Result<Vec<(&str, Box<dyn Source>)>> {
        self.openers.iter().map(|(sha256, open)| Ok((sha256.as_str(), open()?))).collect()
    }

    fn opener(&self, sha256: &str) -> Result<&Opener> {
        let missing = || Error::new(Kind::Protocol, format!("the content `{sha256}` was never offered to this host"));
        self.openers.get(sha256).ok_or_else(missing)
    }
}
