//! Content that hosts may ask for, by digest. A host can get nothing that was not offered in a step.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Context, Error, Kind, Result};
use crate::sys::{Digests, Payload};

/// Opens some content once more.
type Opener = Arc<dyn Fn() -> Result<Box<dyn Read + Send>> + Send + Sync>;

/// The content on offer. Nothing of it is held in memory but what was given as bytes.
#[derive(Default)]
pub struct Blobs {
    offers: Mutex<HashMap<String, Opener>>,
    digests: Mutex<Digests>,
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
        let content = self.digests.lock().unwrap_or_else(PoisonError::into_inner).content(path);
        let content = content.map_err(|e| e.as_kind(Kind::Playbook))?;
        let content = content.ok_or_else(|| Error::playbook(format!("`{}` does not exist", path.display())))?;
        let path = path.to_owned();
        self.offer(&content.sha256, move || {
            let file = File::open(&path).or_kind(Kind::Playbook, || format!("cannot read `{}`", path.display()))?;
            Ok(Box::new(file))
        });
        Ok(Payload { sha256: content.sha256, size: content.size, inline: None })
    }

    /// Offers what `open` opens, under its digest.
    pub fn offer(&self, sha256: &str, open: impl Fn() -> Result<Box<dyn Read + Send>> + Send + Sync + 'static) {
        self.lock().insert(sha256.to_owned(), Arc::new(open));
    }

    /// Opens what is on offer under a digest.
    ///
    /// # Errors
    /// When nothing is: the host asks for something it was not offered.
    pub fn open(&self, sha256: &str) -> Result<Box<dyn Read + Send>> {
        let offer = self.lock().get(sha256).cloned();
        let open =
            offer.ok_or_else(|| Error::new(Kind::Protocol, format!("the content `{sha256}` was never offered")))?;
        open()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Opener>> {
        self.offers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
