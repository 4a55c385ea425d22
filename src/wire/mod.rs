//! Frames between the control side and an agent.
//!
//! A frame is a length (four bytes, big endian), a tag (one byte) and a body. Messages are JSON; output
//! and blobs are raw bytes behind a short header, or packed ones. Lengths are capped before anything is allocated, and
//! nothing received is ever executed or evaluated.

mod attachment;
mod frame;
mod message;
mod piece;

pub(crate) use attachment::{Attachment, Member, Payload};
#[cfg(feature = "control")]
pub(crate) use frame::encode_piece;
pub use frame::{Frame, decode, encode, read_frame, write_frame};
pub(crate) use message::{Answer, Ask, Due, Record, Stream, Worked};
pub use message::{BUILD, FromAgent, Hello, Mode, PROTOCOL, Request, ToAgent, from_body, to_frame};
pub use piece::CHUNK;
pub(crate) use piece::Piece;
