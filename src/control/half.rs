//! The control side's half of a step: what an agent may ask in the middle of one.

use std::io::Write;

use serde_json::Value;

use super::{Control, Pieces};
use crate::error::{Error, Kind, Result};
use crate::ops::Cert;
use crate::wire::Request;

/// Answers an agent's questions about one step.
pub trait Other: Sync {
    /// The content that the step named by digest.
    ///
    /// # Errors
    /// When it was never offered.
    fn blob(&self, request: &Request, sha256: &str) -> Result<Pieces>;

    /// Several contents that the step named, one after another.
    ///
    /// # Errors
    /// As for [`Other::blob`].
    fn blobs(&self, request: &Request, sha256: &[String]) -> Result<Pieces>;

    /// The operation's answer to a question of its half on the host.
    ///
    /// # Errors
    /// The operation's fault; it becomes the step's.
    fn answer(&self, request: &Request, question: &Value) -> Result<Value>;

    /// Where bytes that the host sends are written to. It is flushed at their end.
    ///
    /// # Errors
    /// When the step did not ask for any.
    fn take(&self, request: &Request, sha256: &str, size: u64) -> Result<Box<dyn Write + Send>>;
}

/// The halves of all operations, for one host.
pub struct Half<'a> {
    pub(super) control: &'a Control,
    pub(super) host: &'a str,
}

impl Other for Half<'_> {
    fn blob(&self, _request: &Request, sha256: &str) -> Result<Pieces> {
        self.control.blobs.open(sha256)
    }

    fn blobs(&self, _request: &Request, sha256: &[String]) -> Result<Pieces> {
        self.control.blobs.open_all(sha256)
    }

    fn answer(&self, request: &Request, question: &Value) -> Result<Value> {
        if request.op == "cert" {
            let wanted: Cert = serde_json::from_value(request.args.clone())
                .map_err(|e| Error::internal("a request for a certificate that cannot be read").because(e))?;
            return super::certificate::answer(&self.control.authorities.get(&wanted.ca)?, &wanted, question);
        }
        if request.op == "fetch" {
            return super::fetch::answer(request, &self.control.blobs);
        }
        Err(Error::new(Kind::Protocol, format!("`{}` on `{}` asks a question nobody expects", request.op, self.host)))
    }

    fn take(&self, request: &Request, sha256: &str, size: u64) -> Result<Box<dyn Write + Send>> {
        if request.op == "fetch" {
            return super::fetch::take(request, sha256, size);
        }
        Err(Error::new(Kind::Protocol, format!("`{}` on `{}` sends content nobody asked for", request.op, self.host)))
    }
}
