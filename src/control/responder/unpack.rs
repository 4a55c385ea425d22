//! This side's half of `unpack`: the archive is opened, and the members that are wanted are on offer.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Ready, Responder};
use crate::control::archive::Choice;
use crate::control::artifacts::Stored;
use crate::control::resolve::ResolveContext;
use crate::control::{Control, Found, Offers};
use crate::error::{Error, Result};
use crate::op::Parameters;
use crate::ops::Unpack;
use crate::wire::Attachment;

/// The members of an archive.
pub(super) struct Archive(Ready);

impl Responder for Archive {
    fn resolve(
        control: &Control,
        wish: &Parameters,
        _args: &mut Map<String, Value>,
        context: &ResolveContext,
    ) -> Result<Self> {
        let wish: &Unpack = wish.of()?;
        let (stored, name) = match (&wish.artifact, &wish.src) {
            (Some(artifact), _) => (control.artifact(artifact, wish.version.as_deref(), context)?, artifact.clone()),
            (None, Some(src)) => match control.sources.find(&context.base, src)? {
                Found::Disk(path) => {
                    let content = control.blobs.measure(&path)?;
                    (Stored { path, sha256: content.sha256, size: content.size }, src.display().to_string())
                }
                Found::BuiltIn(name, _) => return Err(Error::playbook(format!("`{name}` is not a file on disk"))),
            },
            (None, None) => return Err(Error::internal("no archive to unpack")),
        };
        let index = control.archives.index(&stored, &name)?;
        let choice = Choice { only: wish.only.clone(), strip: wish.strip };
        let members = choice.of(&index).map_err(|e| e.named(&format!("`{name}`")))?;
        let wanted: Arc<[String]> = members.iter().filter_map(|member| member.sha256.clone()).collect();
        let mut offers = control.blobs.offers();
        for sha256 in wanted.iter() {
            let (archives, index, stored) = (Arc::clone(&control.archives), Arc::clone(&index), stored.clone());
            let (wanted, own) = (Arc::clone(&wanted), sha256.clone());
            offers.add(sha256, move || Ok(Box::new(archives.open(&stored, &index, &wanted, &own)?)));
        }
        Ok(Self(Ready { attachment: Attachment::Members(members), offers }))
    }

    fn attachment(&self) -> Attachment {
        self.0.attachment.clone()
    }

    fn offers(&self) -> Option<&Offers> {
        Some(&self.0.offers)
    }
}
