//! This side's half of a notified step that an earlier run kept: with the content of then, whatever has become of its
//! sources.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Ready, Responder};
use crate::control::resolve::ResolveContext;
use crate::control::{Base, Control};
use crate::error::{Error, Result};
use crate::ops;
use crate::state::Kept;
use crate::wire::{Attachment, Mode};

impl Control {
    /// This side's half of a step that is kept; `None` where there is none.
    ///
    /// # Errors
    /// When it asks for what is not there any more.
    pub fn revived(&self, host: &str, kept: &Kept) -> Result<Option<Arc<dyn Responder>>> {
        match &kept.attachment {
            Attachment::None => Ok(None),
            Attachment::Content(_) | Attachment::Text(_) | Attachment::Members(_) => {
                let mut offers = self.blobs.offers();
                let pending = self.state.pending();
                for sha256 in &kept.contents {
                    let path = pending.content(sha256);
                    let size = std::fs::metadata(&path).map(|meta| meta.len()).unwrap_or_default();
                    offers.file(&path, sha256, size);
                }
                Ok(Some(Ready::responder(kept.attachment.clone(), offers)))
            }
            // Those two ask for nothing but what their parameters name.
            Attachment::Authority(_) | Attachment::Destination(_) => {
                let mut args = kept.args.clone();
                let wish = (ops::find(&kept.op)?.check)(Value::Object(args.clone()))?;
                let context = ResolveContext {
                    base: Base::of(&kept.place.file),
                    names: &Map::new,
                    host,
                    mode: Mode::Apply,
                    arch: &|| Err(Error::internal("a kept step that asks for an architecture")),
                };
                let responder = self.resolve(&kept.op, &wish, &mut args, &context)?;
                match responder.as_ref().is_some_and(|responder| responder.attachment() == kept.attachment) {
                    true => Ok(responder),
                    // Another project has authorities and folders of its own, whatever they are called.
                    false => Err(Error::step("another project notified it, which has to run it")),
                }
            }
        }
    }
}
