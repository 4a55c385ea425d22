//! Runs, agents and connections that are killed while notified steps are due.

use std::process::Stdio;
use std::time::Duration;

use crate::pending::{again, is_over, killed, script, text};
use crate::support::{Place, Running};

/// How often a run is killed in the test below: `MK_KILLS=200 cargo test --test suite kills` is the whole drill.
fn kills() -> u32 {
    std::env::var("MK_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(12)
}

/// What a notified step must have seen when all is over: the last content that was written, once.
#[test]
fn random_kills_lose_no_notified_step_and_run_none_that_was_not_due() {
    let place = Place::new();
    let playbook = |round: u32| {
        format!(
            r#"
                on(local(), |here| {{
                    here.copy("DIR/a", #{{ content: "{round}", notify: later("shell", "cat DIR/a >> DIR/log; echo >> DIR/log") }});
                    here.line("DIR/b", #{{ line: "{round}", create: true, notify: [later("copy", "DIR/told", #{{ content: "{round}" }})] }});
                    here.run(["sleep", "0.05"]);
                    here.copy("DIR/same", #{{ content: "always", notify: later("shell", "echo same >> DIR/same-log") }});
                }});
            "#
        )
    };
    for round in 1..=kills() {
        script(&place, &playbook(round));
        let events = std::fs::File::create(place.path().join("events")).unwrap();
        let mut command = place.command(&["run", "p.rhai", "--json"]);
        let mut run = Running(command.stdout(events).stderr(Stdio::null()).spawn().unwrap());
        // Each at a moment of its own, from before the connection to after the end.
        std::thread::sleep(Duration::from_millis(u64::from(round * 37 % 400)));
        if round % 2 == 0 {
            let _ = run.0.kill();
        } else if let Some(agent) = agent_of(run.0.id()) {
            let _ = std::process::Command::new("kill").args(["-KILL", &agent.to_string()]).status();
        }
        let _ = run.0.wait();
        drop(run);
        let next = again(&place);
        assert_eq!(next.code, 0, "round {round}: {}{}", next.stdout, next.stderr);
        assert_eq!(text(&place, "told").as_deref(), Some(round.to_string().as_str()), "round {round}");
        let log = text(&place, "log").unwrap_or_default();
        let told = log.lines().filter(|line| *line == round.to_string()).count();
        // Of a step that was cut in its own middle nobody knows whether it has done its work: it is run again.
        let events = text(&place, "events").unwrap_or_default();
        let of_it = |event: &str| events.lines().any(|line| line.contains(event) && line.contains("\"cat "));
        let cut = of_it("step_started") && !of_it("step_done");
        assert!(told == 1 || cut && told == 2, "round {round}: it ran {told} times\n{log}");
        is_over(&place);
    }
    // The file that never changed again called for its step once, in the round that made it.
    assert_eq!(text(&place, "same-log").unwrap_or_default().lines().count(), 1);
}

/// The agent that a run has started, if it has by now.
fn agent_of(mk: u32) -> Option<u32> {
    let children = std::fs::read_to_string(format!("/proc/{mk}/task/{mk}/children")).unwrap_or_default();
    let threads = std::fs::read_dir(format!("/proc/{mk}/task")).ok()?.flatten();
    let of_threads: String = threads
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok())
        .collect::<Vec<_>>()
        .join(" ");
    format!("{children} {of_threads}").split_whitespace().next()?.parse().ok()
}

#[test]
fn what_was_cut_while_it_was_kept_stops_nothing_and_goes() {
    let place = killed("later(\"shell\", \"echo told >> DIR/log\")");
    let mut kept =
        walkdir::WalkDir::new(place.path().join("state")).into_iter().flatten().map(walkdir::DirEntry::into_path);
    let kept = kept.find(|path| path.parent().unwrap().ends_with("pending/local")).unwrap();
    std::fs::write(&kept, "").unwrap();
    let cut = kept.with_extension("1-ThreadId(1).new");
    std::fs::write(&cut, "a secret").unwrap();
    let ran = again(&place);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert!(format!("{}{}", ran.stdout, ran.stderr).contains("is due here"), "{}{}", ran.stdout, ran.stderr);
    assert!(!cut.exists());
    assert_eq!(place.mk(&["pending", "forget", "local"]).code, 0);
    is_over(&place);
}

#[test]
fn a_notified_step_whose_connection_is_lost_at_its_end_runs_once() {
    let place = Place::new();
    let _hosts = crate::sshd::hosts(&place, &["h"]);
    let on_host = ["run", "p.rhai", "-i", "inventory.yml"];
    // What the step says at its end stays with its sshd, which is stopped, and a second later killed.
    let cut = "echo told >> DIR/log; [ ! -e DIR/cut ] || { rm DIR/cut; p=$(ps -o ppid= -p $PPID); kill -STOP $p; \
               setsid sh -c \"sleep 1; kill -KILL $p\" </dev/null >/dev/null 2>&1 & }";
    let playbook = r#"
        on("h", |host| {
            host.copy("DIR/conf", #{ content: "ROUND", notify: later("shell", `CUT`) });
            host.shell("touch DIR/midway; sleep SECONDS");
        });
    "#
    .replace("CUT", cut);
    script(&place, &playbook.replace("ROUND", "1").replace("SECONDS", "600"));
    {
        let _run = Running(place.command(&on_host).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        place.until("midway");
    }
    // It is due already, and is notified once more.
    place.file("cut", "");
    script(&place, &playbook.replace("ROUND", "2").replace("SECONDS", "0"));
    let ran = place.mk(&on_host);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("connects again"), "{}{}", ran.stdout, ran.stderr);
    assert_eq!(text(&place, "log").as_deref(), Some("told\n"), "{}", ran.stdout);
}
