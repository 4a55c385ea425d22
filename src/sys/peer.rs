//! The other end of the connection, as a step sees it.

use std::io::{Read, Write};

use serde_json::Value;

use crate::error::{Error, Result};
use crate::wire::Stream;

/// What a step may ask of the control side, and tell it while it runs.
pub trait Peer {
    /// The bytes with this digest.
    ///
    /// # Errors
    /// When the control side does not have them, or the connection broke.
    fn blob(&self, sha256: &str) -> Result<Box<dyn Read + '_>>;

    /// The bytes of several digests, one after another.
    ///
    /// # Errors
    /// As for [`Peer::blob`].
    fn blobs(&self, sha256: &[String]) -> Result<Box<dyn Read + '_>>;

    /// Puts a question to the operation's half on the control side.
    ///
    /// # Errors
    /// The other half's own fault, or a broken connection.
    fn ask(&self, question: Value) -> Result<Value>;

    /// Offers bytes to the control side; returns where to write them.
    ///
    /// # Errors
    /// A broken connection.
    fn give(&self, sha256: &str, size: u64) -> Result<Box<dyn Write + '_>>;

    /// Shows a piece of a command's output while it runs.
    fn output(&self, stream: Stream, bytes: &[u8]);

    /// Has it noted that the steps which the running one notifies are due; or, when nothing came of its change, that
    /// they are not due because of it.
    ///
    /// # Errors
    /// When it cannot be noted; then the change must not be made either.
    fn due(&self, stands: bool) -> Result;
}

/// A peer for steps that need none: every question is refused.
#[derive(Debug, Default)]
pub(crate) struct NoPeer;

impl Peer for NoPeer {
    fn blob(&self, sha256: &str) -> Result<Box<dyn Read + '_>> {
        Err(Error::internal(format!("nobody here has the content `{sha256}`")))
    }

    fn blobs(&self, sha256: &[String]) -> Result<Box<dyn Read + '_>> {
        Err(Error::internal(format!("nobody here has {} contents", sha256.len())))
    }

    fn ask(&self, question: Value) -> Result<Value> {
        Err(Error::internal(format!("nobody here answers `{question}`")))
    }

    fn give(&self, sha256: &str, _size: u64) -> Result<Box<dyn Write + '_>> {
        Err(Error::internal(format!("nobody here takes the content `{sha256}`")))
    }

    fn output(&self, _stream: Stream, _bytes: &[u8]) {}

    fn due(&self, _stands: bool) -> Result {
        Err(Error::internal("nobody here keeps what is due"))
    }
}
