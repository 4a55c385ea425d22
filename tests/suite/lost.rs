//! What a refusal, a cut file or a lost connection leaves of the steps that were notified.

use std::process::Stdio;

use crate::pending::{again, is_over, killed, script, text};
use crate::support::{Place, Running};

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

/// At the end of a step: what it says stays with its sshd, which is stopped, and a second later killed. Once, where
/// there is a file `cut`.
const CUT: &str = "[ ! -e DIR/cut ] || { rm DIR/cut; p=$(ps -o ppid= -p $PPID); kill -STOP $p; setsid sh -c \"sleep 1; \
                   kill -KILL $p\" </dev/null >/dev/null 2>&1 & }";

#[test]
fn a_step_that_the_script_calls_unchanged_makes_nothing_due_when_its_connection_is_lost_at_its_end() {
    let place = Place::new();
    let _hosts = crate::sshd::hosts(&place, &["h"]);
    let on_host = ["run", "p.rhai", "-i", "inventory.yml"];
    place.file("cut", "");
    let playbook = "on(\"h\", |host| { host.shell(`CUT`, #{ changed: |outcome| false, notify: later(\"shell\", \"touch \
                DIR/never\") }); });\n";
    script(&place, &playbook.replace("CUT", CUT));
    let ran = place.mk(&on_host);
    assert!(ran.code == 0 && ran.stdout.contains("connects again"), "{}{}", ran.stdout, ran.stderr);
    script(&place, "on(\"h\", |host| { host.run([\"true\"]); });\n");
    let next = place.mk(&on_host);
    assert_eq!(next.code, 0, "{}{}", next.stdout, next.stderr);
    assert!(!place.path().join("never").exists(), "{}", next.stdout);
}

#[test]
fn what_a_step_called_for_before_it_failed_is_not_lost_with_the_connection_of_the_one_before_it() {
    let place = Place::new();
    let _hosts = crate::sshd::hosts(&place, &["h"]);
    let on_host = ["run", "p.rhai", "-i", "inventory.yml"];
    place.file("cut", "");
    // They travel together, and the host goes on with the second while nobody hears of the first.
    let playbook = "on(\"h\", |host| {\n    host.shell(`CUT`);\n    host.shell(\"echo half > DIR/conf; exit 3\", #{ notify: \
                later(\"shell\", \"echo told >> DIR/log\") });\n});\n";
    script(&place, &playbook.replace("CUT", CUT));
    let ran = place.mk(&on_host);
    assert!(ran.code == 1 && ran.stdout.contains("connects again"), "{}{}", ran.stdout, ran.stderr);
    script(&place, "on(\"h\", |host| { host.run([\"true\"]); });\n");
    let next = place.mk(&on_host);
    assert_eq!(next.code, 0, "{}{}", next.stdout, next.stderr);
    assert_eq!(text(&place, "log").as_deref(), Some("told\n"), "{}{}", ran.stdout, next.stdout);
}

#[test]
fn a_notified_step_whose_connection_is_lost_at_its_end_runs_once() {
    let place = Place::new();
    let _hosts = crate::sshd::hosts(&place, &["h"]);
    let on_host = ["run", "p.rhai", "-i", "inventory.yml"];
    let cut = format!("echo told >> DIR/log; {CUT}");
    let playbook = "on(\"h\", |host| {\n    host.copy(\"DIR/conf\", #{ content: \"ROUND\", notify: later(\"shell\", `CUT`) });\n    \
                host.shell(\"touch DIR/midway; sleep SECONDS\");\n});\n"
        .replace("CUT", &cut);
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

#[test]
fn a_step_that_the_script_refuses_makes_due_what_its_host_changed_and_nothing_else() {
    let notify = r#"notify: later("shell", "echo told >> DIR/log")"#;
    let tries = r#"["sh", "-c", "echo >> DIR/tries; wc -l < DIR/tries"]"#;
    for (step, told) in [
        // Refused the first time, and unchanged the second.
        (
            format!(
                r#"run({tries}, #{{ reads: true, retry: #{{ attempts: 2, delay: "10ms" }}, changed: |r| false,
                    failed: |r| r.stdout.contains("1"), {notify} }})"#
            ),
            None,
        ),
        (format!(r#"run({tries}, #{{ reads: true, changed: |r| true, failed: |r| true, {notify} }})"#), None),
        (
            format!(r#"copy("DIR/conf", #{{ content: "1", changed: |r| false, failed: |r| true, {notify} }})"#),
            Some("told\n"),
        ),
    ] {
        let place = Place::new();
        script(&place, &format!("on(local(), |here| {{\n    try {{ here.{step}; }} catch {{}}\n}});\n"));
        let ran = again(&place);
        assert_eq!(ran.code, 0, "{step}: {}{}", ran.stdout, ran.stderr);
        assert_eq!(text(&place, "log").as_deref(), told, "{step}: {}", ran.stdout);
        is_over(&place);
        script(&place, "local().run([\"true\"]);");
        let next = again(&place);
        assert_eq!(next.code, 0, "{step}: {}{}", next.stdout, next.stderr);
        assert_eq!(text(&place, "log").as_deref(), told, "{step}: {}", next.stdout);
    }
}
