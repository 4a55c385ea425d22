//! Content as it travels: in pieces, each packed where that makes it shorter.

use crate::error::{Error, Kind, Result};

/// The size of a piece of a blob or of output, in bytes. From 128 KiB on, an agent would have to ask its kernel for the
/// room of every single one.
pub const CHUNK: usize = 64 * 1024;

/// Some bytes of a blob on their way to a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// What is sent.
    pub(super) bytes: Vec<u8>,
    /// Whether the host has to unpack it.
    pub(super) packed: bool,
    /// How many bytes of the content it is.
    #[cfg(feature = "control")]
    length: usize,
}

#[cfg(feature = "control")]
impl Piece {
    /// Bytes as they are.
    pub fn plain(bytes: Vec<u8>) -> Self {
        Self { length: bytes.len(), bytes, packed: false }
    }

    /// Bytes, packed if that saves an eighth of them: less is not worth the host's time.
    pub fn packed(bytes: Vec<u8>) -> Self {
        let short = lz4_flex::block::compress_prepend_size(&bytes);
        match short.len() <= bytes.len() - bytes.len() / 8 {
            true => Self { length: bytes.len(), bytes: short, packed: true },
            false => Self::plain(bytes),
        }
    }

    /// Whether it was worth packing.
    pub fn is_packed(&self) -> bool {
        self.packed
    }

    /// Whether it has as many bytes of the content as a piece can have; after one that has not comes the end.
    pub fn is_full(&self) -> bool {
        self.length == CHUNK
    }

    /// Whether it is the one that ends a blob.
    pub fn is_end(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// The bytes of a packed piece.
///
/// # Errors
/// When they are no packed piece, or more than any piece holds.
pub(super) fn unpack(packed: &[u8]) -> Result<Vec<u8>> {
    let fault = |why: &str| Error::new(Kind::Protocol, format!("a packed piece that {why}"));
    let (size, body) = packed.split_first_chunk::<4>().ok_or_else(|| fault("is cut short"))?;
    let size = u32::from_le_bytes(*size) as usize;
    if size > CHUNK {
        return Err(fault("is too long"));
    }
    match lz4_flex::block::decompress(body, size) {
        Ok(bytes) if bytes.len() == size => Ok(bytes),
        _ => Err(fault("is damaged")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked(bytes in proptest::collection::vec(0u8..4, 0..CHUNK / 16), noise: bool) {
            let bytes = if noise { sha2_of(&bytes) } else { bytes };
            let piece = Piece::packed(bytes.clone());
            prop_assert!(piece.bytes.len() <= bytes.len());
            let back = if piece.is_packed() { unpack(&piece.bytes).unwrap() } else { piece.bytes };
            prop_assert_eq!(back, bytes);
        }

        #[test]
        fn garbage_is_an_error_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = unpack(&bytes);
        }
    }

    fn sha2_of(bytes: &[u8]) -> Vec<u8> {
        use sha2::Digest as _;
        sha2::Sha256::digest(bytes).to_vec()
    }

    #[test]
    fn a_piece_that_claims_to_be_huge_is_refused_before_room_is_made_for_it() {
        let error = unpack(&[0xff; 20]).unwrap_err();
        assert_eq!((error.kind(), error.message()), (Kind::Protocol, "a packed piece that is too long"));
    }

    #[test]
    fn content_that_does_not_shrink_travels_as_it_is() {
        let noise: Vec<u8> = (0u32..2000).flat_map(|n| sha2_of(&n.to_le_bytes())).collect();
        assert!(!Piece::packed(noise).is_packed());
        assert!(Piece::packed(vec![7; 5000]).is_packed());
    }
}
