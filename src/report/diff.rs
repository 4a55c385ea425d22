//! A difference as lines of text.

use serde_json::Value;
use similar::TextDiff;

use super::text::{Style, Text};
use crate::change::{Diff, Verb};

/// The lines that show a difference.
pub(super) fn lines(diff: &Diff, style: Style) -> Vec<Text> {
    if diff.secret {
        return vec![Text::line("content differs (secret)")];
    }
    let mut lines = Vec::new();
    for field in &diff.fields {
        let (before, after) = (field.before.as_ref(), field.after.as_ref());
        if is_content(before) || is_content(after) {
            content(diff.verb, before, after, style, &mut lines);
            continue;
        }
        let name = Text::line(format_args!("{}: ", field.name));
        lines.push(match (before.map(shown), after.map(shown)) {
            (Some(before), Some(after)) => name.then(format_args!("{before} -> {after}")),
            (None, Some(after)) => name.paint(style.green(), format_args!("+{after}")),
            (Some(before), None) => name.paint(style.red(), format_args!("-{before}")),
            (None, None) => name.then("differs"),
        });
    }
    lines
}

fn is_content(value: Option<&Value>) -> bool {
    value.is_some_and(|value| value.get("sha256").is_some())
}

fn content(verb: Verb, before: Option<&Value>, after: Option<&Value>, style: Style, lines: &mut Vec<Text>) {
    let text = |value: Option<&Value>| match value {
        None => Some(String::new()),
        Some(value) => value.get("text").and_then(Value::as_str).map(str::to_owned),
    };
    let size = |value: Option<&Value>| value.and_then(|v| v.get("size")).and_then(Value::as_u64).unwrap_or(0);
    let (Some(old), Some(new)) = (text(before), text(after)) else {
        lines.push(Text::line(format_args!("content: {} -> {} bytes", size(before), size(after))));
        return;
    };
    if verb == Verb::Remove {
        lines.push(Text::line(format_args!("content: -{} bytes", size(before))));
        return;
    }
    for line in TextDiff::from_lines(&old, &new).unified_diff().context_radius(3).to_string().lines() {
        let colour = match line.as_bytes().first() {
            Some(b'+') => style.green(),
            Some(b'-') => style.red(),
            Some(b'@') => style.blue(),
            _ => style.none(),
        };
        lines.push(Text::default().paint(colour, line));
    }
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
