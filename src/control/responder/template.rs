//! This side's half of `template`: it is rendered.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Ready, Responder, TwoSided};
use crate::control::Control;
use crate::control::resolve::ResolveContext;
use crate::error::Result;
use crate::ops::Template;
use crate::secret::Secrets;
use crate::wire::Attachment;

impl TwoSided for Template {
    const READ_HERE: &'static [&'static str] = &["src"];
    const SOURCE: Option<&'static str> = Some("src");

    fn resolve(
        &self,
        control: &Control,
        args: &mut Map<String, Value>,
        context: &ResolveContext,
    ) -> Result<Arc<dyn Responder>> {
        let found = control.sources.find(&context.base, &self.src)?;
        let mut names = (context.names)();
        if let Some(Value::Object(vars)) = args.remove("vars") {
            names.extend(vars);
        }
        let rendered = control.templates.render(&found.name(), &control.sources.code(&found)?, &names)?;
        let mut offers = control.blobs.offers();
        let attachment = match Secrets::is_tainted(&rendered) {
            true => Attachment::Text(rendered),
            false => Attachment::Content(offers.bytes(rendered.into_bytes())),
        };
        Ok(Ready::responder(attachment, offers))
    }
}
