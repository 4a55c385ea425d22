//! Names with ranges in them: `worker-[1..9]`, `node-[01..13]`, `rack-[a..c]-[1..4]`.
//!
//! One reading serves both sides: an inventory expands a name, a pattern asks whether a name is covered.

use std::fmt::Write as _;

/// The most hosts that one inventory may have.
pub(super) const MOST_HOSTS: usize = 100_000;

/// A name that may hold ranges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ranged {
    parts: Vec<Part>,
}

/// A stretch of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// Characters that stand for themselves; in a pattern `*` and `?` do not.
    Plain(String),
    /// Numbers from the first to the last, both included; a width above zero pads with zeros.
    Numbers { first: u64, last: u64, width: usize },
    /// ASCII letters of one case from the first to the last.
    Letters { first: u8, last: u8 },
}

/// One name that a [`Ranged`] stands for, with the text each of its ranges took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expanded {
    pub(super) name: String,
    pub(super) numbers: Vec<String>,
}

impl Ranged {
    /// Reads a name.
    ///
    /// # Errors
    /// What is wrong with it, as the message of a fault.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find(['[', ']']) {
            let (plain, bracket) = rest.split_at(open);
            let close = bracket.find(']').filter(|_| bracket.starts_with('['));
            let Some(close) = close else {
                return Err(format!("`{text}` has a bracket without its partner"));
            };
            if !plain.is_empty() {
                parts.push(Part::Plain(plain.to_owned()));
            }
            parts.push(Part::read(&bracket[1..close])?);
            rest = &bracket[close + 1..];
        }
        if !rest.is_empty() {
            parts.push(Part::Plain(rest.to_owned()));
        }
        Ok(Self { parts })
    }

    /// Whether it is a plain name.
    pub(super) fn is_plain(&self) -> bool {
        self.parts.iter().all(|part| matches!(part, Part::Plain(_)))
    }

    /// How many names it stands for; the largest number there is when there are more.
    pub(super) fn count(&self) -> usize {
        self.parts.iter().fold(1, |count: usize, part| {
            let these = match *part {
                Part::Plain(_) => 1,
                Part::Numbers { first, last, .. } => (last - first).saturating_add(1),
                Part::Letters { first, last } => u64::from(last - first) + 1,
            };
            count.saturating_mul(usize::try_from(these).unwrap_or(usize::MAX))
        })
    }

    /// Every name it stands for, the last range counting fastest. Ask [`Self::count`] first.
    pub(super) fn expand(&self) -> Vec<Expanded> {
        let mut all = vec![Expanded { name: String::new(), numbers: Vec::new() }];
        for part in &self.parts {
            let texts: Vec<String> = match part {
                Part::Plain(text) => {
                    for one in &mut all {
                        one.name.push_str(text);
                    }
                    continue;
                }
                Part::Numbers { first, last, width } => (*first..=*last).map(|n| padded(n, *width)).collect(),
                Part::Letters { first, last } => (*first..=*last).map(|c| char::from(c).to_string()).collect(),
            };
            all = all
                .iter()
                .flat_map(|one| {
                    texts.iter().map(|text| {
                        let mut numbers = one.numbers.clone();
                        numbers.push(text.clone());
                        Expanded { name: format!("{}{text}", one.name), numbers }
                    })
                })
                .collect();
        }
        all
    }

    /// Whether `name` is one of those it stands for, where `*` is any text and `?` any character.
    ///
    /// The set of places in `name` that can be reached is carried from part to part, so that no pattern,
    /// however many stars it has, takes more than its length times the name's.
    pub(super) fn covers(&self, name: &str) -> bool {
        let name: Vec<char> = name.chars().collect();
        let mut reached = vec![false; name.len() + 1];
        reached[0] = true;
        for part in &self.parts {
            match part {
                Part::Plain(text) => text.chars().for_each(|c| step(&mut reached, &name, c)),
                range => reached = range.step(&reached, &name),
            }
        }
        reached[name.len()]
    }
}

/// Moves every reached place over what `c` stands for.
fn step(reached: &mut [bool], name: &[char], c: char) {
    if c == '*' {
        for place in 0..name.len() {
            reached[place + 1] |= reached[place];
        }
        return;
    }
    for place in (0..name.len()).rev() {
        reached[place + 1] = reached[place] && (c == '?' || name[place] == c);
    }
    reached[0] = false;
}

