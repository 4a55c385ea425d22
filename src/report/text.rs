//! Text that may be shown, and the escaping (sanitising) of what came from outside: the only text that a [`Sink`]
//! takes, so that nothing reaches a terminal, a log or a report around it.
//!
//! Colours and ends of lines are put in by the functions here alone. Whatever else goes into a [`Text`] loses what a
//! terminal would obey, and what hides or reorders other characters (bidirectional controls, zero-width ones), be
//! it a host's, a file's, or mk's own.
//!
//! [`Sink`]: super::Sink

use std::fmt::{self, Display, Write as _};

use serde::Serialize;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory as _};

/// What stands for a character that may not be shown.
const HIDDEN: char = '\u{fffd}';

/// Whether colours may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Style {
    colour: bool,
}

/// A colour, or nothing where there are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Colour(&'static str);

impl Style {
    /// Text without colours.
    pub(crate) fn plain() -> Self {
        Self { colour: false }
    }

    /// Colours, when that is what a terminal gets.
    #[cfg(test)]
    pub(crate) fn coloured(colour: bool) -> Self {
        Self { colour }
    }

    /// Colours where the stream is a terminal, unless `NO_COLOR` is set.
    pub(crate) fn of(stream: &impl std::io::IsTerminal) -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { colour: wanted && stream.is_terminal() }
    }

    fn code(self, code: &'static str) -> Colour {
        Colour(if self.colour { code } else { "" })
    }

    pub(super) fn red(self) -> Colour {
        self.code("\x1b[31m")
    }

    pub(super) fn green(self) -> Colour {
        self.code("\x1b[32m")
    }

    pub(super) fn yellow(self) -> Colour {
        self.code("\x1b[33m")
    }

    pub(super) fn blue(self) -> Colour {
        self.code("\x1b[34m")
    }

    pub(super) fn bold(self) -> Colour {
        self.code("\x1b[1m")
    }

    pub(super) fn none(self) -> Colour {
        self.code("")
    }
}

/// Text that may be shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Text(String);

impl Text {
    /// One line, or a piece of one, whatever is in it.
    pub(crate) fn line(text: impl Display) -> Self {
        Self::default().then(text)
    }

    /// As many lines as it has: for pages, which stand alone. Beside lines of mk's own, see [`Text::then_lines`].
    pub(crate) fn page(text: &str) -> Self {
        Self(text.chars().map(|c| if c == '\n' || is_shown(c) { c } else { HIDDEN }).collect())
    }

    /// One line in which nothing is lost: what cannot be shown is written as Rust and JSON do.
    pub(crate) fn escaped(text: &str) -> Self {
        let mut out = String::with_capacity(text.len());
        for c in text.chars() {
            match c {
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                c if is_shown(c) => out.push(c),
                c => out.extend(c.escape_unicode()),
            }
        }
        Self(out)
    }

    /// A value as JSON in one line. What it says does not depend on what can be shown: that is written as `\u…`.
    pub(crate) fn json(value: &impl Serialize) -> Self {
        // The values shown are maps with string keys, so serialising them cannot fail.
        Self::of_json(&serde_json::to_string(value).unwrap_or_default())
    }

    /// The same for people: a field a line.
    pub(crate) fn json_page(value: &impl Serialize) -> Self {
        Self::of_json(&serde_json::to_string_pretty(value).unwrap_or_default())
    }

    fn of_json(json: &str) -> Self {
        let mut out = String::with_capacity(json.len());
        for c in json.chars() {
            // Ends of lines stand between values only; all else that cannot be shown stands inside of strings.
            if c == '\n' || is_shown(c) {
                out.push(c);
                continue;
            }
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
        Self(out)
    }

    /// With more in the same line.
    #[must_use]
    pub(crate) fn then(mut self, text: impl Display) -> Self {
        let _ = write!(OneLine(&mut self.0), "{text}");
        self
    }

    /// With more in the same line, in a colour.
    #[must_use]
    pub(crate) fn paint(mut self, colour: Colour, text: impl Display) -> Self {
        self.0.push_str(colour.0);
        let mut painted = self.then(text);
        if !colour.0.is_empty() {
            painted.0.push_str("\x1b[0m");
        }
        painted
    }

    /// With another text right behind it.
    #[must_use]
    pub(crate) fn and(mut self, other: &Self) -> Self {
        self.0.push_str(&other.0);
        self
    }

    /// With the end of a line.
    #[must_use]
    pub(crate) fn newline(mut self) -> Self {
        self.0.push('\n');
        self
    }

    /// With all lines of a text, in a colour: the first behind what is there, each further one behind a gutter, so
    /// that none can pass for a line of mk's own.
    #[must_use]
    pub(crate) fn then_lines(self, gutter: &Self, colour: Colour, text: &str) -> Self {
        let mut lines = text.lines();
        let first = self.paint(colour, lines.next().unwrap_or_default());
        lines.fold(first, |out, line| out.newline().and(gutter).paint(colour, line))
    }

    /// Texts as lines.
    pub(crate) fn joined(texts: impl IntoIterator<Item = Self>) -> Self {
        let mut texts = texts.into_iter();
        let first = texts.next().unwrap_or_default();
        texts.fold(first, |out, text| out.newline().and(&text))
    }

    /// What is written.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Display for Text {
    /// For another text, in which it loses its colours and becomes one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Takes what may be shown, as part of one line.
struct OneLine<'a>(&'a mut String);

impl fmt::Write for OneLine<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend(text.chars().map(|c| if is_shown(c) { c } else { HIDDEN }));
        Ok(())
    }
}

