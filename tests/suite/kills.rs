//! Playbooks with notified steps, killed at random moments: nothing that is due is lost, nothing runs twice, and nothing
//! that was not due. A dozen kills are part of the suite; `MK_KILLS=200 cargo test --test suite random_kills` is the
//! whole drill.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::machine::Machine;
use crate::support::{Place, Running};

fn kills() -> u32 {
    std::env::var("MK_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(12)
}

fn script(place: &Place, name: &str, text: &str) {
    place.file(name, &text.replace("DIR", &place.path().display().to_string()));
}

fn text(place: &Place, name: &str) -> String {
    std::fs::read_to_string(place.path().join(name)).unwrap_or_default()
}

/// What a notified step must have seen when all is over: the last content that was written, once.
#[test]
fn random_kills_here_lose_no_notified_step_and_run_none_that_was_not_due() {
    let place = Place::new();
    let playbook = |round: u32| {
        format!(
            "on(local(), |here| {{\n    here.copy(\"DIR/a\", #{{ content: \"{round}\\n\", notify: later(\"shell\", \"cat DIR/a >> \
             DIR/log\") }});\n    here.line(\"DIR/b\", #{{ line: \"{round}\", create: true, notify: \
             [later(\"copy\", \"DIR/told\", #{{ content: \"{round}\" }})] }});\n    here.run([\"sleep\", \"0.05\"]);\n    \
             here.copy(\"DIR/same\", #{{ content: \"always\", notify: later(\"shell\", \"echo same >> DIR/same-log\") }});\n}});\n"
        )
    };
    for round in 1..=kills() {
        script(&place, "p.rhai", &playbook(round));
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
        let next = place.mk(&["run", "p.rhai"]);
        assert_eq!(next.code, 0, "round {round}: {}{}", next.stdout, next.stderr);
        assert_eq!(text(&place, "told"), round.to_string(), "round {round}");
        ran_once(&place, "log", "cat DIR/a", round, &format!("round {round}"));
        nothing_is_due(&place, &place.path().join("agent/state"), &["pending", "list"]);
    }
    // The file that never changed again called for its step once, in the round that made it.
    assert_eq!(text(&place, "same-log").lines().count(), 1);
}

/// A step that was notified in a round has run once. Of one that was cut in its own middle nobody knows whether it has
/// done its work, so that is run again; says whether it was.
fn ran_once(place: &Place, log: &str, step: &str, round: u32, what: &str) -> bool {
    let log = text(place, log);
    let told = log.lines().filter(|line| *line == round.to_string()).count();
    let step = step.replace("DIR", &place.path().display().to_string());
    let events = text(place, "events");
    let of_it = |event: &str| events.lines().any(|line| line.contains(event) && line.contains(&format!("\"{step}")));
    let cut = of_it("step_started") && !of_it("step_done");
    assert!(told == 1 || cut && told == 2, "{what}: `{step}` ran {told} times\n{log}\n{events}");
    told == 2
}

/// Whether the run that was disturbed came to know the end of a step.
fn told_of_end(place: &Place, op: &str, subject: &str) -> bool {
    let subject = subject.replace("DIR", &place.path().display().to_string());
    let of_it = [format!("\"op\":\"{op}\""), format!("\"subject\":\"{subject}\"")];
    let events = text(place, "events");
    let ends = events.lines().filter(|line| line.contains("step_done") || line.contains("step_failed"));
    ends.into_iter().any(|line| of_it.iter().all(|part| line.contains(part)))
}

/// Nothing is due any more, on the host, which keeps its notes there, or here.
fn nothing_is_due(place: &Place, state: &std::path::Path, list: &[&str]) {
    let notes = std::fs::read_dir(state.join("pending")).into_iter().flatten().flatten();
    let notes: Vec<_> = notes.map(|entry| (entry.file_name(), std::fs::read_to_string(entry.path()))).collect();
    assert!(notes.is_empty(), "the host still has notes: {notes:?}");
    let listed = place.mk(list);
    assert_eq!((listed.code, listed.stdout.as_str()), (0, ""), "{}", listed.stderr);
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

/// Notified steps of every kind: programs, which count in one write how often they run, as root and as another user; content of this
/// side's, a template with a secret, a file that comes to this side; and two that are never due.
const EVERY_KIND: &str = r#"let pw = secret("file:DIR/key");
on("h", |host| {
    host.copy("DIR/a", #{ content: "ROUND\n", notify: later("shell", "cat DIR/a >> DIR/log") });
    host.line("DIR/b", #{ line: "ROUND", create: true, notify: [
        later("copy", "DIR/told", #{ src: "big" }),
        later("template", "DIR/shown", #{ src: "t.j2", vars: #{ pw: pw, round: ROUND } }),
    ] });
    host.flush_notified();
    host.as_user("nobody").copy("DIR/theirs/c", #{ content: "ROUND\n", notify:
        later("shell", "cat DIR/theirs/c >> DIR/theirs/log") });
    host.copy("DIR/d", #{ content: "ROUND", notify: later("fetch", "DIR/d", #{ dest: "got" }) });
    host.copy("DIR/same", #{ content: "always", notify: later("shell", "echo same >> DIR/same-log") });
    host.run(["true"], #{ changed: |outcome| false, notify: later("shell", "touch DIR/never-true") });
    try { host.copy("DIR/e", #{ content: "x", validate: ["false", "%s"], notify: later("shell", "touch DIR/never-copy") }); }
    catch {}
});
"#;

/// What is killed.
const WHAT: [&str; 7] = ["mk", "agent", "session", "link", "power", "mk and power", "session, and power later"];

/// Another one in each run of the tests; they differ in when, and a failure names that.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit.max(1)
    }
}

/// A run over SSH, on a machine of which anything may be lost at any moment.
#[test]
fn random_kills_of_a_run_over_ssh_lose_no_notified_step_and_run_none_twice() {
    let place = Place::new();
    place.file("theirs/x", "");
    std::os::unix::fs::chown(place.path().join("theirs"), Some(65534), None).unwrap();
    std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    place.file("key", "canary-secret");
    place.file("t.j2", "{{ pw }} {{ round }}\n");
    place.file("other.rhai", "on(\"h\", |host| { host.run([\"true\"]); });\n");
    let mut machine = Machine::start(&place);
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let mut chance = Chance(u64::from(since.subsec_nanos()));
    let on_host = |name: &str| place.mk(&["run", name, "-i", "inventory.yml"]);
    let write = |round: u32| {
        script(&place, "p.rhai", &EVERY_KIND.replace("ROUND", &round.to_string()));
        place.file("big", &format!("{round:016}").repeat(5000));
    };
    // How long it takes when nobody disturbs it.
    write(0);
    assert_eq!(on_host("p.rhai").code, 0);
    let begun = Instant::now();
    write(1_000_000);
    assert_eq!(on_host("p.rhai").code, 0);
    let whole = u64::try_from(begun.elapsed().as_millis()).unwrap();
    let mut told: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
    for round in 1..=kills() {
        write(round);
        let events = std::fs::File::create(place.path().join("events")).unwrap();
        let complaints = std::fs::File::create(place.path().join("complaints")).unwrap();
        let mut command = place.command(&["run", "p.rhai", "-i", "inventory.yml", "--json"]);
        let mut run = Running(command.stdout(events).stderr(complaints).spawn().unwrap());
        let (which, after) = (WHAT[round as usize % WHAT.len()], chance.below(whole * 11 / 10));
        std::thread::sleep(Duration::from_millis(after));
        let what = format!("round {round}, {which} after {after} ms");
        match which {
            "mk" => drop(run.0.kill()),
            "agent" => machine.kill_agents(),
            "session" => machine.signal_sessions("-KILL"),
            "link" => {
                // What is on its way is lost, and nobody hears of it at once.
                machine.signal_sessions("-STOP");
                std::thread::sleep(Duration::from_millis(chance.below(300)));
                machine.signal_sessions("-KILL");
            }
            "power" => machine.power_cut(),
            "mk and power" => {
                let _ = run.0.kill();
                machine.power_cut();
            }
            _ => {
                machine.signal_sessions("-KILL");
                std::thread::sleep(Duration::from_millis(chance.below(300)));
                machine.power_cut();
            }
        }
        let code = ended(&mut run, &what);
        let complaints = text(&place, "complaints");
        assert!(code.is_none_or(|code| (0..=4).contains(&code)), "{what}: {code:?} {complaints}");
        assert!(!complaints.contains("panicked"), "{what}: {complaints}");
        drop(run);
        // As in real life: the next run may be one of another playbook.
        if chance.below(2) == 0 {
            let other = on_host("other.rhai");
            assert_eq!(other.code, 0, "{what}: {}{}", other.stdout, other.stderr);
            assert!(!other.stdout.contains("is due here"), "{what}: {}", other.stdout);
        }
        let next = on_host("p.rhai");
        assert_eq!(next.code, 0, "{what}: {}{}", next.stdout, next.stderr);
        assert!(!next.stdout.contains("is due here"), "{what}: {}", next.stdout);
        let again = ran_once(&place, "log", "cat DIR/a", round, &what);
        let theirs = ran_once(&place, "theirs/log", "cat DIR/theirs/c", round, &what);
        assert_eq!(text(&place, "told"), text(&place, "big"), "{what}");
        assert_eq!(text(&place, "shown"), format!("canary-secret {round}\n"), "{what}");
        assert_eq!(text(&place, "got"), round.to_string(), "{what}");
        for (never, op, subject) in [("never-true", "run", "true"), ("never-copy", "copy", "DIR/e")] {
            // Unless it was cut before anybody knew that it changes nothing.
            let was_cut = !told_of_end(&place, op, subject);
            let ran = std::fs::remove_file(place.path().join(never)).is_ok();
            assert!(!ran || was_cut, "{what}: a step ran that was not due: `{never}`\n{}", text(&place, "events"));
        }
        nothing_is_due(&place, &machine.state(), &["pending", "list", "-i", "inventory.yml"]);
        let counts = told.entry(which).or_default();
        *counts = (counts.0 + 1, counts.1 + u32::from(again) + u32::from(theirs));
    }
    assert_eq!(text(&place, "same-log").lines().count(), 1);
    let mut counts = String::new();
    for (which, (times, again)) in told {
        let _ = write!(counts, "\n  {which}: {times}, steps that were cut and run again: {again}");
    }
    println!("{} kills of a run of {whole} ms{counts}", kills());
}

/// A host that is rebooted by its `reboot`, which never comes back to say so.
#[test]
fn a_notified_reboot_happens_once_whatever_is_lost_at_its_end() {
    for lost in ["the connection", "mk, too"] {
        let place = Place::new();
        let mut machine = Machine::start(&place);
        let dir = place.path().display();
        machine.program("reboot", &format!("echo reboot >> {dir}/reboots; touch {dir}/off; exec sleep 600"));
        let text = "on(\"h\", |host| {\n    host.copy(\"DIR/conf\", #{ content: \"ROUND\", notify: later(\"reboot\", \"60s\", \
                    #{ settled: false }) });\n});\n";
        for round in 1..=2 {
            script(&place, "p.rhai", &text.replace("ROUND", &round.to_string()));
            let mut command = place.command(&["run", "p.rhai", "-i", "inventory.yml"]);
            let said = std::fs::File::create(place.path().join("said")).unwrap();
            let mut run = Running(command.stdout(said.try_clone().unwrap()).stderr(said).spawn().unwrap());
            place.until("off");
            if lost == "mk, too" {
                let _ = run.0.kill();
            }
            machine.power_cut();
            std::fs::remove_file(place.path().join("off")).unwrap();
            let code = ended(&mut run, lost);
            let said = self::text(&place, "said");
            assert_eq!(code, if lost == "mk, too" { None } else { Some(0) }, "{lost}: {said}");
            if lost == "mk, too" {
                let next = place.mk(&["run", "p.rhai", "-i", "inventory.yml"]);
                assert_eq!(next.code, 0, "{}{}", next.stdout, next.stderr);
            }
            nothing_is_due(&place, &machine.state(), &["pending", "list", "-i", "inventory.yml"]);
            assert_eq!(self::text(&place, "reboots"), "reboot\n".repeat(round), "{lost}: {said}");
        }
    }
}

/// The connection goes between the script's word and the host's hearing of it.
#[test]
fn what_the_script_calls_unchanged_is_not_due_though_its_host_cannot_be_told() {
    let place = Place::new();
    let machine = Machine::start(&place);
    script(
        &place,
        "p.rhai",
        "on(\"h\", |host| {\n    let says = |outcome| {\n        local().shell(\"touch DIR/midway; until [ -e DIR/go ]; do sleep \
         0.05; done\");\n        false\n    };\n    host.run([\"true\"], #{ changed: says, notify: later(\"shell\", \"touch \
         DIR/never\") });\n});\n",
    );
    place.file("other.rhai", "on(\"h\", |host| { host.run([\"true\"]); });\n");
    let mut command = place.command(&["run", "p.rhai", "-i", "inventory.yml"]);
    let said = std::fs::File::create(place.path().join("said")).unwrap();
    let mut run = Running(command.stdout(said.try_clone().unwrap()).stderr(said).spawn().unwrap());
    place.until("midway");
    machine.signal_sessions("-KILL");
    place.file("go", "");
    let code = ended(&mut run, "the run");
    assert_eq!(code, Some(4), "{}", text(&place, "said"));
    let next = place.mk(&["run", "other.rhai", "-i", "inventory.yml"]);
    assert_eq!(next.code, 0, "{}{}", next.stdout, next.stderr);
    assert!(!next.stdout.contains("is due here"), "{}", next.stdout);
    assert!(!place.path().join("never").exists(), "{}", next.stdout);
    nothing_is_due(&place, &machine.state(), &["pending", "list", "-i", "inventory.yml"]);
}

/// Waits for a run that may go on, and gives its exit code: `None` when it was killed.
fn ended(run: &mut Running, what: &str) -> Option<i32> {
    let until = Instant::now() + Duration::from_secs(120);
    loop {
        if let Some(status) = run.0.try_wait().unwrap() {
            return status.code();
        }
        assert!(Instant::now() < until, "{what}: the run does not end");
        std::thread::sleep(Duration::from_millis(20));
    }
}
