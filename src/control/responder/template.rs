//! This side's half of `template`: it is rendered.

use serde_json::{Map, Value};

use super::{Ready, Responder};
use crate::control::resolve::ResolveContext;
use crate::control::{Control, Offers};
use crate::error::Result;
use crate::op::Parameters;
use crate::ops::Template;
use crate::secret::Secrets;
use crate::wire::Attachment;

/// What was rendered.
pub(super) struct Rendered(Ready);

impl Responder for Rendered {
    fn resolve(
        control: &Control,
        wish: &Parameters,
        args: &mut Map<String, Value>,
        context: &ResolveContext,
    ) -> Result<Self> {
        let wish: &Template = wish.of()?;
        let found = control.sources.find(&context.base, &wish.src)?;
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
        Ok(Self(Ready { attachment, offers }))
    }

    fn attachment(&self) -> Attachment {
        self.0.attachment.clone()
    }

    fn offers(&self) -> Option<&Offers> {
        Some(&self.0.offers)
    }
}
