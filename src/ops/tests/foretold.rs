//! What a check foretells of steps that depend on earlier ones, held against what comes.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::change::Status;
use crate::op::alone::alone;
use crate::op::contract::Host;

/// A host that has one package, `ed`, once that was installed: then its settings are there, and its account.
const QUERY: &str = r#"case "$*" in
  *binary:Package*) [ ! -e ed ] || printf 'ii \ted\n' ;;
  *Provides*) ;;
  *--control-list*) echo conffiles ;;
  *) if [ -e ed ]; then printf 'ed\tall\tii \t1\n'; elif [ -e settings ]; then printf 'ed\tall\trc \t1\n'; fi ;;
esac"#;

const GET: &str = r#"case "$*" in
  *" remove "* | *" purge "*) [ ! -e held ] || { echo 'E: Held packages were changed' >&2; exit 100; } ;;
esac
case "$*" in
  *--simulate*) ;;
  *" remove "*) rm ed; touch settings ;;
  *" purge "*) rm -f ed settings ;;
  *" install "*) touch ed; mkdir -p /etc/ed/conf.d; echo ed:x:642: >>/etc/group; echo ed:x:642:642::/home/ed:/bin/sh >>/etc/passwd ;;
  *) unexpected "$@" ;;
esac"#;

const PROGRAMS: [(&str, &str); 2] = [("dpkg-query", QUERY), ("apt-get", GET)];

/// Lists of packages that are fresh, so that nothing is fetched.
fn lists() {
    fs::create_dir_all("/var/lib/apt/lists").unwrap();
    fs::write("/var/lib/apt/lists/mirror_Packages", "").unwrap();
}

fn install() -> (&'static str, Value) {
    ("pkg", json!({ "names": "ed" }))
}

fn copy(dest: impl AsRef<Path>) -> (&'static str, Value) {
    ("copy", json!({ "dest": dest.as_ref(), "content": "x" }))
}

#[test]
fn a_planned_package_makes_only_unknown_what_it_can_bring() {
    alone(&PROGRAMS, |_| {
        lists();
        let steps = [
            ("dir", json!({ "path": "/etc/ours" })),
            install(),
            ("dir", json!({ "path": "/home/fresh" })),
            copy("/home/fresh/f"),
            ("file", json!({ "path": "/home/l", "state": "link", "target": "f" })),
            copy("/etc/ours/f"),
            ("file", json!({ "path": "/etc/ours/none", "state": "absent" })),
            copy("/etc/myapp.conf"),
            ("dir", json!({ "path": "/etc/mine" })),
            copy("/etc/mine/f"),
            copy("/etc/ed/conf.d/f"),
            ("file", json!({ "path": "/etc/ed.default", "state": "absent" })),
            ("line", json!({ "path": "/etc/ed.conf", "line": "x" })),
        ];
        let told = Host::new().truth(&steps);
        let sure = ["would change"; 5].into_iter().chain(["would change", "ok"]);
        let rest = ["assumed", "assumed", "assumed", "assumed", "unknown", "unknown"];
        assert_eq!(told, sure.chain(rest).collect::<Vec<_>>());
    });
}

#[test]
fn what_is_foretold_on_an_assumption_says_which() {
    alone(&PROGRAMS, |_| {
        lists();
        let host = Host::new();
        host.check("pkg", install().1);
        let reason = |(op, args): (&str, Value)| {
            let outcome = host.check(op, args);
            assert_eq!((outcome.status, outcome.assumed), (Status::WouldChange, true));
            outcome.reason.unwrap()
        };
        assert_eq!(reason(copy("/etc/a")), "assumes that package `ed` does not bring it");
        assert_eq!(
            reason(copy("/etc/none/b")),
            "assumes that package `ed` does not bring it, and that package `ed` brings `/etc/none`"
        );
        host.check("pkg", json!({ "names": ["a", "b", "c", "d", "e"] }));
        assert_eq!(reason(copy("/etc/c")), "assumes that none of the packages `a`, `b`, `c`, `d` and 2 more brings it");
    });
}

