//! This side's half of `copy`: the file is found, or the text taken.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Ready, Responder, TwoSided};
use crate::control::resolve::ResolveContext;
use crate::control::{Control, Found};
use crate::error::{Error, Result};
use crate::ops::Copy;
use crate::secret::Secrets;
use crate::wire::Attachment;

impl TwoSided for Copy {
    const READ_HERE: &'static [&'static str] = &["src"];
    const SOURCE: Option<&'static str> = Some("src");

    fn resolve(
        &self,
        control: &Control,
        args: &mut Map<String, Value>,
        context: &ResolveContext,
    ) -> Result<Arc<dyn Responder>> {
        let mut offers = control.blobs.offers();
        let payload = match &self.src {
            Some(src) => match control.sources.find(&context.base, src)? {
                Found::Disk(path) if path.is_dir() => {
                    let error = Error::playbook(format!("`{}` is a folder", path.display()));
                    return Err(error.hint("`host.tree` copies folders"));
                }
                Found::Disk(path) => control.blobs.file(&mut offers, &path)?,
                Found::BuiltIn(_, bytes) => offers.bytes(bytes.to_vec()),
            },
            None => {
                // As the script wrote it: a secret's token is still in it, and its text is put in on the way.
                let text = args.get("content").and_then(Value::as_str).unwrap_or_default().to_owned();
                // The bytes are in the attachment; sending them twice would only cost.
                args.insert("content".to_owned(), Value::from(""));
                if Secrets::is_tainted(&text) {
                    return Ok(Ready::responder(Attachment::Text(text), offers));
                }
                offers.bytes(text.into_bytes())
            }
        };
        Ok(Ready::responder(Attachment::Content(payload), offers))
    }
}
