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
use crate::ops::{Cert, Copy, Download, Fetch, Template, TreeOf, Unpack};
use crate::wire::Attachment;

/// An operation that has a half on this side.
trait TwoSided: Operation {
    /// The parameters whose text this side has to read; all where none is named.
    const READ_HERE: &'static [&'static str] = &[];
    /// The parameter that names a file or folder of this side.
    const SOURCE: Option<&'static str> = None;

    /// Makes ready what lives on this side. What the host does not need is taken out of `args`, which travel.
    ///
    /// # Errors
    /// A missing file, a template that does not render, an authority that is not there.
    fn resolve(
        &self,
        control: &Control,
        args: &mut Map<String, Value>,
        context: &ResolveContext,
    ) -> Result<Arc<dyn Responder>>;
}

/// Answers the host of one step.
pub trait Responder: Send + Sync {
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

type Resolve = fn(&Control, &Parameters, &mut Map<String, Value>, &ResolveContext) -> Result<Arc<dyn Responder>>;

/// The half of an operation, as the table has it.
struct Half {
    name: &'static str,
    read_here: &'static [&'static str],
    source: Option<&'static str>,
    resolve: Resolve,
}

const fn half<O: TwoSided>() -> Half {
    let resolve: Resolve = |control, wish, args, context| wish.of::<O>()?.resolve(control, args, context);
    Half { name: O::NAME, read_here: O::READ_HERE, source: O::SOURCE, resolve }
}

/// The operations that have a half on this side.
static HALVES: &[Half] = &[
    half::<Cert>(),
    half::<Copy>(),
    half::<Download>(),
    half::<Fetch>(),
    half::<Template>(),
    half::<TreeOf>(),
    half::<Unpack>(),
];

fn half_of(op: &str) -> Option<&'static Half> {
    HALVES.iter().find(|half| half.name == op)
}

/// Whether this side has to read the text of a parameter, so that it can hold no secret.
pub(crate) fn is_read_here(op: &str, parameter: &str) -> bool {
    half_of(op).is_some_and(|half| half.read_here.is_empty() || half.read_here.contains(&parameter))
}

/// The parameter of an operation that names a file or folder of this side.
pub(crate) fn source_of(op: &str) -> Option<&'static str> {
    half_of(op)?.source
}

impl Control {
    /// Makes ready what lives on this side; `None` for an operation that has no half here.
    ///
    /// # Errors
    /// As for [`TwoSided::resolve`].
    pub fn resolve(
        &self,
        op: &str,
        wish: &Parameters,
        args: &mut Map<String, Value>,
        context: &ResolveContext,
    ) -> Result<Option<Arc<dyn Responder>>> {
        half_of(op).map(|half| (half.resolve)(self, wish, args, context)).transpose()
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

impl Ready {
    fn responder(attachment: Attachment, offers: Offers) -> Arc<dyn Responder> {
        Arc::new(Self { attachment, offers })
    }
}

impl Responder for Ready {
    fn attachment(&self) -> Attachment {
        self.attachment.clone()
    }

    fn offers(&self) -> Option<&Offers> {
        Some(&self.offers)
    }
}