#[test]
fn creates_and_removes_are_asked_of_the_planned_host_and_tell_later_steps() {
    let host = Host::new();
    let q = host.path("q");
    let touch = || ("run", json!({ "argv": ["touch", q], "creates": q }));
    let remove = || ("run", json!({ "argv": ["rm", q], "removes": q }));
    let steps = [touch(), touch(), remove(), remove(), touch(), ("file", json!({ "path": q, "state": "absent" }))];
    let told = host.truth(&steps);
    assert_eq!(told, ["would run", "skipped", "would run", "unknown", "unknown", "unknown"]);
}

#[test]
fn what_a_command_needs_is_not_taken_for_gone_nor_is_anything_certain_of_one_that_may_run() {
    let host = Host::new();
    let (dir, made) = (host.path("d"), host.path("made"));
    host.apply("dir", json!({ "path": dir }));
    let file = host.put("d/f", "old");
    let needs = || ("run", json!({ "argv": ["true"], "removes": dir }));
    let may = ("run", json!({ "argv": ["true"], "creates": made, "unless": ["test", "-e", dir] }));
    let steps =
        [needs(), copy(&file), copy(&file), needs(), may, ("run", json!({ "argv": ["true"], "creates": made }))];
    assert_eq!(host.truth(&steps), ["would run", "unknown", "ok", "unknown", "unknown", "unknown"]);
}

#[test]
fn what_a_later_command_is_given_is_unknown_until_it_is_planned_again() {
    let host = Host::new();
    let q = host.path("q");
    let asks = || ("run", json!({ "argv": ["true"], "unless": ["test", "-e", q] }));
    let inside = ("run", json!({ "argv": ["true"], "cwd": q.parent() }));
    let steps = [copy(&q), ("run", json!({ "argv": ["rm", q] })), asks(), copy(&q), asks(), inside, copy(&q)];
    let told = host.truth(&steps);
    assert_eq!(told, ["would change", "would run", "unknown", "unknown", "skipped", "would run", "unknown"]);
}

#[test]
fn variables_and_input_that_name_a_planned_path_count_too() {
    let host = Host::new();
    let file = host.put("f", "old");
    let shown = file.display().to_string();
    let given = |value: &str| ("run", json!({ "argv": ["true"], "env": { "GIVEN": value }, "reads": true }));
    let steps = [
        copy(&file),
        given(&shown),
        given(&format!("--from={shown}:/none")),
        ("run", json!({ "argv": ["cat"], "stdin": format!("see {shown}\n"), "reads": true })),
        ("run", json!({ "argv": ["true"], "env": { "F": shown }, "unless": ["sh", "-c", "grep -q x \"$F\""] })),
        given("/etc/passwd"),
    ];
    assert_eq!(host.truth(&steps), ["would change", "unknown", "unknown", "unknown", "unknown", "read"]);
}

#[test]
fn a_mere_word_is_no_path_that_a_planned_package_brings() {
    alone(&PROGRAMS, |_| {
        lists();
        let look = |words: Value| ("run", json!({ "argv": words, "cwd": "/etc", "reads": true, "ok": [] }));
        let steps = [install(), look(json!(["ls", "-l"])), look(json!(["ls", "ed/conf.d"]))];
        assert_eq!(Host::new().truth(&steps)[1..], ["read", "unknown"]);
    });
}

#[test]
fn a_file_that_a_command_moves_there_is_not_taken_for_absent() {
    let host = Host::new();
    let (a, b) = (host.put("a", "x"), host.path("b"));
    let steps =
        [("run", json!({ "argv": ["mv", a, b], "creates": b })), ("file", json!({ "path": b, "state": "absent" }))];
    assert_eq!(host.truth(&steps), ["would run", "unknown"]);
}

#[test]
fn a_guard_that_asks_for_a_planned_path_is_answered_from_the_plan() {
    let host = Host::new();
    let (dir, file, old) = (host.path("d"), host.path("d/f"), host.put("old", ""));
    let guarded = |guard: &str, words: Value| ("run", json!({ "argv": ["true"], guard: words }));
    let steps = [
        ("dir", json!({ "path": dir })),
        copy(&file),
        guarded("unless", json!(["test", "-e", file])),
        guarded("unless", json!(["test", "!", "-f", file])),
        guarded("only_if", json!(["[", "-d", dir, "]"])),
        guarded("only_if", json!(["test", "-L", file])),
        ("file", json!({ "path": old, "state": "absent" })),
        guarded("only_if", json!(["test", "-f", old])),
        guarded("unless", json!(["test", "-e", "/etc/passwd"])),
    ];
    let told = host.truth(&steps);
    assert_eq!(told[2..], ["skipped", "would run", "would run", "skipped", "would change", "skipped", "skipped"]);
}

