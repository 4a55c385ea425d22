//! This side's part in `unpack` and `download`: artifacts found, archives opened, members chosen and offered.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::Control;
use super::archive::Choice;
use super::artifacts::{MIRROR, Stored, Sums, release_arch};
use super::resolve::{Place, text};
use super::sources::Found;
use crate::error::{Error, Result};
use crate::sys::Payload;

impl Control {
    /// Lists the members wanted of an archive, and offers their bytes.
    pub(super) fn unpack(&self, args: &mut Map<String, Value>, place: &Place) -> Result {
        let (stored, name) = match (text(args, "artifact"), text(args, "src")) {
            (Some(artifact), _) => (self.artifact(&artifact, args, place)?, artifact),
            (None, Some(src)) => match self.sources.find(&place.base, Path::new(&src))? {
                Found::Disk(path) => {
                    let content = self.blobs.measure(&path)?;
                    (Stored { path, sha256: content.sha256, size: content.size }, src)
                }
                Found::BuiltIn(name, _) => return Err(Error::playbook(format!("`{name}` is not a file on disk"))),
            },
            (None, None) => return Ok(()),
        };
        let index = self.archives.index(&stored, &name)?;
        let words = |value: &Value| value.as_str().map(str::to_owned);
        let choice = Choice {
            only: args.get("only").and_then(Value::as_array).map(|only| only.iter().filter_map(words).collect()),
            strip: args.get("strip").and_then(Value::as_u64).and_then(|strip| usize::try_from(strip).ok()),
        };
        let members = choice.of(&index).map_err(|e| {
            let named = Error::playbook(format!("`{name}`: {}", e.message()));
            let named = e.causes().iter().fold(named, Error::because);
            e.hints().iter().fold(named, |error, hint| error.hint(hint.clone()))
        })?;
        let wanted: Arc<[String]> = members.iter().filter_map(|member| member.sha256.clone()).collect();
        for sha256 in wanted.iter() {
            let (archives, index, stored) = (Arc::clone(&self.archives), Arc::clone(&index), stored.clone());
            let (wanted, own) = (Arc::clone(&wanted), sha256.clone());
            self.blobs.offer(sha256, move || Ok(Box::new(archives.open(&stored, &index, &wanted, &own)?)));
        }
        let members =
            serde_json::to_value(&members).map_err(|e| Error::internal("members that do not serialise").because(e))?;
        args.insert("@members".to_owned(), members);
        Ok(())
    }

    /// Fetches a file and offers its bytes.
    pub(super) fn download(&self, args: &mut Map<String, Value>, place: &Place) -> Result {
        let stored = match (text(args, "artifact"), text(args, "url")) {
            (Some(artifact), _) => self.artifact(&artifact, args, place)?,
            (None, Some(url)) => {
                let sums = Sums::of(text(args, "sha256").as_deref(), text(args, "sha512").as_deref())?;
                match sums.is_empty() {
                    true => self.artifacts.unverified(&url)?,
                    false => self.artifacts.cache.fetched(&url, &sums)?,
                }
            }
            (None, None) => return Ok(()),
        };
        let payload = if stored.size <= Payload::INLINE as u64 {
            self.blobs.file(&stored.path)?
        } else {
            self.blobs.offer_file(&stored.path, &stored.sha256, stored.size);
            Payload { sha256: stored.sha256, size: stored.size, inline: None }
        };
        let payload = serde_json::to_value(&payload)
            .map_err(|e| Error::internal("a payload that does not serialise").because(e))?;
        args.insert("@payload".to_owned(), payload);
        Ok(())
    }

    fn artifact(&self, name: &str, args: &Map<String, Value>, place: &Place) -> Result<Stored> {
        let names = (place.names)();
        let mirror = names.get(MIRROR).and_then(Value::as_str).filter(|mirror| !mirror.is_empty());
        let machine = (place.arch)()?;
        let version = text(args, "version");
        let found = self.artifacts.find(name, version.as_deref(), release_arch(&machine), mirror)?;
        self.artifacts.get(&found)
    }
}
