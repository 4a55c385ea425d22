//! Masking what comes in pieces.

use super::{Secrets, forms};

impl Secrets {
    /// How many bytes at the end of `bytes` might be the beginning of a secret whose rest is still to come.
    fn held_back(&self, bytes: &[u8]) -> usize {
        let inner = self.read();
        let longest = |bytes: &[u8]| {
            let of = |form: &Vec<u8>| (1..form.len().min(bytes.len() + 1)).rev().find(|n| bytes.ends_with(&form[..*n]));
            inner.forms.iter().filter_map(of).max().unwrap_or(0)
        };
        let direct = longest(bytes);
        if !is_wrapped(bytes) {
            return direct;
        }
        let (unwrapped, places) = forms::unwrapped(bytes);
        let held = longest(&unwrapped);
        let held = places.get(unwrapped.len() - held).map_or(0, |place| bytes.len() - place);
        // No line of anything wrapped is followed by blank lines without end.
        direct.max(held.min(2 * inner.forms.iter().map(Vec::len).max().unwrap_or(0) + MOST_BLANK))
    }

    /// The border itself, or the end of the complete secret that it would cut.
    fn border(&self, bytes: &[u8], border: usize) -> usize {
        let Some(found) = self.read().found(bytes) else { return border };
        found.iter().find(|range| range.start < border && border < range.end).map_or(border, |range| range.end)
    }
}

/// How much that is no part of a secret is held back with its beginning at most, in bytes.
const MOST_BLANK: usize = 64 * 1024;

/// Whether what ends here looks like lines of something that is wrapped: long, and without a blank. The last one may
/// have only begun.
fn is_wrapped(bytes: &[u8]) -> bool {
    bytes.rsplit(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).take(2).any(|word| word.len() >= 40)
}

/// Masks a stream that arrives in pieces: a secret cut in two by a border is still found.
pub struct Masked {
    secrets: Secrets,
    held: Vec<u8>,
}

impl Masked {
    /// A stream with nothing in it yet.
    pub fn new(secrets: Secrets) -> Self {
        Self { secrets, held: Vec::new() }
    }

    /// Takes a piece, and gives what can be shown by now.
    pub fn push(&mut self, piece: &[u8]) -> String {
        self.held.extend_from_slice(piece);
        let keep = self.secrets.held_back(&self.held).max(cut_character(&self.held));
        // A secret that is complete is never cut, even where its end may begin another one.
        let border = self.secrets.border(&self.held, self.held.len() - keep);
        let ready = self.held.drain(..border).collect::<Vec<_>>();
        self.secrets.mask(&String::from_utf8_lossy(&ready))
    }

    /// Gives what is left at the end of the stream.
    pub fn finish(mut self) -> String {
        let rest = std::mem::take(&mut self.held);
        self.secrets.mask(&String::from_utf8_lossy(&rest))
    }
}

fn cut_character(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(e) if e.error_len().is_none() => bytes.len() - e.valid_up_to(),
        _ => 0,
    }
}