impl Part {
    /// Reads what stands between the brackets.
    fn read(inside: &str) -> Result<Self, String> {
        let malformed = || format!("`[{inside}]` is not a range: write `[1..9]`, `[01..13]` or `[a..c]`");
        let (first, last) = inside.split_once("..").or_else(|| inside.split_once(':')).ok_or_else(malformed)?;
        let reversed = || format!("the range `[{inside}]` is empty: it ends before it begins");
        if let ([a], [z]) = (first.as_bytes(), last.as_bytes())
            && (a.is_ascii_lowercase() && z.is_ascii_lowercase() || a.is_ascii_uppercase() && z.is_ascii_uppercase())
        {
            return if a <= z { Ok(Self::Letters { first: *a, last: *z }) } else { Err(reversed()) };
        }
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            digits.then(|| text.parse::<u64>().ok()).flatten().ok_or_else(malformed)
        };
        let (from, to) = (number(first)?, number(last)?);
        let is_padded = |text: &str| text.len() > 1 && text.starts_with('0');
        let width = if is_padded(first) || is_padded(last) { first.len() } else { 0 };
        if width > 0 && first.len() != last.len() {
            return Err(format!("the range `[{inside}]` is padded with zeros to two different widths"));
        }
        if from > to { Err(reversed()) } else { Ok(Self::Numbers { first: from, last: to, width }) }
    }

    /// The places in `name` that a range leads to from those reached.
    fn step(&self, reached: &[bool], name: &[char]) -> Vec<bool> {
        let mut next = vec![false; reached.len()];
        for start in (0..name.len()).filter(|start| reached[*start]) {
            match *self {
                Self::Plain(_) => {}
                Self::Letters { first, last } => {
                    next[start + 1] |= (char::from(first)..=char::from(last)).contains(&name[start]);
                }
                Self::Numbers { first, last, width } => {
                    let mut text = String::new();
                    for (offset, digit) in name[start..].iter().enumerate().take_while(|(_, c)| c.is_ascii_digit()) {
                        text.push(*digit);
                        let Ok(number) = text.parse() else { break };
                        next[start + offset + 1] |= (first..=last).contains(&number) && padded(number, width) == text;
                    }
                }
            }
        }
        next
    }
}

fn padded(number: u64, width: usize) -> String {
    let mut text = String::new();
    let _ = write!(text, "{number:0width$}");
    text
}

