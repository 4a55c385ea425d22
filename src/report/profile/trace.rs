//! The spans in the Trace Event Format: a track a host, and one of the script.

use std::cmp::Reverse;

use serde_json::{Map, Value, json};

use super::sweep::{PARTS, Segment, parts};
use super::{Kept, name};
use crate::event::Span;

/// All spans as complete events.
pub(super) fn of(kept: &Kept) -> Value {
    let mut spans: Vec<&Span> = kept.spans.iter().collect();
    // By track, and on each of them what lies around comes before what lies inside.
    spans.sort_by_key(|span| (span.host.as_deref(), span.at, Reverse(span.took)));
    let mut events = vec![json!({ "ph": "M", "pid": 1, "name": "process_name", "args": { "name": "mk" } })];
    let mut tracks = 0;
    for spans in spans.chunk_by(|a, b| a.host == b.host) {
        let mut lanes: Vec<Vec<u64>> = Vec::new();
        for span in spans {
            let lane = place(&mut lanes, span);
            events.push(event(kept, span, tracks + lane));
        }
        let host = spans[0].host.as_deref().unwrap_or("the script");
        for lane in 0..lanes.len() {
            let shown = if lane == 0 { host.to_owned() } else { format!("{host} ({})", lane + 1) };
            events.push(json!({ "ph": "M", "pid": 1, "tid": tracks + lane, "name": "thread_name",
                                "args": { "name": shown } }));
        }
        tracks += lanes.len();
    }
    json!({ "displayTimeUnit": "ms", "otherData": totals(kept), "traceEvents": events })
}

/// How long the run was, and what each host's time came to, in microseconds.
fn totals(kept: &Kept) -> Value {
    let end = kept.end();
    let of = |segments: &[Segment]| -> Map<String, Value> {
        let micros = parts(segments, 0, end);
        PARTS.iter().zip(micros).map(|(part, micros)| (name(*part).to_owned(), micros.into())).collect()
    };
    let hosts: Map<String, Value> =
        kept.hosts().iter().map(|(host, segments)| ((*host).to_owned(), of(segments).into())).collect();
    json!({ "wall": end, "hosts": hosts })
}

/// The first lane in which a span lies either inside of what is open there or after it: on one track, complete
/// events must not cross. A host that several closures use at once has more than one.
fn place(lanes: &mut Vec<Vec<u64>>, span: &Span) -> usize {
    let end = span.at + span.took;
    for (index, open) in lanes.iter_mut().enumerate() {
        open.retain(|other| *other > span.at);
        if open.last().is_none_or(|other| *other >= end) {
            open.push(end);
            return index;
        }
    }
    lanes.push(vec![end]);
    lanes.len() - 1
}

fn event(kept: &Kept, span: &Span, track: usize) -> Value {
    let label = span.step.and_then(|id| Some((id, kept.steps.get(&id)?)));
    let shown = match (label, &span.name) {
        (Some((_, label)), _) => &label.call,
        (None, Some(name)) => name,
        (None, None) => name(span.part),
    };
    let args = label.map_or(json!({}), |(id, label)| json!({ "step": id, "place": label.place }));
    json!({ "ph": "X", "pid": 1, "tid": track, "name": shown, "cat": name(span.part), "ts": span.at, "dur": span.took,
            "args": args })
}
