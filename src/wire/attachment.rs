//! What the control side sends along with a step's parameters: things it has made ready, and that no script writes.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::change::Content;
use crate::error::{Error, Result};

/// What travels with a step beside its parameters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Attachment {
    /// Nothing: the operation has no part on the control side.
    #[default]
    None,
    /// The bytes of one file.
    Content(Payload),
    /// The text of one file that holds a secret, which is put in only on the way to the host.
    Text(String),
    /// What is in a folder or an archive.
    Members(Vec<Member>),
    /// The fingerprint of the authority that signs.
    Authority(String),
    /// The path on the control side that a host's file goes to. It is shown; the control side keeps its own.
    Destination(PathBuf),
}

impl Attachment {
    /// Whether there is nothing.
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }

    /// The content of one file, for the operations that write one.
    ///
    /// # Errors
    /// When something else was sent along.
    pub fn payload(&self) -> Result<Payload> {
        match self {
            Self::Content(payload) => Ok(payload.clone()),
            Self::Text(text) => Ok(Payload::inline(text.as_bytes())),
            _ => Err(Error::internal("the content was not made ready on the control side")),
        }
    }

    /// What is in a folder or an archive.
    ///
    /// # Errors
    /// When something else was sent along.
    pub fn members(&self) -> Result<&[Member]> {
        match self {
            Self::Members(members) => Ok(members),
            _ => Err(Error::internal("the members were not listed on the control side")),
        }
    }
}

/// Bytes that the control side has ready: short ones travel with the request, others are asked for when
/// the host does not have them yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    /// Hex SHA-256 of the bytes.
    pub sha256: String,
    /// Their number.
    pub size: u64,
    /// The bytes themselves, in base64, when they are short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inline: Option<String>,
}

impl Payload {
    /// The longest content that travels with its request, in bytes.
    pub const INLINE: usize = 48 * 1024;

    /// A payload that carries its bytes.
    pub fn inline(bytes: &[u8]) -> Self {
        use base64::Engine as _;
        let inline = base64::engine::general_purpose::STANDARD.encode(bytes);
        Self { sha256: crate::change::digest(bytes), size: bytes.len() as u64, inline: Some(inline) }
    }

    /// The bytes, when they travelled with the request.
    ///
    /// # Errors
    /// When they are not base64: the other end broke the protocol.
    pub fn bytes(&self) -> Result<Option<Vec<u8>>> {
        use base64::Engine as _;
        let decode = |text: &String| base64::engine::general_purpose::STANDARD.decode(text);
        self.inline
            .as_ref()
            .map(decode)
            .transpose()
            .map_err(|e| Error::internal("a payload that cannot be read").because(e))
    }

    /// What a diff shows of it.
    ///
    /// # Errors
    /// As for [`Payload::bytes`].
    pub fn content(&self) -> Result<Content> {
        let known = self.bytes()?.map(|bytes| Content::of(&bytes));
        Ok(known.unwrap_or_else(|| Content { sha256: self.sha256.clone(), size: self.size, text: None }))
    }
}

/// One member of a tree: a file when it has a digest, a link when it has a target, else a directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its path below the tree's directory, without `.` and `..`.
    pub path: String,
    /// Hex SHA-256 of a file's bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Their number.
    #[serde(default)]
    pub size: u64,
    /// Permission bits of a file or directory; those of a directory are only for a new one when not managed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<u32>,
    /// Where a link points.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

impl Member {
    /// A file.
    pub fn file(path: impl Into<String>, sha256: impl Into<String>, size: u64, mode: u32) -> Self {
        Self { path: path.into(), sha256: Some(sha256.into()), size, mode: Some(mode), link: None }
    }

    /// A directory.
    pub fn dir(path: impl Into<String>, mode: Option<u32>) -> Self {
        Self { path: path.into(), sha256: None, size: 0, mode, link: None }
    }

    /// A symbolic link.
    pub fn link(path: impl Into<String>, target: impl Into<String>) -> Self {
        Self { path: path.into(), sha256: None, size: 0, mode: None, link: Some(target.into()) }
    }
}
