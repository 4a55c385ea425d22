//! The outermost layer: length, tag, body.

use std::io::{self, Read, Write};

#[cfg(feature = "control")]
use super::piece::Piece;
use super::piece::unpack;
use crate::error::{Error, Kind, Result};

/// The longest body accepted, in bytes. Blobs and output travel in chunks far below it.
pub(crate) const MAX_FRAME: usize = 16 * 1024 * 1024;

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A JSON message.
    Message(Vec<u8>),
    /// Bytes a command wrote: request id, stream (1 or 2), bytes.
    Output(u64, u8, Vec<u8>),
    /// A piece of a blob: the id of the request that asked for it, bytes. An empty piece ends it.
    Blob(u64, Vec<u8>),
}

const MESSAGE: u8 = 1;
const OUTPUT: u8 = 2;
const BLOB: u8 = 3;
/// A piece of a blob that has to be unpacked.
const PACKED: u8 = 4;

/// The bytes of a frame, length included.
pub fn encode(frame: &Frame) -> Vec<u8> {
    let (tag, header, body): (u8, Vec<u8>, &[u8]) = match frame {
        Frame::Message(body) => (MESSAGE, Vec::new(), body),
        Frame::Output(id, stream, body) => {
            let mut header = id.to_be_bytes().to_vec();
            header.push(*stream);
            (OUTPUT, header, body)
        }
        Frame::Blob(id, body) => (BLOB, id.to_be_bytes().to_vec(), body),
    };
    assembled(tag, &header, body)
}

/// The bytes of the frame that brings a piece of a blob to the request that asked for it.
#[cfg(feature = "control")]
pub(crate) fn encode_piece(request: u64, piece: &Piece) -> Vec<u8> {
    assembled(if piece.packed { PACKED } else { BLOB }, &request.to_be_bytes(), &piece.bytes)
}

fn assembled(tag: u8, header: &[u8], body: &[u8]) -> Vec<u8> {
    let length = 1 + header.len() + body.len();
    let mut out = Vec::with_capacity(4 + length);
    // A frame longer than u32 cannot be built: bodies are chunked far below MAX_FRAME by their makers.
    out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    out.push(tag);
    out.extend_from_slice(header);
    out.extend_from_slice(body);
    out
}

/// Takes one whole frame off the front of `buffer`; `None` when more bytes are needed.
///
/// # Errors
/// A frame over [`MAX_FRAME`], an unknown tag or a header that is cut short: the other end is not an agent.
pub fn decode(buffer: &mut Vec<u8>) -> Result<Option<Frame>> {
    let Some(length) = buffer.first_chunk::<4>() else { return Ok(None) };
    let length = check_length(*length)?;
    if buffer.len() < 4 + length {
        return Ok(None);
    }
    let frame = parse(&buffer[4..4 + length]);
    buffer.drain(..4 + length);
    frame.map(Some)
}

/// Reads one frame; `None` at a clean end of the stream.
///
/// # Errors
/// An unusable stream, or one that ends inside a frame.
pub fn read_frame(stream: &mut impl Read) -> Result<Option<Frame>> {
    let mut length = [0; 4];
    let mut filled = 0;
    while filled < 4 {
        match stream.read(&mut length[filled..]) {
            Ok(0) if filled == 0 => return Ok(None),
            Ok(0) => return Err(broken("the stream ended inside a frame")),
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(broken("the stream broke").because(e)),
        }
    }
    let length = check_length(length)?;
    let cut = |e| broken("the stream ended inside a frame").because(e);
    let mut head = [0; 9];
    let of_head = head.len().min(length);
    stream.read_exact(&mut head[..of_head]).map_err(cut)?;
    let rest = length - of_head;
    let mut whole = |mut body: Vec<u8>| match stream.take(rest as u64).read_to_end(&mut body).map_err(cut)? {
        count if count < rest => Err(broken("the stream ended inside a frame")),
        _ => Ok(body),
    };
    // The bytes of a blob are read to where they stay: that is what moves gigabytes.
    match head {
        [BLOB, id @ ..] if of_head == head.len() => {
            let body = Vec::with_capacity(rest);
            Ok(Some(Frame::Blob(u64::from_be_bytes(id), whole(body)?)))
        }
        _ => {
            let mut body = Vec::with_capacity(length);
            body.extend_from_slice(&head[..of_head]);
            parse(&whole(body)?).map(Some)
        }
    }
}

/// Writes one frame and flushes it.
///
/// # Errors
/// When the stream is closed or broken.
pub fn write_frame(stream: &mut impl Write, frame: &Frame) -> io::Result<()> {
    stream.write_all(&encode(frame))?;
    stream.flush()
}

fn check_length(length: [u8; 4]) -> Result<usize> {
    match u32::from_be_bytes(length) as usize {
        0 => Err(broken("an empty frame")),
        length if length > MAX_FRAME => {
            Err(broken(format!("a frame of {length} bytes, over the limit of {MAX_FRAME}")))
        }
        length => Ok(length),
    }
}

fn parse(body: &[u8]) -> Result<Frame> {
    let id = |rest: &[u8]| rest.first_chunk::<8>().map(|id| u64::from_be_bytes(*id));
    let (tag, rest) = body.split_first().ok_or_else(|| broken("an empty frame"))?;
    match (*tag, id(rest)) {
        (MESSAGE, _) => Ok(Frame::Message(rest.to_vec())),
        (OUTPUT, Some(id)) if rest.len() > 8 => Ok(Frame::Output(id, rest[8], rest[9..].to_vec())),
        (BLOB, Some(id)) => Ok(Frame::Blob(id, rest[8..].to_vec())),
        (PACKED, Some(id)) => Ok(Frame::Blob(id, unpack(&rest[8..])?)),
        (OUTPUT | BLOB | PACKED, _) => Err(broken("a frame whose header is cut short")),
        (tag, _) => Err(broken(format!("a frame with the unknown tag {tag}"))),
    }
}

fn broken(message: impl Into<String>) -> Error {
    Error::new(Kind::Protocol, message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_frame() -> impl Strategy<Value = Frame> {
        let bytes = || proptest::collection::vec(any::<u8>(), 0..200);
        prop_oneof![
            bytes().prop_map(Frame::Message),
            (any::<u64>(), any::<u8>(), bytes()).prop_map(|(id, stream, b)| Frame::Output(id, stream, b)),
            (any::<u64>(), bytes()).prop_map(|(id, b)| Frame::Blob(id, b)),
        ]
    }

    proptest! {
        #[test]
        fn frames_survive_any_split_of_the_stream(frames in proptest::collection::vec(any_frame(), 1..5), cut in 1usize..64) {
            let stream: Vec<u8> = frames.iter().flat_map(encode).collect();
            let (mut buffer, mut seen) = (Vec::new(), Vec::new());
            for piece in stream.chunks(cut) {
                buffer.extend_from_slice(piece);
                while let Some(frame) = decode(&mut buffer).unwrap() {
                    seen.push(frame);
                }
            }
            prop_assert_eq!(seen, frames);
            prop_assert!(buffer.is_empty());
        }

        #[test]
        fn garbage_is_an_error_or_needs_more_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut buffer = bytes.clone();
            while let Ok(Some(_)) = decode(&mut buffer) {}
            let mut stream = bytes.as_slice();
            while let Ok(Some(_)) = read_frame(&mut stream) {}
        }
    }

    #[test]
    fn a_frame_over_the_limit_is_refused_before_it_is_read() {
        let mut buffer = u32::MAX.to_be_bytes().to_vec();
        assert_eq!(decode(&mut buffer).unwrap_err().kind(), Kind::Protocol);
    }
}
