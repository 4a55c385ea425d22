//! A fault as text: what, where, on which host, the line itself, and what may be done.

use super::text::{Style, Text};
use crate::error::{Error, Place};

/// Renders a fault as several lines, without a newline at the end.
pub(crate) fn render(error: &Error, style: Style) -> Text {
    of_word(error, style, true)
}

/// The same for what may not be meant, and is no fault.
pub(crate) fn warning(error: &Error, style: Style) -> Text {
    of_word(error, style, false)
}

fn of_word(error: &Error, style: Style, is_fault: bool) -> Text {
    let (blue, bold, none) = (style.blue(), style.bold(), style.none());
    let (word, red) = if is_fault { ("error", style.red()) } else { ("warning", style.yellow()) };
    // What further lines of one text stand behind.
    let gutter = Text::line(" ").paint(blue, ":").then(" ");
    let mut out = Text::default().paint(red, word).then_lines(&gutter, bold, &format!(": {}", error.message()));
    for cause in error.causes() {
        out = out.newline().then("  because: ").then_lines(&gutter, none, cause);
    }
    let on = error.host().map(|host| format!(" on {host}")).unwrap_or_default();
    match error.place() {
        Some(place) if !place.file.is_empty() => {
            let margin = " ".repeat(place.line.to_string().len());
            out = out.newline().then(&margin).paint(blue, "-->").then(format_args!(" {place}{on}"));
            if let Some(line) = source_line(place) {
                out = out.newline().then(&margin).then(" ").paint(blue, "|");
                out = out.newline().paint(blue, format_args!("{} |", place.line)).then(" ").then(&line);
                if place.column > 0 {
                    let carets = "^".repeat(extent(place, &line));
                    out = out.newline().then(&margin).then(" ").paint(blue, "|").then(" ");
                    out = out.then(indent(&line, place.column)).paint(red, carets);
                }
            }
        }
        _ if !on.is_empty() => out = out.newline().then(" ").paint(blue, "-->").then(on),
        _ => {}
    }
    for frame in error.frames() {
        let name = frame.function.as_deref().unwrap_or("closure");
        out = out.newline().then(format_args!("     called as `{name}` at {}", frame.place));
    }
    for line in error.notes().iter().flat_map(|note| note.lines()) {
        out = out.newline().and(&gutter).then(line);
    }
    for hint in error.hints() {
        out = out.newline().then(" hint: ").then_lines(&gutter, none, hint);
    }
    out
}

/// The line that a place names, when its file can be read.
fn source_line(place: &Place) -> Option<String> {
    let text = match place.file.strip_prefix("stdlib:") {
        Some(path) => crate::control::STDLIB.get_file(path)?.contents_utf8()?.to_owned(),
        None => std::fs::read_to_string(&place.file).ok()?,
    };
    let line = text.lines().nth(place.line.checked_sub(1)?)?;
    Some(crate::secret::without_passwords(&line.replace('\t', " ")))
}

fn indent(line: &str, column: usize) -> String {
    line.chars().take(column - 1).map(|c| if c.is_whitespace() { c } else { ' ' }).collect()
}

/// How far to underline: what the place says, else the word that begins there.
fn extent(place: &Place, line: &str) -> usize {
    if place.length > 0 {
        return place.length;
    }
    let word = line.chars().skip(place.column - 1).take_while(|c| c.is_alphanumeric() || *c == '_').count();
    word.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_shows_its_line_with_the_word_underlined() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("p.rhai");
        std::fs::write(&file, "on(h, |host| {\n    host.copy(\"/x\", #{ contents: \"hi\" });\n});\n").unwrap();
        let error = Error::playbook("copy: unknown field `contents`")
            .at(Place::new(file.display().to_string(), 2, 10))
            .on("controller-1")
            .hint("did you mean `content`?");
        let shown = render(&error, Style::plain()).as_str().replace(&dir.path().display().to_string(), "DIR");
        let wanted = "error: copy: unknown field `contents`\n --> DIR/p.rhai:2:10 on controller-1\n  |\n2 |     host.copy(\"/x\", #{ contents: \"hi\" });\n  |          ^^^^\n hint: did you mean `content`?";
        assert_eq!(shown, wanted);
    }

    #[test]
    fn a_fault_without_a_place_still_names_its_host() {
        let error = Error::step("`false` exited with status 1").on("worker-1").note("one\ntwo");
        assert_eq!(
            render(&error, Style::plain()).as_str(),
            "error: `false` exited with status 1\n --> on worker-1\n : one\n : two"
        );
    }

    #[test]
    fn a_fault_of_a_hostile_host_has_neither_sequences_nor_lines_of_its_own() {
        let evil = "x\u{1b}[2J\u{202e}y\nchanged      other          copy /etc/shadow";
        let error = Error::step(evil).because(evil).note(evil).hint(evil).on(evil);
        for style in [Style::plain(), Style::coloured(true)] {
            let shown = render(&error, style);
            let bare = ["31", "34", "1", "0"]
                .iter()
                .fold(shown.as_str().to_owned(), |text, code| text.replace(&format!("\u{1b}[{code}m"), ""));
            assert!(!bare.contains(['\u{1b}', '\u{202e}']), "{bare:?}");
            assert!(!bare.lines().any(|line| line.starts_with("changed")), "{bare}");
            assert_eq!(bare.lines().filter(|line| line.starts_with(" : changed")).count(), 4, "{bare}");
        }
    }
}
