//! This side's half of `unpack`: the archive is opened, and the members that are wanted are on offer.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Ready, Responder, TwoSided};
use crate::control::archive::Choice;
use crate::control::artifacts::Stored;
use crate::control::resolve::ResolveContext;
use crate::control::{Control, Found};
use crate::error::{Error, Result};
use crate::ops::Unpack;
use crate::wire::Attachment;

impl TwoSided for Unpack {
    const SOURCE: Option<&'static str> = Some("src");

    fn resolve(
        &self,
        control: &Control,
        _args: &mut Map<String, Value>,
        context: &ResolveContext,
    ) -> Result<Arc<dyn Responder>> {
        let (stored, name) = match (&self.artifact, &self.src) {
            (Some(artifact), _) => (control.artifact(artifact, self.version.as_deref(), context)?, artifact.clone()),
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
        let choice = Choice { only: self.only.clone(), strip: self.strip };
        let members = choice.of(&index).map_err(|e| e.named(&format!("`{name}`")))?;
        let wanted: Arc<[String]> = members.iter().filter_map(|member| member.sha256.clone()).collect();
        let mut offers = control.blobs.offers();
        for sha256 in wanted.iter() {
            let (archives, index, stored) = (Arc::clone(&control.archives), Arc::clone(&index), stored.clone());
            let (wanted, own) = (Arc::clone(&wanted), sha256.clone());
            offers.add(sha256, move || Ok(Box::new(archives.open(&stored, &index, &wanted, &own)?)));
        }
        Ok(Ready::responder(Attachment::Members(members), offers))
    }
}
