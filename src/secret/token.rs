//! What stands for a secret in a text: letters that nothing else is written with.
//!
//! They are of a private area of Unicode, so that not one of them can be taken for text: a piece of a token that a
//! slice, a filter or a program left over is found before it gets anywhere.

use crate::error::Result;

/// A token begins and ends with these. Between them is a letter for each of its random bytes.
const BEGIN: char = '\u{10f100}';
const END: char = '\u{10f101}';

/// What a secret looks like to those who may not handle it. It is a piece of no token.
pub const NOT_HERE: char = '\u{10f102}';

/// The letter of the byte 0; those of the other bytes follow it.
const FIRST: u32 = 0x0010_f000;

/// How many random bytes a token has.
const BYTES: usize = 12;

/// One part of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'a> {
    /// Text as it is.
    Text(&'a str),
    /// A whole token.
    Token(&'a str),
    /// A piece of one.
    Broken(&'a str),
}

/// A new one.
pub(super) fn new() -> Result<String> {
    let random = crate::change::random(BYTES)?;
    let letters = random.iter().filter_map(|byte| char::from_u32(FIRST + u32::from(*byte)));
    Ok([BEGIN].into_iter().chain(letters).chain([END]).collect())
}

/// Whether there is a token, or a piece of one, in a text.
pub fn is_in(text: &str) -> bool {
    // All of the letters, and no others, begin with these bytes.
    let begins = |at: usize, bytes: &[u8]| bytes[at] == 0xf4 && bytes[at + 1] == 0x8f && bytes[at + 2] <= 0x87;
    let bytes = text.as_bytes();
    (0..bytes.len().saturating_sub(3)).any(|at| begins(at, bytes))
}

/// Whether a letter is one that only tokens are written with.
fn is_letter(letter: char) -> bool {
    (FIRST..FIRST + 0x200).contains(&u32::from(letter))
}

/// A text cut into what is a token and what is not.
pub fn parts(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let plain = rest.find(is_letter).unwrap_or(rest.len());
        if plain > 0 {
            parts.push(Part::Text(&rest[..plain]));
            rest = &rest[plain..];
            continue;
        }
        let run = &rest[..rest.find(|letter| !is_letter(letter)).unwrap_or(rest.len())];
        let length = whole(run);
        parts.push(match length {
            Some(length) => Part::Token(&rest[..length]),
            None => Part::Broken(&rest[..run.chars().next().map_or(run.len(), char::len_utf8)]),
        });
        rest = &rest[length.unwrap_or_else(|| run.chars().next().map_or(run.len(), char::len_utf8))..];
    }
    parts
}

/// The length of the token that a text begins with, in bytes.
fn whole(text: &str) -> Option<usize> {
    let mut letters = text.char_indices();
    let begins = letters.next().is_some_and(|(_, letter)| letter == BEGIN);
    let inside = letters.by_ref().take(BYTES).filter(|(_, letter)| u32::from(*letter) < FIRST + 0x100).count();
    let (at, last) = letters.next()?;
    (begins && inside == BYTES && last == END).then(|| at + last.len_utf8())
}

/// A text with another in place of every token and of every piece of one.
pub(super) fn replaced(text: &str, by: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut broken = false;
    for part in parts(text) {
        match part {
            Part::Text(text) => out += text,
            Part::Broken(_) if broken => {}
            Part::Token(_) | Part::Broken(_) => out += by,
        }
        broken = matches!(part, Part::Broken(_));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_whole_and_no_piece_of_it_is_taken_for_text() {
        let (one, two) = (new().unwrap(), new().unwrap());
        let text = format!("a{one}{two}ü");
        assert_eq!(parts(&text), [Part::Text("a"), Part::Token(&one), Part::Token(&two), Part::Text("ü")]);
        assert_eq!(replaced(&text, "*"), "a**ü");
        for cut in 1..BYTES + 2 {
            let (begin, end): (String, String) = (one.chars().take(cut).collect(), one.chars().skip(cut).collect());
            for piece in [&begin, &end] {
                assert!(is_in(piece), "{cut}");
                assert!(parts(piece).iter().all(|part| matches!(part, Part::Broken(_))), "{cut}");
                assert_eq!(replaced(&format!("<{piece}>"), "*"), "<*>");
            }
        }
        assert!(!is_in("plain ü 🦀 \u{f0000}\u{10ffff}"));
        assert_eq!(one.to_uppercase(), one);
    }
}
