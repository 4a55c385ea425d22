//! The forms in which a secret may turn up.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde_json::Value;

use super::SHORTEST;

/// The longest secret that is looked for in all forms, and encoded twice, in bytes: what is longer than a key is mostly
/// other text, and found as it is, line by line, and whole in JSON and base64.
const LONGEST_TWICE: usize = 4 * 1024;

/// The length of the pieces in which a longer form is looked for, in bytes.
const PIECE: usize = 512;

/// All of them: as it is, and as programs quote and encode it.
pub(super) fn forms(text: &str) -> Vec<Vec<u8>> {
    let mut whole = vec![text.to_owned(), text.trim().to_owned()];
    // Tools print keys line by line, so a long line of a longer secret is one too.
    whole.extend(
        text.lines().map(str::trim).filter(|line| line.len() >= 16 && !line.starts_with("-----")).map(str::to_owned),
    );
    let mut forms = Vec::new();
    if text.len() > LONGEST_TWICE {
        // In all forms of all its lines, half a megabyte takes gigabytes and minutes.
        let json = Value::from(text).to_string();
        forms.extend(pieces(&json.as_bytes()[1..json.len() - 1]));
        forms.extend(base64_forms(text.as_bytes()).iter().flat_map(|form| pieces(form)));
        forms.extend(whole.drain(..).flat_map(|text| pieces(text.as_bytes())));
    }
    for text in whole.iter().filter(|text| text.len() >= SHORTEST) {
        forms.push(text.as_bytes().to_vec());
        forms.extend(quoted(text).into_iter().map(String::into_bytes));
        forms.extend(hex(text));
        forms.extend(base64_forms(text.as_bytes()));
    }
    if (SHORTEST..=LONGEST_TWICE).contains(&text.len()) {
        // What is encoded twice: a Secret of Kubernetes with a kubeconfig in it.
        for inner in [STANDARD.encode(text), STANDARD.encode(format!("{text}\n"))] {
            forms.extend(base64_forms(inner.as_bytes()));
        }
        for inner in base64_forms(text.as_bytes()) {
            forms.extend(base64_forms(&inner));
        }
    }
    forms.retain(|form| form.len() >= SHORTEST);
    forms.sort();
    forms.dedup();
    forms
}

/// A long form in pieces, each found by itself: what finds them takes the longer for the longest of them.
fn pieces(form: &[u8]) -> Vec<Vec<u8>> {
    // The last is the longer by what is left: it would be too short by itself.
    let last = (form.len() / PIECE).saturating_sub(1) * PIECE;
    form[..last].chunks(PIECE).chain([&form[last..]]).map(<[u8]>::to_vec).collect()
}

/// As it stands between the quotes of a language, and in addresses.
fn quoted(text: &str) -> Vec<String> {
    let json = Value::from(text).to_string();
    let json = &json[1..json.len() - 1];
    let ascii = |upper: bool| -> String {
        let mut units = [0; 2];
        let escape = |letter: char| match letter.is_ascii() {
            true => letter.to_string(),
            false => letter
                .encode_utf16(&mut units)
                .iter()
                .map(|unit| if upper { format!("\\u{unit:04X}") } else { format!("\\u{unit:04x}") })
                .collect(),
        };
        json.chars().map(escape).collect()
    };
    // Go's encoder keeps these out of the way of HTML.
    let go = json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026");
    let entities = |quote: &str, apostrophe: &str| {
        let safe = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        safe.replace('"', quote).replace('\'', apostrophe)
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c) || !c.is_ascii();
    let backslashes = text.chars().map(|c| if plain(c) { c.to_string() } else { format!("\\{c}") }).collect::<String>();
    let within = text.chars().map(|c| if "\\\"$`".contains(c) { format!("\\{c}") } else { c.to_string() });
    vec![
        json.to_owned(),
        ascii(false),
        ascii(true),
        go,
        entities("&quot;", "&#39;"),
        entities("&quot;", "&#x27;"),
        entities("&#34;", "&#39;"),
        entities("\"", "'"),
        text.replace('\'', r"'\''"),
        text.replace('\'', r#"'"'"'"#),
        text.replace('\'', "''"),
        within.collect(),
        backslashes,
        percent(text, true),
        percent(text, false),
        percent(text, true).replace("%20", "+"),
    ]
}

fn hex(text: &str) -> [Vec<u8>; 2] {
    let lower = crate::change::hex(text.as_bytes());
    [lower.to_uppercase().into_bytes(), lower.into_bytes()]
}

/// The part of the base64 that is the same whatever stands before and after, for each of three alignments.
fn base64_forms(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut forms: Vec<Vec<u8>> = (0..3)
        .map(|shift| {
            let padded = [&[0; 2][..shift], bytes].concat();
            let text = STANDARD_NO_PAD.encode(&padded);
            let skip = [0, 2, 3][shift];
            let end = padded.len() / 3 * 4;
            text.as_bytes()[skip..end.max(skip)].to_vec()
        })
        .filter(|form| form.len() >= SHORTEST)
        .collect();
    let url = |byte: &u8| match byte {
        b'+' => b'-',
        b'/' => b'_',
        other => *other,
    };
    let safe: Vec<Vec<u8>> = forms.iter().map(|form| form.iter().map(url).collect()).collect();
    forms.extend(safe);
    forms
}

fn percent(text: &str, upper: bool) -> String {
    let escape = |byte: u8| match byte {
        byte if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) => char::from(byte).to_string(),
        byte if upper => format!("%{byte:02X}"),
        byte => format!("%{byte:02x}"),
    };
    text.bytes().map(escape).collect()
}

/// A text without its line breaks and the blanks that begin its lines, and where each byte of it was: what programs
/// wrap is found again in it.
pub(super) fn unwrapped(bytes: &[u8]) -> (Vec<u8>, Vec<usize>) {
    let (mut out, mut places) = (Vec::with_capacity(bytes.len()), Vec::with_capacity(bytes.len()));
    let mut at = 0;
    while at < bytes.len() {
        let length = match &bytes[at..] {
            [b'\r' | b'\n', ..] => 1,
            // A line break that was itself quoted.
            [b'\\', b'n' | b'r', ..] => 2,
            _ => 0,
        };
        if length > 0 {
            at += length;
            while bytes.get(at).is_some_and(|byte| *byte == b' ' || *byte == b'\t') {
                at += 1;
            }
            continue;
        }
        out.push(bytes[at]);
        places.push(at);
        at += 1;
    }
    (out, places)
}