#[test]
fn a_guard_that_may_depend_on_the_plan_is_unknown_and_any_other_is_asked() {
    let host = Host::new();
    let file = host.put("f", "old");
    let shown = file.display();
    let guarded = |words: Value| ("run", json!({ "argv": ["true"], "unless": words }));
    let steps = [
        copy(&file),
        ("user", json!({ "name": "mk-none", "home": "/nonexistent", "create_home": false })),
        guarded(json!(["grep", "-q", "new", file])),
        guarded(json!(["sh", "-c", format!("grep -q new <'{shown}'")])),
        guarded(json!(["grep", "-rq", "new", file.parent().unwrap()])),
        guarded(json!(["id", "mk-none"])),
        guarded(json!(["grep", "-q", "^mk-none:", "/etc/passwd"])),
        ("run", json!({ "argv": ["cat", file], "reads": true })),
        guarded(json!(["grep", "-q", ".", "/etc/passwd", "-s"])),
        guarded(json!(["true"])),
    ];
    let told: Vec<Status> = steps.iter().map(|(op, args)| host.check(op, args.clone()).status).collect();
    assert_eq!(told[2..8], [Status::Unknown; 6]);
    assert_eq!(told[8..], [Status::Unknown, Status::Skipped]);
}

#[test]
fn a_guard_on_what_an_earlier_command_was_given_is_unknown() {
    let host = Host::new();
    let file = host.put("f", "old");
    let guarded = |words: Value| json!({ "argv": ["true"], "unless": words });
    let ask = |words: Value| host.check("run", guarded(words)).status;
    assert_eq!(ask(json!(["grep", "-q", "old", file])), Status::Skipped);
    host.check("run", json!({ "argv": ["sed", "-i", "s/old/new/", file] }));
    assert_eq!(ask(json!(["grep", "-q", "old", file])), Status::Unknown);
    assert_eq!(ask(json!(["test", "-s", file])), Status::Unknown);
    assert_eq!(ask(json!(["test", "-e", "/etc/passwd"])), Status::Skipped);
}

#[test]
fn what_was_in_a_directory_does_not_come_back_with_it() {
    let host = Host::new();
    let dir = host.path("d");
    host.apply("dir", json!({ "path": dir, "mode": "0700" }));
    host.put("d/old", "x");
    let steps = [
        ("dir", json!({ "path": dir, "state": "absent" })),
        ("dir", json!({ "path": dir })),
        ("dir", json!({ "path": dir, "mode": "0755" })),
        ("file", json!({ "path": host.path("d/old"), "state": "absent" })),
        ("copy", json!({ "dest": host.path("d/old"), "content": "x" })),
        ("dir", json!({ "path": dir, "state": "absent", "if_empty": true })),
    ];
    let told = host.truth(&steps);
    assert_eq!(told, ["would change", "would change", "ok", "ok", "would change", "ok"]);
}

#[test]
fn what_a_planned_package_may_bring_is_assumed_and_never_a_failure() {
    alone(&PROGRAMS, |_| {
        lists();
        let owned = |dest: &str, what: &str| ("copy", json!({ "dest": dest, "content": "x", what: "ed" }));
        let steps = [
            install(),
            owned("/home/a", "owner"),
            owned("/home/b", "group"),
            ("user", json!({ "name": "me", "groups": ["ed"], "create_home": false })),
            ("run", json!({ "argv": ["true"], "cwd": "/etc/ed/conf.d" })),
            (
                "authorized_key",
                json!({ "user": "ed", "key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0k", "state": "absent" }),
            ),
        ];
        let told = Host::new().truth(&steps);
        assert_eq!(told[1..], ["assumed", "assumed", "assumed", "assumed", "ok"]);
    });
}

#[test]
fn a_command_runs_in_a_directory_that_an_earlier_one_makes() {
    let host = Host::new();
    let dir = host.path("d");
    let steps = [
        ("run", json!({ "argv": ["mkdir", dir], "creates": dir })),
        ("run", json!({ "argv": ["true"], "cwd": dir })),
        ("run", json!({ "argv": ["true"], "cwd": dir, "unless": ["test", "-e", "x"] })),
        ("run", json!({ "argv": ["pwd"], "cwd": dir, "reads": true })),
        ("wait", json!({ "file": dir })),
    ];
    assert_eq!(host.truth(&steps), ["would run", "would run", "unknown", "unknown", "read"]);
}

