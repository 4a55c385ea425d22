//! What a secret looks like wherever it is, and looking for it.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

/// Texts, each with the name of where it was.
pub(crate) type Shown = Vec<(String, String)>;

/// What tells something of a secret, wherever it is: pieces of its forms.
pub(crate) struct Forms(Vec<String>);

impl Forms {
    /// Those of pieces of it that nothing else holds: as it is and quoted, in base64 at each of its three alignments,
    /// in digits.
    pub(crate) fn of(pieces: &[&str]) -> Self {
        let mut forms = Vec::new();
        for piece in pieces {
            forms.push((*piece).to_owned());
            forms.push(hex(piece.as_bytes()));
            for before in 0..3_usize {
                let encoded = STANDARD.encode([&vec![b' '; before], piece.as_bytes()].concat());
                // Its first and last digits hold something of their neighbours.
                let whole = (before + piece.len()) * 8 / 6;
                forms.push(encoded[(before * 8).div_ceil(6)..whole].to_owned());
            }
        }
        Self(forms)
    }

    /// With a text as it is.
    pub(crate) fn and(mut self, text: &str) -> Self {
        self.0.push(text.to_owned());
        self
    }

    /// With the digests of these texts: who has one can try.
    pub(crate) fn and_digests(mut self, texts: &[String]) -> Self {
        self.0.extend(texts.iter().map(|text| hex(&Sha256::digest(text))[..12].to_owned()));
        self
    }

    /// The first of them in a text, with what is around it.
    pub(crate) fn found(&self, text: &str) -> Option<String> {
        let at = self.0.iter().find_map(|form| text.find(form.as_str()))?;
        let before = text[..at].char_indices().rev().nth(300).map_or(0, |(at, _)| at);
        Some(text[before..].chars().take(500).collect())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Where something of a secret is shown that must not be, or a piece of what stands for one in scripts.
pub(crate) fn leaks(shown: &Shown, forms: &Forms) -> Vec<String> {
    let piece = |c: char| (0x10_f000..0x10_f200).contains(&u32::from(c));
    let leak = |(place, text): &(String, String)| {
        let found = forms.found(text).or_else(|| {
            let token = text.find(piece)?;
            let before = text[..token].char_indices().rev().nth(300).map_or(0, |(at, _)| at);
            Some(format!("(a token) {}", text[before..].chars().take(500).collect::<String>()))
        })?;
        Some(format!("{place}: …{found}…"))
    };
    shown.iter().filter_map(leak).collect()
}
