//! The words of a template that only its rendering would miss: names of filters and tests.

/// A name, and what it is one of.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Word<'a> {
    /// Behind `|`.
    Filter(&'a str),
    /// Behind `is`.
    Test(&'a str),
}

/// All of them, each with where it begins.
pub(super) fn words(text: &str) -> Vec<(usize, Word<'_>)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(open) =
        text[at..].find("{{").into_iter().chain(text[at..].find("{%")).chain(text[at..].find("{#")).min()
    {
        let begin = at + open;
        let end = match &text[begin..begin + 2] {
            "{{" => "}}",
            "{%" => "%}",
            _ => "#}",
        };
        let length = text[begin..].find(end).unwrap_or(text.len() - begin);
        let inside = &text[begin..begin + length];
        at = (begin + length + 2).min(text.len());
        if end == "#}" {
            continue;
        }
        code(inside, begin, &mut found);
        if inside.trim_matches(['{', '%', '-', '+']).trim() == "raw" {
            at = text[at..].find("endraw").map_or(text.len(), |after| at + after);
        }
    }
    found
}

/// Those of one piece of code, which begins at `start` of the text.
fn code<'a>(code: &'a str, start: usize, found: &mut Vec<(usize, Word<'a>)>) {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    let mut quote = None;
    let mut before = "";
    let mut rest = code;
    while let Some(letter) = rest.chars().next() {
        let at = code.len() - rest.len();
        if let Some(open) = quote {
            let escaped = letter == '\\';
            quote = quote.filter(|_| letter != open);
            rest = &rest[letter.len_utf8()..];
            if escaped {
                rest = rest.get(rest.chars().next().map_or(0, char::len_utf8)..).unwrap_or_default();
            }
            continue;
        }
        if part(letter) {
            let length = rest.find(|c| !part(c)).unwrap_or(rest.len());
            let name = &rest[..length];
            match before {
                "|" => found.push((start + at, Word::Filter(name))),
                "is" if name != "not" => found.push((start + at, Word::Test(name))),
                _ => {}
            }
            before = if before == "is" && name == "not" { "is" } else { name };
            rest = &rest[length..];
            continue;
        }
        if matches!(letter, '"' | '\'') {
            quote = Some(letter);
        }
        if !letter.is_whitespace() {
            before = &rest[..letter.len_utf8()];
        }
        rest = &rest[letter.len_utf8()..];
    }
}

#[cfg(test)]
mod tests {
    use super::Word::{Filter, Test};
    use super::*;

    #[test]
    fn filters_and_tests_are_found_where_they_stand() {
        let text = "{# x | no #}a | no {{ b | upper | join(\"| no\") }}{% if c is not defined and d is odd %}{% raw %}{{ e | no }}{% endraw %}{{ f|g }}";
        let found: Vec<Word<'_>> = words(text).into_iter().map(|(_, word)| word).collect();
        assert_eq!(found, [Filter("upper"), Filter("join"), Test("defined"), Test("odd"), Filter("g")]);
        let (at, _) = words(text).remove(0);
        assert!(text[at..].starts_with("upper |"));
        assert!(words("{{ 'open").is_empty() && words("{{").is_empty() && words("{% raw %}{{ a | b").is_empty());
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "[{}%#|'\"\\\\ a-zä]{0,40}") {
            let _ = words(&text);
        }
    }
}