#[test]
fn what_goes_with_a_user_is_gone() {
    alone(&[], |_| {
        let absent = |op: &'static str, what: &str, name: &str| (op, json!({ what: name, "state": "absent" }));
        let make = ("user", json!({ "name": "svc", "shell": "/bin/false" }));
        let remove = ("user", json!({ "name": "svc", "state": "absent", "remove_home": true }));
        let gone = [absent("group", "name", "svc"), absent("dir", "path", "/home/svc")];
        let host = Host::new();
        // Of a user that is only planned, and of one that is there.
        let steps = [make.clone(), remove.clone(), gone[0].clone(), gone[1].clone()];
        assert_eq!(host.truth(&steps), ["would change", "would change", "ok", "ok"]);
        assert_eq!(host.truth(&[make]), ["would change"]);
        assert_eq!(host.truth(&[remove, gone[0].clone(), gone[1].clone()]), ["would change", "ok", "ok"]);
        // A group of the same name that has others in it stays.
        let shared = [
            ("group", json!({ "name": "svc" })),
            ("user", json!({ "name": "svc", "group": "svc", "create_home": false })),
            ("user", json!({ "name": "other", "groups": ["svc"], "create_home": false })),
        ];
        assert_eq!(host.truth(&shared), ["would change"; 3]);
        let steps = [absent("user", "name", "svc"), absent("group", "name", "svc"), absent("group", "name", "svc")];
        assert_eq!(host.truth(&steps), ["would change", "would change", "ok"]);
    });
}

#[test]
fn a_package_that_is_removed_and_then_purged_is_foretold_twice() {
    alone(&PROGRAMS, |_| {
        lists();
        let absent = |purge: bool| ("pkg", json!({ "names": "ed", "state": "absent", "purge": purge }));
        let host = Host::new();
        let steps = [install(), absent(false), absent(false), absent(true)];
        assert_eq!(host.truth(&steps), ["would change", "would change", "ok", "unknown"]);
        assert_eq!(host.truth(&[install()]), ["would change"]);
        let steps = [absent(false), absent(true), absent(true), install()];
        assert_eq!(host.truth(&steps), ["would change", "would change", "ok", "would change"]);
        assert_eq!(host.truth(&[absent(true), absent(true)]), ["would change", "ok"]);
    });
}

#[test]
fn a_package_that_is_held_fails_to_be_removed_in_a_check_too() {
    alone(&PROGRAMS, |folder| {
        lists();
        let remove = || ("pkg", json!({ "names": "ed", "state": "absent" }));
        let host = Host::new();
        assert_eq!(host.truth(&[install()]), ["would change"]);
        fs::write(folder.join("held"), "").unwrap();
        assert_eq!(host.truth(&[remove()]), ["fails"]);
        fs::remove_file(folder.join("held")).unwrap();
        assert_eq!(host.truth(&[remove()]), ["would change"]);
    });
}

#[test]
fn numbers_that_are_taken_and_groups_that_are_in_use_fail_in_a_check_too() {
    alone(&[], |_| {
        let user = |name: &str, uid: u32| ("user", json!({ "name": name, "uid": uid, "create_home": false }));
        let group = |name: &str, gid: u32| ("group", json!({ "name": name, "gid": gid }));
        let absent = |op: &'static str, name: &str| (op, json!({ "name": name, "state": "absent" }));
        let steps = [
            user("a", 0),
            user("a", 641),
            user("b", 641),
            group("g", 0),
            group("g", 651),
            group("h", 651),
            absent("group", "root"),
            absent("group", "a"),
            absent("user", "a"),
            absent("group", "g"),
            user("b", 641),
            group("h", 651),
        ];
        let (fails, changes) = ("fails", "would change");
        let foretold = [fails, changes, fails, fails, changes, fails, fails, fails, changes, changes, changes, changes];
        let host = Host::new();
        assert_eq!(host.truth(&steps), foretold);
        // The same of those that are there.
        let steps = [user("a", 641), absent("group", "b"), user("b", 642), user("a", 641), group("g", 651)];
        assert_eq!(host.truth(&steps), [fails, fails, changes, changes, fails]);
        let steps = [("user", json!({ "name": "b", "group": "h" })), absent("group", "b"), absent("group", "h")];
        assert_eq!(host.truth(&steps), [changes, changes, fails]);
    });
}