/// Whether a character is shown as it is. Those that are not move the cursor, begin a sequence that a terminal
/// obeys, change the order of others, or cannot be seen.
fn is_shown(c: char) -> bool {
    if c.is_ascii() {
        return c == '\t' || !c.is_ascii_control();
    }
    // Beside the categories, what the standard calls ignorable by default. The selectors between an emoji and a plain
    // sign stay: they hide nothing.
    let ignorable = matches!(c,
        '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{2065}'
        | '\u{3164}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}' | '\u{e0000}'..='\u{e0fff}');
    let category = c.general_category();
    !ignorable
        && !matches!(
            category,
            GeneralCategory::Control
                | GeneralCategory::Format
                | GeneralCategory::LineSeparator
                | GeneralCategory::ParagraphSeparator
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a host may try: sequences, other controls, other orders, what cannot be seen, other ends of a line.
    const HOSTILE: &str = "\u{1b}\u{7}\u{8}\u{7f}\u{9b}\u{9d}\u{85}\r\u{61c}\u{200b}\u{200d}\u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{202e}\u{2060}\u{2066}\u{2069}\u{feff}\u{ad}\u{fff9}\u{e0041}\u{3164}";

    #[test]
    fn nothing_that_a_terminal_obeys_or_that_hides_is_shown() {
        for c in HOSTILE.chars() {
            let text = format!("a{c}b");
            assert_eq!(Text::line(&text).as_str(), "a\u{fffd}b", "{c:?}");
            assert_eq!(Text::page(&text).as_str(), "a\u{fffd}b", "{c:?}");
            assert!(Text::escaped(&text).as_str().chars().all(|c| c.is_ascii_graphic()), "{c:?}");
            let json = Text::json(&text);
            assert!(json.as_str().chars().all(|c| c.is_ascii_graphic()), "{c:?}");
            assert_eq!(serde_json::from_str::<String>(json.as_str()).unwrap(), text);
        }
    }

    #[test]
    fn ordinary_text_of_any_script_stays_as_it_is() {
        let text = "tab\there, naïve cafe\u{301} «\u{a0}oui\u{a0}», Ελλάδα, עברית, العربية, 日本\u{3000}語, हिन्दी, ⚠\u{fe0f} 🚀 \u{e0b0}";
        assert_eq!(Text::line(text).as_str(), text);
        assert_eq!(Text::page(&format!("{text}\n{text}\n")).as_str(), format!("{text}\n{text}\n"));
        assert_eq!(Text::escaped(text).as_str(), text);
        assert_eq!(Text::json(&text).as_str(), serde_json::to_string(text).unwrap());
    }

    #[test]
    fn a_line_is_one_line_and_further_ones_stand_behind_a_gutter() {
        assert_eq!(Text::line("one\nchanged two").as_str(), "one\u{fffd}changed two");
        assert_eq!(Text::escaped("one\nERROR two").as_str(), "one\\nERROR two");
        let red = Style::coloured(true).red();
        let shown = Text::line("say ").then_lines(&Text::line("  : "), red, "one\r\nchanged\u{1b}[2J two");
        assert_eq!(shown.as_str(), "say \u{1b}[31mone\u{1b}[0m\n  : \u{1b}[31mchanged\u{fffd}[2J two\u{1b}[0m");
        // A text in another one has no colours left to imitate.
        assert_eq!(
            Text::line(format_args!("{}", Text::default().paint(red, "x"))).as_str(),
            "\u{fffd}[31mx\u{fffd}[0m"
        );
    }
}
