//! A fault as text: what, where, on which host, the line itself, and what may be done.

use std::fmt::Write as _;

use super::human::Look;
use crate::error::{Error, Place};

/// Renders a fault as several lines, without a newline at the end.
pub fn render(error: &Error, look: Look) -> String {
    of_word(error, look, "error", look.red())
}

/// The same for what may not be meant, and is no fault.
pub fn warning(error: &Error, look: Look) -> String {
    of_word(error, look, "warning", look.yellow())
}

fn of_word(error: &Error, look: Look, word: &str, red: &str) -> String {
    let (blue, bold, reset) = (look.blue(), look.bold(), look.reset());
    let mut out = format!("{red}{word}{reset}{bold}: {}{reset}", error.message());
    for cause in error.causes() {
        let _ = write!(out, "\n  because: {cause}");
    }
    let on = error.host().map(|host| format!(" on {host}")).unwrap_or_default();
    match error.place() {
        Some(place) if !place.file.is_empty() => {
            let width = place.line.to_string().len();
            let _ = write!(out, "\n{:width$}{blue}-->{reset} {place}{on}", "");
            if let Some(line) = source_line(place) {
                let _ = write!(out, "\n{:width$} {blue}|{reset}", "");
                let _ = write!(out, "\n{blue}{} |{reset} {line}", place.line);
                if place.column > 0 {
                    let carets = "^".repeat(extent(place, &line));
                    let _ = write!(
                        out,
                        "\n{:width$} {blue}|{reset} {}{red}{carets}{reset}",
                        "",
                        indent(&line, place.column)
                    );
                }
            }
        }
        _ if !on.is_empty() => {
            let _ = write!(out, "\n {blue}-->{reset}{on}");
        }
        _ => {}
    }
    for frame in error.frames() {
        let name = frame.function.as_deref().unwrap_or("closure");
        let _ = write!(out, "\n     called as `{name}` at {}", frame.place);
    }
    for note in error.notes() {
        for line in note.lines() {
            let _ = write!(out, "\n {blue}:{reset} {line}");
        }
    }
    for hint in error.hints() {
        let _ = write!(out, "\n hint: {hint}");
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
        let shown = render(&error, Look::plain()).replace(&dir.path().display().to_string(), "DIR");
        let wanted = "error: copy: unknown field `contents`\n --> DIR/p.rhai:2:10 on controller-1\n  |\n2 |     host.copy(\"/x\", #{ contents: \"hi\" });\n  |          ^^^^\n hint: did you mean `content`?";
        assert_eq!(shown, wanted);
    }

    #[test]
    fn a_fault_without_a_place_still_names_its_host() {
        let error = Error::step("`false` exited with status 1").on("worker-1").note("one\ntwo");
        assert_eq!(
            render(&error, Look::plain()),
            "error: `false` exited with status 1\n --> on worker-1\n : one\n : two"
        );
    }
}
