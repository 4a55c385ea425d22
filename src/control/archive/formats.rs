//! Which format an archive has, by its first bytes, and how much it may grow.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::Path;
use std::rc::Rc;

use super::{Visit, tar, zip};
use crate::error::{Context, Error, Result};

/// How much an archive may hold whatever its own size is, in bytes.
const ALWAYS: u64 = 256 * 1024 * 1024;

/// How many times its own size an archive may hold beyond that: more is built to fill disks.
const GROWTH: u64 = 250;

/// How much an archive may hold at all, in bytes.
const MOST: u64 = 32 * 1024 * 1024 * 1024;

/// How many members an archive may have.
pub(super) const MOST_MEMBERS: usize = 200_000;

/// How much memory an xz stream may ask for, in bytes.
const XZ_MEMORY: u64 = 256 * 1024 * 1024;

/// How much may still be read out of an archive. Clones count down together.
#[derive(Clone)]
pub(super) struct Budget(Rc<Cell<u64>>);

impl Budget {
    fn of(compressed: u64) -> Self {
        Self(Rc::new(Cell::new(compressed.saturating_mul(GROWTH).clamp(ALWAYS, MOST))))
    }

    /// A reader whose bytes count.
    pub(super) fn counted<R: Read>(&self, inner: R) -> Counted<R> {
        Counted { inner, budget: self.clone() }
    }
}

/// A reader that ends with a fault when the budget is used up.
pub(super) struct Counted<R> {
    inner: R,
    budget: Budget,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let left = self.budget.0.get().checked_sub(count as u64);
        let too_much = || io::Error::other("it holds far more than an archive of its size does");
        self.budget.0.set(left.ok_or_else(too_much)?);
        Ok(count)
    }
}

/// Reads an archive through, whatever its format is.
pub(super) fn walk(path: &Path, visit: &mut Visit) -> Result {
    let failed = || format!("cannot read `{}`", path.display());
    let mut file = File::open(path).or_step(failed)?;
    let budget = Budget::of(file.metadata().or_step(failed)?.len());
    let mut first = Vec::new();
    file.by_ref().take(512).read_to_end(&mut first).or_step(failed)?;
    file.rewind().or_step(failed)?;
    let file = BufReader::with_capacity(256 * 1024, file);
    let stream: Box<dyn Read> = match first.as_slice() {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(file)),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => {
            let concatenated = 0x08;
            let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, concatenated).or_step(failed)?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(file, stream))
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(zstd::Decoder::with_buffer(file).or_step(failed)?),
        [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => return zip::walk(file, &budget, visit),
        bytes if bytes.get(257..262) == Some(b"ustar") => Box::new(file),
        _ => {
            return Err(Error::step("it is no archive that mk can read")
                .because("it is neither tar, tar.gz, tar.xz, tar.zst nor zip"));
        }
    };
    tar::walk(budget.counted(stream), visit)
}
