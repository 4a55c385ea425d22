//! From spans that lie in each other to one answer for every moment.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use crate::event::{Span, TimeSpentOn};

/// A stretch of one host's time, in microseconds, spent on one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) part: TimeSpentOn,
}

/// How much of some time was spent on each part, in microseconds, in the order of [`PARTS`].
pub(super) type Parts = [u64; PARTS.len()];

/// All parts, in the order of the table.
pub(super) const PARTS: [TimeSpentOn; 6] = [
    TimeSpentOn::Control,
    TimeSpentOn::Connect,
    TimeSpentOn::Network,
    TimeSpentOn::Agent,
    TimeSpentOn::Child,
    TimeSpentOn::Waiting,
];

/// What a host's time from the run's beginning to `end` was spent on. A host's own spans come before those of all
/// hosts; of several the one that began last counts, and what no span covers is this side's.
pub(super) fn segments(own: &[&Span], shared: &[&Span], end: u64) -> Vec<Segment> {
    let spans: Vec<(bool, &Span)> =
        own.iter().map(|span| (true, *span)).chain(shared.iter().map(|span| (false, *span))).collect();
    // Every span comes and goes; those that go leave before others come at the same moment.
    let mut borders: Vec<(u64, bool, usize)> = Vec::with_capacity(2 * spans.len());
    for (index, (_, span)) in spans.iter().enumerate().filter(|(_, (_, span))| span.took > 0) {
        borders.push((span.at, true, index));
        borders.push((span.at + span.took, false, index));
    }
    borders.sort_unstable();
    let rank = |index: usize| {
        let (is_own, span) = spans[index];
        (is_own, span.at, Reverse(span.took), index)
    };
    let mut open = BTreeSet::new();
    let mut out: Vec<Segment> = Vec::new();
    let mut from = 0;
    let mut add = |from: u64, to: u64, part: TimeSpentOn| match out.last_mut() {
        _ if from >= to => {}
        Some(last) if last.part == part => last.to = to,
        _ => out.push(Segment { from, to, part }),
    };
    for (moment, comes, index) in borders {
        let part = open.last().map_or(TimeSpentOn::Control, |(_, _, _, index): &(_, _, _, usize)| spans[*index].1.part);
        add(from, moment.min(end), part);
        from = from.max(moment);
        if comes {
            open.insert(rank(index));
        } else {
            open.remove(&rank(index));
        }
    }
    add(from, end, TimeSpentOn::Control);
    out
}

/// What the time from `from` to `to` was spent on.
pub(super) fn parts(segments: &[Segment], from: u64, to: u64) -> Parts {
    let mut parts = Parts::default();
    let first = segments.partition_point(|segment| segment.to <= from);
    for segment in segments[first..].iter().take_while(|segment| segment.from < to) {
        let at = PARTS.iter().position(|part| *part == segment.part).unwrap_or_default();
        parts[at] += segment.to.min(to) - segment.from.max(from);
    }
    parts
}
