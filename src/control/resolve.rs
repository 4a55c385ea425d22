//! Turning a step's parameters as the script gave them into those the host gets.

use std::path::Path;

use serde_json::{Map, Value};

use super::sources::{Base, Found};
use super::{Control, sources};
use crate::error::{Error, Result};
use crate::sys::Payload;
use crate::wire::Mode;

/// For whom and from where a step is resolved.
pub struct Place<'a> {
    /// The script that makes the call.
    pub base: sources::Base,
    /// What templates can name: the host's variables, `host` and so on. Few steps ask.
    pub names: &'a dyn Fn() -> Map<String, Value>,
    /// The host.
    pub host: &'a str,
    /// Check or apply: a check leaves nothing behind on this side either.
    pub mode: Mode,
    /// The architecture of the host, as its kernel names it. Asking connects to the host when nothing has yet.
    pub arch: &'a dyn Fn() -> Result<String>,
}

impl Control {
    /// Fills in what lives on this side.
    ///
    /// # Errors
    /// A missing file, or a template that does not render.
    pub fn resolve(&self, op: &str, args: &mut Map<String, Value>, place: &Place) -> Result {
        match op {
            "copy" => self.copy(args, &place.base),
            "template" => self.template(args, place),
            "cert" => self.cert(args),
            "download" => self.download(args, place),
            "fetch" => self.fetch(args, place),
            "tree" => self.tree(args, place),
            "unpack" => self.unpack(args, place),
            _ => Ok(()),
        }
    }

    fn copy(&self, args: &mut Map<String, Value>, base: &Base) -> Result {
        let payload = match (text(args, "src"), text(args, "content")) {
            (Some(src), _) => match self.sources.find(base, Path::new(&src))? {
                Found::Disk(path) if path.is_dir() => {
                    return Err(
                        Error::playbook(format!("`{}` is a folder", path.display())).hint("`host.tree` copies folders")
                    );
                }
                Found::Disk(path) => self.blobs.file(&path)?,
                Found::BuiltIn(_, bytes) => self.blobs.bytes(bytes.to_vec()),
            },
            // A text that carries a secret's token is measured only once the secret is in it, on the host.
            (None, Some(content)) if crate::secret::Secrets::is_tainted(&content) => return Ok(()),
            (None, Some(content)) => self.blobs.bytes(content.into_bytes()),
            (None, None) => return Ok(()),
        };
        fill(args, &payload)
    }

    fn cert(&self, args: &mut Map<String, Value>) -> Result {
        let Some(name) = text(args, "ca") else { return Ok(()) };
        let authority = self.authorities.get(&name)?;
        args.insert("@authority".to_owned(), Value::from(authority.fingerprint));
        Ok(())
    }

    fn template(&self, args: &mut Map<String, Value>, place: &Place) -> Result {
        let Some(src) = text(args, "src") else { return Ok(()) };
        let found = self.sources.find(&place.base, Path::new(&src))?;
        let mut names = (place.names)();
        if let Some(Value::Object(vars)) = args.remove("vars") {
            names.extend(vars);
        }
        let rendered = self.templates.render(&found.name(), &found.text()?, &names)?;
        if crate::secret::Secrets::is_tainted(&rendered) {
            args.insert("@text".to_owned(), Value::from(rendered));
            return Ok(());
        }
        fill(args, &self.blobs.bytes(rendered.into_bytes()))
    }
}

pub(super) fn text(args: &Map<String, Value>, name: &str) -> Option<String> {
    args.get(name).and_then(Value::as_str).map(str::to_owned)
}

fn fill(args: &mut Map<String, Value>, payload: &Payload) -> Result {
    let value =
        serde_json::to_value(payload).map_err(|e| Error::internal("a payload that does not serialise").because(e))?;
    args.insert("@payload".to_owned(), value);
    // The bytes are in the payload; sending them twice would only cost.
    if args.get("src").is_none() {
        args.insert("content".to_owned(), Value::from(""));
    }
    Ok(())
}
