//! A difference as lines of text.

use serde_json::Value;
use similar::TextDiff;

use super::human::Look;
use crate::change::{Diff, Verb};

/// The lines that show a difference.
pub(super) fn lines(diff: &Diff, look: Look) -> Vec<String> {
    if diff.secret {
        return vec!["content differs (secret)".to_owned()];
    }
    let mut lines = Vec::new();
    for field in &diff.fields {
        let (before, after) = (field.before.as_ref(), field.after.as_ref());
        if is_content(before) || is_content(after) {
            content(diff.verb, before, after, look, &mut lines);
            continue;
        }
        match (before.map(shown), after.map(shown)) {
            (Some(before), Some(after)) => lines.push(format!("{}: {before} -> {after}", field.name)),
            (None, Some(after)) => lines.push(format!("{}: {}+{after}{}", field.name, look.green(), look.reset())),
            (Some(before), None) => lines.push(format!("{}: {}-{before}{}", field.name, look.red(), look.reset())),
            (None, None) => lines.push(format!("{}: differs", field.name)),
        }
    }
    lines
}

fn is_content(value: Option<&Value>) -> bool {
    value.is_some_and(|value| value.get("sha256").is_some())
}

fn content(verb: Verb, before: Option<&Value>, after: Option<&Value>, look: Look, lines: &mut Vec<String>) {
    let text = |value: Option<&Value>| match value {
        None => Some(String::new()),
        Some(value) => value.get("text").and_then(Value::as_str).map(str::to_owned),
    };
    let size = |value: Option<&Value>| value.and_then(|v| v.get("size")).and_then(Value::as_u64).unwrap_or(0);
    let (Some(old), Some(new)) = (text(before), text(after)) else {
        lines.push(format!("content: {} -> {} bytes", size(before), size(after)));
        return;
    };
    if verb == Verb::Remove {
        lines.push(format!("content: -{} bytes", size(before)));
        return;
    }
    for line in TextDiff::from_lines(&old, &new).unified_diff().context_radius(3).to_string().lines() {
        let colour = match line.as_bytes().first() {
            Some(b'+') => look.green(),
            Some(b'-') => look.red(),
            Some(b'@') => look.blue(),
            _ => "",
        };
        let reset = if colour.is_empty() { "" } else { look.reset() };
        lines.push(format!("{colour}{line}{reset}"));
    }
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
