//! Spans that lie in each other, beside each other and across each other.

use super::sweep::{PARTS, parts, segments};
use super::*;
use crate::error::Place;
use crate::event::Step;

fn span(host: &str, part: TimeSpentOn, from: u64, to: u64) -> Span {
    let host = (!host.is_empty()).then(|| host.to_owned());
    Span { host, step: None, name: None, part, at: from, took: to - from }
}

/// A run of two hosts: `a` is connected and has one step of 500 ms, `b` waits for it.
fn told() -> Vec<EventKind> {
    let step = Step {
        id: 7,
        host: "a1".to_owned(),
        op: "run".to_owned(),
        subject: "sleep".to_owned(),
        user: None,
        place: Some(Place::new("p.rhai", 3, 4)),
        task: None,
    };
    let ms = |host, part, from: u64, to: u64| EventKind::Spent(span(host, part, from * 1000, to * 1000));
    let whole = Span { step: Some(7), ..span("a1", TimeSpentOn::Control, 200_000, 700_000) };
    let task = Span { name: Some("the task".to_owned()), ..span("", TimeSpentOn::Control, 100_000, 950_000) };
    vec![
        EventKind::StepStarted { step },
        ms("a1", TimeSpentOn::Connect, 210, 310),
        ms("a1", TimeSpentOn::Network, 310, 690),
        ms("a1", TimeSpentOn::Agent, 320, 690),
        ms("a1", TimeSpentOn::Child, 390, 690),
        EventKind::Spent(whole),
        ms("a1", TimeSpentOn::Control, 150, 800),
        ms("a2", TimeSpentOn::Control, 150, 160),
        ms("", TimeSpentOn::Waiting, 150, 900),
        EventKind::Spent(task),
        ms("", TimeSpentOn::Connect, 980, 1000),
    ]
}

fn profile(trace: Option<Sink>) -> String {
    let (sink, kept) = Sink::kept();
    let mut profile = Profile::new(sink, trace, 0);
    told().into_iter().for_each(|what| profile.event(&Event { v: 1, ms: 0, what }));
    profile.finish().unwrap();
    kept.text()
}

#[test]
fn the_span_that_began_last_counts_and_the_rest_is_this_sides() {
    let (own, shared) = (
        [
            span("a", TimeSpentOn::Control, 30, 60),
            span("a", TimeSpentOn::Network, 40, 50),
            span("a", TimeSpentOn::Child, 45, 50),
        ],
        [
            span("", TimeSpentOn::Waiting, 20, 80),
            span("", TimeSpentOn::Connect, 90, 100),
            span("", TimeSpentOn::Control, 0, 95),
        ],
    );
    let found = segments(&own.iter().collect::<Vec<_>>(), &shared.iter().collect::<Vec<_>>(), 100);
    let of = |from, to, part| Segment { from, to, part };
    assert_eq!(
        found,
        [
            of(0, 20, TimeSpentOn::Control),
            of(20, 30, TimeSpentOn::Waiting),
            of(30, 40, TimeSpentOn::Control),
            of(40, 45, TimeSpentOn::Network),
            of(45, 50, TimeSpentOn::Child),
            of(50, 60, TimeSpentOn::Control),
            of(60, 80, TimeSpentOn::Waiting),
            of(80, 90, TimeSpentOn::Control),
            of(90, 100, TimeSpentOn::Connect),
        ]
    );
    assert_eq!(parts(&found, 0, 100), [50, 10, 5, 0, 5, 30]);
    assert_eq!(parts(&found, 42, 47), [0, 0, 3, 0, 2, 0]);
}

proptest::proptest! {
    #[test]
    fn all_parts_of_a_host_come_to_the_whole(spans in proptest::collection::vec((0u64..100, 0u64..60, 0usize..6, proptest::bool::ANY), 0..40)) {
        let spans: Vec<(bool, Span)> =
            spans.into_iter().map(|(at, took, part, own)| (own, span("a", PARTS[part], at, at + took))).collect();
        let of = |wanted: bool| spans.iter().filter(|(own, _)| *own == wanted).map(|(_, span)| span).collect::<Vec<_>>();
        let found = segments(&of(true), &of(false), 160);
        proptest::prop_assert_eq!(parts(&found, 0, 160).iter().sum::<u64>(), 160);
        proptest::prop_assert!(found.windows(2).all(|pair| pair[0].to == pair[1].from && pair[0].part != pair[1].part));
    }
}

#[test]
fn the_table_shows_hosts_by_kind_tasks_and_slow_steps() {
    insta::assert_snapshot!(profile(None), @r"
         wall  control  connect  network    agent    child  waiting  profile: a host's mean
        1.0 s   320 ms    70 ms   5.0 ms    35 ms   150 ms   420 ms  a[1..2]
         wall  control  connect  network    agent    child  waiting  of playbooks and tasks: a host's mean
       850 ms   190 ms    50 ms   5.0 ms    35 ms   150 ms   420 ms  the task
         wall  control  connect  network    agent    child  waiting  of the slowest steps: on the slowest host
       500 ms    20 ms   100 ms    10 ms    70 ms   300 ms        -  run sleep  p.rhai:3:4 on a1
    ");
}

#[test]
fn the_trace_has_a_track_a_host_and_nothing_crosses_on_one() {
    let file = tempfile::NamedTempFile::new().unwrap();
    profile(Some(Sink::file(file.path()).unwrap()));
    let trace: serde_json::Value = serde_json::from_slice(&std::fs::read(file.path()).unwrap()).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    let tracks: Vec<(u64, &str)> = events
        .iter()
        .filter(|event| event["name"] == "thread_name")
        .map(|event| (event["tid"].as_u64().unwrap(), event["args"]["name"].as_str().unwrap()))
        .collect();
    assert_eq!(tracks, [(0, "the script"), (1, "a1"), (2, "a2")]);
    let complete: Vec<_> = events.iter().filter(|event| event["ph"] == "X").collect();
    assert_eq!(complete.len(), 10);
    let step = complete.iter().find(|event| event["name"] == "run sleep").unwrap();
    assert_eq!(
        (step["tid"].as_u64(), step["ts"].as_u64(), step["dur"].as_u64()),
        (Some(1), Some(200_000), Some(500_000))
    );
    assert_eq!(step["args"]["place"], "p.rhai:3:4");
}

#[test]
fn spans_that_cross_get_a_track_each() {
    let spans = vec![
        span("a", TimeSpentOn::Agent, 0, 10),
        span("a", TimeSpentOn::Child, 5, 15),
        span("a", TimeSpentOn::Child, 6, 9),
    ];
    let kept = Kept { spans, ..Kept::default() };
    let trace = trace::of(&kept);
    let events = trace["traceEvents"].as_array().unwrap();
    let tracks: Vec<(u64, u64)> = events
        .iter()
        .filter(|event| event["ph"] == "X")
        .map(|event| (event["ts"].as_u64().unwrap(), event["tid"].as_u64().unwrap()))
        .collect();
    assert_eq!(tracks, [(0, 0), (5, 1), (6, 0)]);
}
