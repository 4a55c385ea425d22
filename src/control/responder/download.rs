//! This side's half of `download`: the file is fetched, once for all hosts, and its sum held against what was named.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Ready, Responder, TwoSided};
use crate::control::Control;
use crate::control::artifacts::Sums;
use crate::control::resolve::ResolveContext;
use crate::error::{Error, Result};
use crate::ops::Download;
use crate::wire::{Attachment, Payload};

impl TwoSided for Download {
    fn resolve(
        &self,
        control: &Control,
        _args: &mut Map<String, Value>,
        context: &ResolveContext,
    ) -> Result<Arc<dyn Responder>> {
        let stored = match (&self.artifact, &self.url) {
            (Some(artifact), _) => context.artifact(&control.artifacts, artifact, self.version.as_deref())?,
            (None, Some(url)) => {
                let sums = Sums::of(self.sha256.as_deref(), self.sha512.as_deref())?;
                match sums.is_empty() {
                    true => control.artifacts.unverified(url)?,
                    false => control.artifacts.cache.fetched(url, &sums)?,
                }
            }
            (None, None) => return Err(Error::internal("a download of nothing")),
        };
        let mut offers = control.blobs.offers();
        let payload = if stored.size <= Payload::INLINE as u64 {
            control.blobs.file(&mut offers, &stored.path)?
        } else {
            offers.file(&stored.path, &stored.sha256, stored.size);
            Payload { sha256: stored.sha256, size: stored.size, inline: None }
        };
        Ok(Ready::responder(Attachment::Content(payload), offers))
    }
}
