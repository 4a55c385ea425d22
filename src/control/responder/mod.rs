//! This side's half of the operations that have one: what travels with a step, and what its host may ask in the
//! middle of it.
//!
//! A responder is made for one step of one host from what the script named, before anything is sent. Whatever the host
//! asks is answered from that alone: it cannot name a path, an authority or a content that the script did not.

mod cert;
mod copy;
mod download;
mod fetch;
mod revived;
mod template;
mod tree;
mod unpack;

use std::io::Write;
use std::sync::Arc;

use serde_json::{Map, Value};

pub(super) use fetch::Fetched;

use super::Control;
use super::offers::Offers;
use super::resolve::ResolveContext;
use crate::error::{Error, Kind, Result};
use crate::op::{Operation, Parameters};
use crate::ops;
use crate::wire::Attachment;

/// Answers the host of one step.
pub trait Responder: Send + Sync {
    /// Makes ready what lives on this side. What the host does not need is taken out of `args`, which travel.
    ///
    /// # Errors
    /// A missing file, a template that does not render, an authority that is not there.
    fn resolve(
        control: &Control,
        wish: &Parameters,
        args: &mut Map<String, Value>,
        context: &ResolveContext,
    ) -> Result<Self>
    where
        Self: Sized;

    /// What travels with the step.
    fn attachment(&self) -> Attachment;

    /// The content that the host may ask for, and no other.
    fn offers(&self) -> Option<&Offers> {
        None
    }

    /// The answer to a question of the operation's half on the host.
    ///
    /// # Errors
    /// The operation's fault; it becomes the step's.
    fn answer(&self, question: &Value) -> Result<Value> {
        let _ = question;
        Err(unasked("asks a question"))
    }

    /// Where bytes that the host sends are written to. It is flushed at their end.
    ///
    /// # Errors
    /// When the step did not ask for any.
    fn take(&self, sha256: &str, size: u64) -> Result<Box<dyn Write + Send>> {
        let _ = (sha256, size);
        Err(unasked("sends content"))
    }
}

type Resolve =
    fn(&Control, &Parameters, &mut Map<String, Value>, &ResolveContext) -> Result<Option<Arc<dyn Responder>>>;

/// The operations that have a half on this side.
static RESPONDERS: &[(&str, Resolve)] = &[
    (ops::Cert::NAME, resolve::<cert::Signer>),
    (ops::Copy::NAME, resolve::<copy::Source>),
    (ops::Download::NAME, resolve::<download::Fetched>),
    (ops::Fetch::NAME, resolve::<fetch::Taker>),
    (ops::Template::NAME, resolve::<template::Rendered>),
    (ops::TreeOf::NAME, resolve::<tree::Folder>),
    (ops::Unpack::NAME, resolve::<unpack::Archive>),
];

fn resolve<R: Responder + 'static>(
    control: &Control,
    wish: &Parameters,
    args: &mut Map<String, Value>,
    context: &ResolveContext,
) -> Result<Option<Arc<dyn Responder>>> {
    R::resolve(control, wish, args, context).map(|responder| Some(Arc::new(responder) as Arc<dyn Responder>))
}

impl Control {
    /// Makes ready what lives on this side; `None` for an operation that has no half here.
    ///
    /// # Errors
    /// As for [`Responder::resolve`].
    pub fn resolve(
        &self,
        op: &str,
        wish: &Parameters,
        args: &mut Map<String, Value>,
        context: &ResolveContext,
    ) -> Result<Option<Arc<dyn Responder>>> {
        let found = RESPONDERS.iter().find(|(name, _)| *name == op);
        found.map_or(Ok(None), |(_, resolve)| resolve(self, wish, args, context))
    }
}

/// The fault of a host that does what its step does not.
pub(crate) fn unasked(what: &str) -> Error {
    Error::new(Kind::Protocol, format!("the host {what} that its step does not call for"))
}

/// Content made ready: what travels of it, and what is on offer.
struct Ready {
    attachment: Attachment,
    offers: Offers,
}
