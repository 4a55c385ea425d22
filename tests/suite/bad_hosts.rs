//! One host of three that stalls, drops its connection or answers garbage in the middle of a step.

use serde_json::Value;

use crate::sshd::{Sshd, hosts, tool};
use crate::support::Place;

/// Three hosts, and a client that notices a silence within some seconds, yet not that of a busy machine.
fn three() -> (Place, Vec<Sshd>) {
    let place = Place::new();
    let hosts = hosts(&place, &["bad", "good-1", "good-2"]);
    let dir = place.path().display();
    place.file("bin/ssh", &format!("#!/bin/sh\nexec {} -F {dir}/ssh_config \"$@\"\n", tool("which", &["ssh"]).trim()));
    tool("chmod", &["+x", &format!("{dir}/bin/ssh")]);
    place.file(
        "ssh_config",
        "Host *\n  ServerAliveInterval 2\n  ServerAliveCountMax 2\n  ConnectTimeout 10\n  IdentityAgent none\n",
    );
    (place, hosts)
}

/// What happens on the host that goes wrong, in its second step: `WRONG`. The others wait until it has come so far.
/// Everybody has two more steps, one of them in another `on`.
const SCRIPT: &str = r#"on("all", |host| {
    host.run(["true"]);
    if host.name == "bad" {
        host.shell("touch DIR/now; WRONG");
    } else {
        host.wait(#{ file: "DIR/now" });
        for n in 0..5 { host.run(["sleep", "0.1"]); }
    }
    host.run(["touch", `DIR/third-${host.name}`]);
});
on("all", |host| { host.run(["touch", `DIR/last-${host.name}`]); });
"#;

/// The events of the run, and its exit code; `meanwhile` is done once the second step of the bad host runs.
fn run(place: &Place, wrong: &str, agents: Option<&str>, meanwhile: impl FnOnce()) -> (Vec<Value>, i32) {
    let dir = place.path().display().to_string();
    place.file("p.rhai", &SCRIPT.replace("WRONG", wrong).replace("DIR", &dir));
    let mut command = place.command(&["run", "p.rhai", "-i", "inventory.yml", "--json"]);
    command.env("PATH", format!("{dir}/bin:{}", std::env::var("PATH").unwrap()));
    if let Some(agents) = agents {
        command.env("MK_AGENT_DIR", agents);
    }
    let mk = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    while !place.path().join("now").exists() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    meanwhile();
    let output = mk.wait_with_output().unwrap();
    let events = String::from_utf8(output.stdout).unwrap();
    (events.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), output.status.code().unwrap())
}

/// That the bad host failed in its second step with this error, that nothing came after it there, and that the others
/// had done everything by then.
fn only_the_bad_one_failed(place: &Place, events: &[Value], error: &str) {
    let failed: Vec<usize> =
        events.iter().enumerate().filter(|(_, e)| e["event"]["step_failed"].is_object()).map(|(at, _)| at).collect();
    let [failed] = failed[..] else { panic!("{} steps failed: {events:?}", failed.len()) };
    let fault = &events[failed]["event"]["step_failed"];
    assert_eq!((fault["step"]["host"].as_str(), fault["step"]["op"].as_str()), (Some("bad"), Some("shell")), "{fault}");
    assert_eq!(
        (fault["step"]["place"]["line"].as_u64(), fault["step"]["place"]["column"].as_u64()),
        (Some(4), Some(14))
    );
    assert!(fault["error"].to_string().contains(error), "{fault}");
    for host in ["good-1", "good-2"] {
        let done = events.iter().position(|e| {
            let step = &e["event"]["step_done"]["step"];
            step["host"] == host && step["subject"].as_str().is_some_and(|subject| subject.contains("/third-"))
        });
        assert!(done.is_some_and(|done| done < failed), "{host} had to wait for the bad one");
        assert!(place.path().join(format!("last-{host}")).exists());
    }
    for later in ["third-bad", "last-bad", "end"] {
        assert!(!place.path().join(later).exists(), "{later}");
    }
}

#[test]
fn a_connection_that_stalls_costs_its_own_step_only() {
    let (place, hosts) = three();
    let end = place.path().join("end").display().to_string();
    let (events, code) = run(&place, &format!("sleep 20; touch {end}"), None, || hosts[0].signal_sessions("-STOP"));
    assert_eq!(code, 1, "{events:#?}");
    only_the_bad_one_failed(&place, &events, "the connection was lost, so the host stopped the step in the middle");
}

#[test]
fn a_connection_that_is_dropped_costs_its_own_step_only() {
    let (place, hosts) = three();
    let end = place.path().join("end").display().to_string();
    // Time for the others to be done: this one is noticed at once.
    let drop = || {
        while !place.path().join("third-good-1").exists() || !place.path().join("third-good-2").exists() {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        std::thread::sleep(std::time::Duration::from_millis(300));
        hosts[0].signal_sessions("-KILL");
    };
    let (events, code) = run(&place, &format!("sleep 20; touch {end}"), None, drop);
    assert_eq!(code, 1, "{events:#?}");
    only_the_bad_one_failed(&place, &events, "the connection was lost, so the host stopped the step in the middle");
}

#[test]
fn a_host_that_answers_garbage_is_asked_for_nothing_more() {
    let (place, _hosts) = three();
    let dir = place.path().display().to_string();
    let real = std::env::var("MK_AGENT_DIR").map_or_else(
        |_| std::path::Path::new(env!("CARGO_BIN_EXE_mk")).parent().unwrap().join("agents"),
        std::path::PathBuf::from,
    );
    let name = format!("mk-agent-{}", std::env::consts::ARCH);
    // The agent answers into a pipe, so that what it runs can put something between its frames.
    place.file(&format!("agents/{name}"), &format!("#!/bin/sh\n{} \"$@\" | cat\n", real.join(&name).display()));
    let wait =
        format!("while [ ! -e {dir}/third-good-1 ] || [ ! -e {dir}/third-good-2 ]; do sleep 0.1; done; sleep 0.3");
    let wrong = format!("{wait}; printf garbage >/proc/$PPID/fd/1; sleep 1");
    let (events, code) = run(&place, &wrong, Some(&format!("{dir}/agents")), || {});
    assert_eq!(code, 4);
    only_the_bad_one_failed(&place, &events, "a frame of 1734439522 bytes, over the limit of 16777216");
}