impl Expanded {
    /// `text` with `{name}` filled in, and `{n}` or `{1}`, `{2}`… for the ranges of the name.
    ///
    /// Double braces are left alone: they belong to templates.
    pub(super) fn fill(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            out.push_str(&rest[..open]);
            rest = &rest[open..];
            let doubled = rest.len() - rest.trim_start_matches('{').len();
            let word = rest[1..]
                .split_once('}')
                .filter(|_| doubled == 1)
                .and_then(|(word, after)| self.word(word).map(|word| (word, after)));
            if let Some((word, after)) = word {
                out.push_str(word);
                rest = after;
            } else {
                out.push_str(&rest[..doubled]);
                rest = &rest[doubled..];
            }
        }
        out.push_str(rest);
        out
    }

    fn word(&self, word: &str) -> Option<&str> {
        match (word, self.numbers.as_slice()) {
            ("name", _) => Some(&self.name),
            ("n", [only]) => Some(only),
            (index, numbers) => {
                let index: usize = index.parse().ok()?;
                numbers.get(index.checked_sub(1)?).map(String::as_str)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(text: &str) -> Vec<String> {
        Ranged::read(text).unwrap().expand().into_iter().map(|one| one.name).collect()
    }

    #[test]
    fn ranges_expand_in_order_and_keep_their_padding() {
        assert_eq!(names("w-[1..3]"), ["w-1", "w-2", "w-3"]);
        assert_eq!(names("w-[08..10]x"), ["w-08x", "w-09x", "w-10x"]);
        assert_eq!(names("w-[9:11]"), ["w-9", "w-10", "w-11"]);
        assert_eq!(names("r[a..b]-[0..1]"), ["ra-0", "ra-1", "rb-0", "rb-1"]);
        assert_eq!(names("plain"), ["plain"]);
        assert_eq!(names("w-[7..7]"), ["w-7"]);
    }

    #[test]
    fn a_range_that_stands_for_nothing_is_refused() {
        let complaint = |text: &str| Ranged::read(text).unwrap_err();
        assert_eq!(complaint("w-[3..1]"), "the range `[3..1]` is empty: it ends before it begins");
        assert_eq!(complaint("w-[c..a]"), "the range `[c..a]` is empty: it ends before it begins");
        let malformed = |inside: &str| format!("`[{inside}]` is not a range: write `[1..9]`, `[01..13]` or `[a..c]`");
        let wrong = [
            "",
            "1",
            "..",
            "1..",
            "..3",
            "a..3",
            "a..C",
            "-1..3",
            "1..2..3",
            "aa..bb",
            "ä..ö",
            "1,2",
            "1..99999999999999999999",
        ];
        for inside in wrong {
            assert_eq!(complaint(&format!("w-[{inside}]")), malformed(inside));
        }
        assert_eq!(complaint("w-[01..100]"), "the range `[01..100]` is padded with zeros to two different widths");
        for text in ["w-[1..3", "w-1]", "w-]1..3[", "[[1..2]"] {
            assert!(Ranged::read(text).is_err(), "{text}");
        }
        assert_eq!(complaint("w-[1..3"), "`w-[1..3` has a bracket without its partner");
    }

    #[test]
    fn counting_does_not_expand() {
        assert_eq!(Ranged::read("[0..18446744073709551615]").unwrap().count(), usize::MAX);
        assert_eq!(Ranged::read("[1..100000][1..100000][1..100000][1..100000]").unwrap().count(), usize::MAX);
        assert_eq!(Ranged::read("[a..c][01..10]").unwrap().count(), 30);
    }

    #[test]
    fn a_star_is_any_text_and_a_question_mark_one_character() {
        let covers = |pattern: &str, name| Ranged::read(pattern).unwrap().covers(name);
        assert!(covers("w*-?", "worker-1") && covers("*", "") && covers("*a*a*", "banana"));
        assert!(!covers("w*-?", "worker-12") && !covers("?", "") && !covers("w", "ww") && !covers("", "w"));
        assert!(covers("w-[1..12]*", "w-12.example.com") && !covers("w-[1..12]", "w-012"));
        assert!(!covers(&"*a".repeat(500), &"a".repeat(499)));
    }

    #[test]
    fn words_in_braces_are_filled_in_and_others_left_alone() {
        let one = Expanded { name: "w-07".to_owned(), numbers: vec!["07".to_owned()] };
        assert_eq!(one.fill("10.0.0.{n}/{name}"), "10.0.0.07/w-07");
        assert_eq!(one.fill("{1} {2} {0} {x} {{n}} {{ n }} {"), "07 {2} {0} {x} {{n}} {{ n }} {");
        let two = Expanded { name: "r".to_owned(), numbers: vec!["a".to_owned(), "1".to_owned()] };
        assert_eq!(two.fill("{1}-{2} {n}"), "a-1 {n}");
    }

    proptest! {
        #[test]
        fn no_text_makes_reading_panic(text in "\\PC{0,40}|[-a-c\\[\\]0-9.:*?]{0,30}", name in "\\PC{0,20}") {
            if let Ok(ranged) = Ranged::read(&text) {
                ranged.covers(&name);
                if ranged.count() <= 1000 {
                    prop_assert_eq!(ranged.expand().len(), ranged.count());
                }
            }
        }

        #[test]
        fn a_range_covers_what_it_expands_to_and_nothing_else(
            first in 0u64..150, more in 0u64..60, padded in any::<bool>(), other in 0u64..300, prefix in "[a-z0-9-]{0,4}",
        ) {
            let last = first + more;
            let width = if padded { 3 } else { 0 };
            let text = format!("{prefix}[{first:0width$}..{last:0width$}].lab");
            let ranged = Ranged::read(&text).unwrap();
            let all = ranged.expand();
            prop_assert_eq!(all.len() as u64, more + 1);
            for (one, number) in all.iter().zip(first..) {
                prop_assert_eq!(&one.name, &format!("{prefix}{number:0width$}.lab"));
                prop_assert_eq!(&one.fill("{n}"), &format!("{number:0width$}"));
                prop_assert!(ranged.covers(&one.name));
            }
            let name = format!("{prefix}{other:0width$}.lab");
            prop_assert_eq!(ranged.covers(&name), all.iter().any(|one| one.name == name));
        }
    }
}