#[test]
fn a_directory_or_a_home_that_is_missing_fails_in_a_check_too() {
    alone(&[], |_| {
        let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0kE0jyWqJ5cXmYQ0m0sZ7m3a2m6q4T8b6iQ1k0V3fC me";
        let user = |name: &str, home: bool| {
            ("user", json!({ "name": name, "create_home": home, "home": format!("/home/of-{name}") }))
        };
        let key = |user: &str| ("authorized_key", json!({ "user": user, "key": key }));
        let steps = [
            ("run", json!({ "argv": ["true"], "cwd": "/home/none" })),
            ("shell", json!({ "script": "true", "cwd": "/home/none", "creates": "/etc/passwd" })),
            user("a", false),
            key("a"),
            user("b", true),
            key("b"),
            key("b"),
            ("file", json!({ "path": "/home/of-b/.ssh/authorized_keys", "mode": "0600", "owner": "b" })),
        ];
        let told = Host::new().truth(&steps);
        assert_eq!(told, ["fails", "skipped", "would change", "fails", "would change", "would change", "ok", "ok"]);
    });
}

#[test]
fn new_content_is_looked_at_in_a_check_too_and_nothing_of_that_is_left() {
    let host = Host::new();
    let dest = host.put("f", "old\n");
    let only = |accepted: &str| json!({ "dest": dest, "content": "new\n", "validate": ["grep", "-q", accepted, "%s"] });
    let line = |accepted: &str| json!({ "path": dest, "line": "more", "validate": ["grep", "-q", accepted, "%s"] });
    let left = || {
        let names = fs::read_dir(std::env::temp_dir()).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().starts_with("mk-check-")).count()
    };
    let before = left();
    let error = host.try_check("copy", only("old")).unwrap_err();
    assert_eq!(error.message(), "the new content was refused: `grep -q old %s` exited with status 1");
    let steps = [
        ("copy", only("old")),
        ("line", line("more")),
        ("copy", json!({ "dest": dest, "content": "newer\n", "validate": ["grep", "-q", "newer", "%s"] })),
    ];
    assert_eq!(host.truth(&steps[..1]), ["fails"]);
    // What refuses the old content too may look for other files beside the one that it is given.
    let beside = json!({ "dest": dest, "content": "new\n", "validate": ["sh", "-c", "case %s in */mk-check-*) exit 1 ;; esac"] });
    assert_eq!(host.truth(&[("copy", beside)]), ["assumed"]);
    assert_eq!(host.truth(&steps[1..]), ["would change", "would change"]);
    // What an earlier step plans may be what the program needs.
    let needs = host.path("needed");
    let wish = json!({ "dest": host.path("g"), "content": "x", "validate": ["sh", "-c", format!("test -e {}", needs.display())] });
    assert_eq!(host.truth(&[copy(&needs), ("copy", wish)]), ["would change", "assumed"]);
    assert!(left() <= before, "temporary files are left");
}

/// A systemd that knows one unit.
const SYSTEMCTL: &str = r#"case "$*" in
  "show --property=LoadState -- mk-known.service") echo LoadState=loaded ;;
  "show --property=LoadState -- mk-masked.service") echo LoadState=masked ;;
  show*) echo LoadState=not-found ;;
  *"-- mk-known" | *"-- mk-new") ;;
  *) exit 5 ;;
esac"#;

#[test]
fn a_unit_that_systemd_does_not_know_fails_in_a_check_too() {
    alone(&[("systemctl", SYSTEMCTL), ("journalctl", "true")], |_| {
        fs::create_dir_all("/run/systemd/system").unwrap();
        fs::create_dir_all("/etc/systemd/system").unwrap();
        let restart = |unit: &str| ("service", json!({ "unit": unit, "action": "restart" }));
        let steps =
            [restart("mk-known"), restart("mk-none"), copy("/etc/systemd/system/mk-new.service"), restart("mk-new")];
        let host = Host::new();
        assert_eq!(host.truth(&steps), ["would run", "fails", "would change", "would run"]);
        assert_eq!(host.truth(&[restart("mk-masked")]), ["fails"]);
    });
}
