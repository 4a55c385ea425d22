//! Frames between the control side and an agent.
//!
//! A frame is a length (four bytes, big endian), a tag (one byte) and a body. Messages are JSON; output
//! and blobs are raw bytes behind a short header, or packed ones. Lengths are capped before anything is allocated, and
//! nothing received is ever executed or evaluated.

mod attachment;
mod frame;
mod message;
mod piece;

pub use attachment::{Attachment, Member, Payload};
#[cfg(feature = "control")]
pub use frame::encode_piece;
pub use frame::{Frame, MAX_FRAME, decode, encode, read_frame, write_frame};
pub use message::{
    Answer, Ask, BUILD, Due, FromAgent, Hello, Mode, PROTOCOL, Record, Request, Stream, ToAgent, Worked, from_body,
    to_frame,
};
pub use piece::{CHUNK, Piece};
