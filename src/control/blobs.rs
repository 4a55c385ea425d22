//! Content that hosts may ask for, by digest. A host can get nothing that was not offered in a step.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::pieces::{Opener, Pieces, Recent, Source};
use crate::change::Content;
use crate::error::{Context, Error, Kind, Result};
use crate::sys::{Digests, Payload};

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

/// The content on offer. Nothing of it is held in memory but what was given as bytes.
pub struct Blobs {
    offers: Mutex<HashMap<String, Opener>>,
    digests: Mutex<Digests>,
    recent: Arc<Recent>,
}

impl Default for Blobs {
    fn default() -> Self {
        Self { offers: Mutex::default(), digests: Mutex::new(Digests::of_all()), recent: Arc::default() }
    }
}

impl Blobs {
    /// Offers bytes; short ones travel with the request.
    pub fn bytes(&self, bytes: Vec<u8>) -> Payload {
        if bytes.len() <= Payload::INLINE {
            return Payload::inline(&bytes);
        }
        let payload = Payload { sha256: crate::change::digest(&bytes), size: bytes.len() as u64, inline: None };
        let bytes: Arc<[u8]> = bytes.into();
        self.offer(&payload.sha256, move || Ok(Box::new(Cursor::new(Arc::clone(&bytes)))));
        payload
    }

    /// Offers a file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn file(&self, path: &Path) -> Result<Payload> {
        let failed = || format!("cannot read `{}`", path.display());
        let size = std::fs::metadata(path).or_kind(Kind::Playbook, failed)?.len();
        if size <= Payload::INLINE as u64 {
            return Ok(self.bytes(std::fs::read(path).or_kind(Kind::Playbook, failed)?));
        }
        let content = self.measure(path)?;
        self.offer_file(path, &content.sha256, content.size);
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

    /// Offers a file under the digest and length it was measured to have; more than that is never sent.
    pub fn offer_file(&self, path: &Path, sha256: &str, size: u64) {
        let path = path.to_owned();
        self.offer(sha256, move || {
            let file = File::open(&path).or_kind(Kind::Playbook, || format!("cannot read `{}`", path.display()))?;
            let now = file.metadata().or_kind(Kind::Playbook, || format!("cannot read `{}`", path.display()))?.len();
            if now != size {
                return Err(Error::playbook(format!("`{}` was changed during the run", path.display())));
            }
            Ok(Box::new(file.take(size)))
        });
    }

    /// Offers what `open` opens, under its digest.
    pub fn offer(&self, sha256: &str, open: impl Fn() -> Result<Box<dyn Source>> + Send + Sync + 'static) {
        self.lock().insert(sha256.to_owned(), Arc::new(open));
    }

    /// What is on offer under a digest. It is opened when its first piece is taken.
    ///
    /// # Errors
    /// When nothing is: the host asks for something it was not offered.
    pub fn open(&self, sha256: &str) -> Result<Pieces> {
        let offer = self.lock().get(sha256).cloned();
        let open =
            offer.ok_or_else(|| Error::new(Kind::Protocol, format!("the content `{sha256}` was never offered")))?;
        Ok(Pieces::shared(Arc::clone(&self.recent), sha256, open))
    }

    /// Opens several, one after another as they are read.
    ///
    /// # Errors
    /// As for [`Blobs::open`].
    pub fn open_all(&self, sha256: &[String]) -> Result<Pieces> {
        let offers = self.lock();
        let missing = |sha256: &String| Error::new(Kind::Protocol, format!("the content `{sha256}` was never offered"));
        let openers = sha256.iter().map(|sha256| offers.get(sha256).cloned().ok_or_else(|| missing(sha256)));
        let waiting = openers.collect::<Result<Vec<_>>>()?;
        Ok(Pieces::own(Box::new(Several { waiting: waiting.into_iter(), current: None })))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Opener>> {
        self.offers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
