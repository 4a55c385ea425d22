//! The table: hosts by kind, playbooks and tasks, and the slowest steps.

use std::collections::BTreeMap;

use super::sweep::{PARTS, Parts, parts};
use super::{Hosts, Kept, name};
use crate::report::warning_dedup::pattern;

/// How many steps are shown when not all are.
const SLOWEST: usize = 10;

/// The table's lines; `all` adds every host and every step.
pub(super) fn lines(kept: &Kept, all: bool) -> Vec<String> {
    let (hosts, end) = (kept.hosts(), kept.end());
    if hosts.is_empty() {
        return Vec::new();
    }
    let head = columns("wall", PARTS.iter().map(|part| name(*part).to_owned()));
    let mut out = vec![format!("{head}  profile: a host's mean")];
    for (kind, members) in kinds(&hosts) {
        out.push(row(mean(&hosts, &members, 0, end), &kind));
        if all && members.len() > 1 {
            out.extend(members.iter().map(|host| row(mean(&hosts, &[host], 0, end), &format!("  {host}"))));
        }
    }
    let named = named(kept);
    if !named.is_empty() {
        out.push(format!("{head}  of playbooks and tasks: a host's mean"));
        let every: Vec<&str> = hosts.keys().copied().collect();
        for (depth, from, to, name) in named {
            out.push(row(mean(&hosts, &every, from, to), &format!("{}{name}", "  ".repeat(depth))));
        }
    }
    let steps = steps(kept, &hosts);
    let shown = if all { steps.len() } else { SLOWEST.min(steps.len()) };
    if shown > 0 {
        out.push(format!("{head}  of the slowest steps: on the slowest host"));
        out.extend(steps[..shown].iter().map(|(parts, text)| row(*parts, text)));
    }
    out
}

fn row(parts: Parts, text: &str) -> String {
    let wall: u64 = parts.iter().sum();
    format!("{}  {text}", columns(&time(wall), parts.iter().map(|micros| time(*micros))))
}

fn columns(first: &str, others: impl Iterator<Item = String>) -> String {
    others.fold(format!("{first:>9}"), |line, column| format!("{line}{column:>9}"))
}

/// A length of time in microseconds as people read it.
fn time(micros: u64) -> String {
    // Rounded to three figures or fewer; what is there at all is never shown as nothing.
    match micros {
        0 => "-".to_owned(),
        1..100 => "<0.1 ms".to_owned(),
        100..9_950 => format!("{}.{} ms", (micros + 50) / 1000, (micros + 50) % 1000 / 100),
        9_950..999_500 => format!("{} ms", (micros + 500) / 1000),
        _ => format!("{}.{} s", (micros + 50_000) / 1_000_000, (micros + 50_000) % 1_000_000 / 100_000),
    }
}

/// Hosts by kind: those whose names differ in the number at their end.
fn kinds<'a>(hosts: &Hosts<'a>) -> Vec<(String, Vec<&'a str>)> {
    let mut kinds: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for host in hosts.keys() {
        kinds.entry(host.trim_end_matches(|c: char| c.is_ascii_digit())).or_default().push(host);
    }
    let shown = |members: &[&str]| pattern(&members.iter().map(|host| (*host).to_owned()).collect::<Vec<_>>());
    kinds.into_values().map(|members| (shown(&members), members)).collect()
}

fn mean(hosts: &Hosts, members: &[&str], from: u64, to: u64) -> Parts {
    let mut sum = Parts::default();
    for host in members {
        for (sum, part) in sum.iter_mut().zip(parts(&hosts[host], from, to)) {
            *sum += part;
        }
    }
    sum.map(|micros| micros / (members.len().max(1) as u64))
}

/// Playbooks and tasks in their order, with how deep they lie in each other, and from when to when they ran.
/// Those that run inside of a host's closure are on the host's track of the trace only.
fn named(kept: &Kept) -> Vec<(usize, u64, u64, &str)> {
    let shared = kept.spans.iter().filter(|span| span.host.is_none());
    let mut named: Vec<_> =
        shared.filter_map(|span| Some((span.at, span.at + span.took, span.name.as_deref()?))).collect();
    named.sort_by_key(|(from, to, _)| (*from, std::cmp::Reverse(*to)));
    let mut around: Vec<u64> = Vec::new();
    let mut out = Vec::new();
    for (from, to, name) in named {
        around.retain(|end| *end > from);
        out.push((around.len(), from, to, name));
        around.push(to);
    }
    out
}

/// The steps by their call and place, the slowest first, with what its time on the slowest host was spent on.
fn steps(kept: &Kept, hosts: &Hosts) -> Vec<(Parts, String)> {
    /// One call in the script: its slowest host, from when to when, and how often it was made.
    struct Call<'a> {
        host: &'a str,
        from: u64,
        to: u64,
        count: usize,
    }
    let mut calls: BTreeMap<(&str, &str), Call> = BTreeMap::new();
    for span in &kept.spans {
        let (Some(host), Some(id)) = (&span.host, span.step) else { continue };
        let Some(label) = kept.steps.get(&id) else { continue };
        let (from, to) = (span.at, span.at + span.took);
        let call = calls.entry((&label.call, &label.place)).or_insert(Call { host, from, to, count: 0 });
        call.count += 1;
        if to - from > call.to - call.from {
            (call.host, call.from, call.to) = (host, from, to);
        }
    }
    let mut out: Vec<(Parts, String)> = calls
        .into_iter()
        .map(|((call, place), Call { host, from, to, count })| {
            let times = if count > 1 { format!(" ({count} times)") } else { String::new() };
            (parts(&hosts[host], from, to), format!("{call}  {place} on {host}{times}"))
        })
        .collect();
    out.sort_by_key(|(parts, _)| std::cmp::Reverse(parts.iter().sum::<u64>()));
    out
}
