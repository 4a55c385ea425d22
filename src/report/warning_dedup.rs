//! Deduplication of warnings: the same one of many hosts as one line.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long a warning waits for the same one of other hosts.
const WAIT: Duration = Duration::from_secs(3);

/// Warnings of hosts that are not shown yet, in the order in which they came first.
#[derive(Default)]
pub(super) struct WarningDedup {
    held: Vec<(String, Vec<String>)>,
    since: Option<Instant>,
}

impl WarningDedup {
    /// Takes what a host warns of.
    pub(super) fn hold(&mut self, host: &str, text: &str) {
        self.since.get_or_insert_with(Instant::now);
        match self.held.iter_mut().find(|(known, _)| known == text) {
            Some((_, hosts)) if hosts.iter().any(|known| known == host) => {}
            Some((_, hosts)) => hosts.push(host.to_owned()),
            None => self.held.push((text.to_owned(), vec![host.to_owned()])),
        }
    }

    /// Whether what is held has waited long enough.
    pub(super) fn is_due(&self) -> bool {
        self.since.is_some_and(|since| since.elapsed() >= WAIT)
    }

    /// Gives what is held: each text, and the hosts that said it.
    pub(super) fn take(&mut self) -> Vec<(String, Vec<String>)> {
        self.since = None;
        std::mem::take(&mut self.held)
    }
}

/// Hosts as a pattern: `controller-[1..3],jumpbox`.
pub(super) fn pattern(hosts: &[String]) -> String {
    let mut numbered: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    let mut parts: Vec<String> = Vec::new();
    for host in hosts {
        let stem = host.trim_end_matches(|c: char| c.is_ascii_digit());
        let digits = &host[stem.len()..];
        match digits.parse::<u64>() {
            // A number with a zero in front of it is not one of a range without.
            Ok(number) if number.to_string() == digits => numbered.entry(stem).or_default().push(number),
            _ => parts.push(host.clone()),
        }
    }
    for (stem, mut numbers) in numbered {
        numbers.sort_unstable();
        numbers.dedup();
        for run in numbers.chunk_by(|a, b| a + 1 == *b) {
            match run {
                [one] => parts.push(format!("{stem}{one}")),
                [first, .., last] => parts.push(format!("{stem}[{first}..{last}]")),
                [] => {}
            }
        }
    }
    parts.sort();
    parts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_become_a_pattern() {
        let of = |names: &[&str]| pattern(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&["w-2", "w-1", "w-3", "jumpbox"]), "jumpbox,w-[1..3]");
        assert_eq!(of(&["w-9", "w-10", "w-12"]), "w-12,w-[9..10]");
        assert_eq!(of(&["w-01", "w-02"]), "w-01,w-02");
    }

    #[test]
    fn a_text_is_kept_once_with_all_who_said_it() {
        let mut held = WarningDedup::default();
        for (host, text) in [("a", "x"), ("b", "x"), ("a", "y"), ("a", "x")] {
            held.hold(host, text);
        }
        let of = |text: &str, hosts: &[&str]| (text.to_owned(), hosts.iter().map(|h| (*h).to_owned()).collect());
        assert_eq!(held.take(), [of("x", &["a", "b"]), of("y", &["a"])]);
        assert_eq!(held.take(), []);
    }
}
