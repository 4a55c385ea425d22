//! This side's half of `download`: the file is fetched, once for all hosts, and its sum held against what was named.

use serde_json::{Map, Value};

use super::{Ready, Responder};
use crate::control::artifacts::Sums;
use crate::control::resolve::ResolveContext;
use crate::control::{Control, Offers};
use crate::error::{Error, Result};
use crate::op::Parameters;
use crate::ops::Download;
use crate::wire::{Attachment, Payload};

/// The file that was fetched.
pub(super) struct Fetched(Ready);

impl Responder for Fetched {
    fn resolve(
        control: &Control,
        wish: &Parameters,
        _args: &mut Map<String, Value>,
        context: &ResolveContext,
    ) -> Result<Self> {
        let wish: &Download = wish.of()?;
        let stored = match (&wish.artifact, &wish.url) {
            (Some(artifact), _) => control.artifact(artifact, wish.version.as_deref(), context)?,
            (None, Some(url)) => {
                let sums = Sums::of(wish.sha256.as_deref(), wish.sha512.as_deref())?;
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
        Ok(Self(Ready { attachment: Attachment::Content(payload), offers }))
    }

    fn attachment(&self) -> Attachment {
        self.0.attachment.clone()
    }

    fn offers(&self) -> Option<&Offers> {
        Some(&self.0.offers)
    }
}
