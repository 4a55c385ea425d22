//! `mk run --profile`: where the time of a run went, held against a clock of our own.

use std::time::Instant;

use serde_json::Value;

use crate::support::Place;

const HOSTS: &str = "hosts:\n  a: { ways: [local: ] }\n  b: { ways: [local: ] }\n";

/// A run in which each part is at least as long as it says: 600 ms of a program, 400 ms of the agent, 500 ms of the
/// script, 300 ms of waiting. Of the hosts, `b` has nothing to do.
const SCRIPT: &str = r#"
task("all of it", || {
    on("all", |host| {
        if host.name == "b" { return; }
        host.run(["sleep", "0.6"], #{ reads: true });
        try { host.wait(#{ file: "/nonexistent/mk", timeout: "400ms", interval: "10ms" }); } catch (e) {}
        sleep("300ms");
        let enough = now() + 0.5;
        while now() < enough {}
    });
});
"#;

/// Runs it, and gives the trace, what was printed, and the seconds that our own clock saw.
fn profiled(more: &[&str]) -> (Value, String, f64) {
    let place = Place::new();
    place.file("inventory.yml", HOSTS);
    place.file("p.rhai", SCRIPT);
    let begun = Instant::now();
    let ran = place.mk(&[&["run", "p.rhai", "-i", "inventory.yml", "--profile=trace.json"], more].concat());
    let seconds = begun.elapsed().as_secs_f64();
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    let trace = std::fs::read(place.path().join("trace.json")).unwrap();
    (serde_json::from_slice(&trace).unwrap(), format!("{}{}", ran.stdout, ran.stderr), seconds)
}

fn part(trace: &Value, host: &str, part: &str) -> f64 {
    trace["otherData"]["hosts"][host][part]
        .as_f64()
        .unwrap_or_else(|| panic!("{host} {part} in {}", trace["otherData"]))
        / 1e6
}

#[test]
fn the_parts_of_every_host_come_to_what_a_clock_says_of_the_run() {
    let (trace, _, seconds) = profiled(&[]);
    assert!(seconds > 1.8, "{seconds}");
    for host in ["a", "b"] {
        let names = ["control", "connect", "network", "agent", "child", "waiting"];
        let sum: f64 = names.iter().map(|name| part(&trace, host, name)).sum();
        let wall = trace["otherData"]["wall"].as_f64().unwrap() / 1e6;
        assert!((sum - wall).abs() <= 0.02 * wall, "{host}: {sum} of {wall}: {}", trace["otherData"]);
        // Our clock counts the start and the end of the process as well, which a busy machine draws out.
        assert!(wall <= seconds && seconds - wall < 1.0, "{wall} of {seconds}");
    }
    // At most so much more than was asked for, on a busy machine.
    for (name, least, most) in [("child", 0.6, 1.1), ("agent", 0.4, 0.9), ("waiting", 0.3, 0.8), ("control", 0.5, 1.5)]
    {
        let found = part(&trace, "a", name);
        assert!(least <= found && found <= most, "{name}: {found}: {}", trace["otherData"]);
    }
    assert!(part(&trace, "a", "connect") > 0.001 && part(&trace, "a", "network") > 0.0, "{}", trace["otherData"]);
    assert!(part(&trace, "b", "waiting") > 1.8, "{}", trace["otherData"]);
}

#[test]
fn the_table_names_hosts_tasks_and_steps_and_goes_aside_for_json() {
    let (trace, shown, _) = profiled(&["--json"]);
    for line in ["profile: a host's mean", "  all of it", "  run sleep 0.6  p.rhai:4:14 on a"] {
        assert!(shown.contains(line), "{line} in {shown}");
    }
    let spent = shown.lines().filter(|line| line.contains("\"event\":{\"spent\":")).count();
    let complete = trace["traceEvents"].as_array().unwrap().iter().filter(|event| event["ph"] == "X").count();
    assert!(spent > 10);
    assert_eq!(spent, complete);
}

#[test]
fn without_profile_nothing_is_told_of_time() {
    let place = Place::new();
    place.file("p.rhai", "local().run([\"true\"], #{ reads: true });");
    let output =
        place.command(&["run", "p.rhai", "--json", "--log", "log"]).env("MK_LOG", "mk=trace").output().unwrap();
    assert!(output.status.success());
    let log = std::fs::read_to_string(place.path().join("log")).unwrap();
    let told = format!("{}{log}", String::from_utf8_lossy(&output.stdout));
    assert!(told.contains("step_done") && !told.contains("spent"), "{told}");
}

#[test]
fn without_a_file_there_is_the_table_only() {
    let place = Place::new();
    place.file("p.rhai", "local().run([\"true\"], #{ reads: true });");
    let ran = place.mk(&["run", "--profile", "p.rhai"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains("profile: a host's mean") && ran.stdout.contains("run true  p.rhai:1:9 on local"));
    assert_eq!(place.mk(&["run", "--profile=/nowhere/x", "p.rhai"]).code, 2);
}
