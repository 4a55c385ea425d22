//! What a check foretells, and what it leaves unknown.

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::playbooks::THREE;
use crate::sshd::{Sshd, inventory, keys, tool};
use crate::support::Place;

#[test]
fn a_check_with_exit_code_tells_changes_by_three() {
    let place = Place::new();
    place.file("p.rhai", &format!("local().dir(\"{}/d\");", place.path().display()));
    assert_eq!(place.mk(&["run", "--check", "--exit-code", "p.rhai"]).code, 3);
    place.mk(&["run", "p.rhai"]);
    assert_eq!(place.mk(&["run", "--check", "--exit-code", "p.rhai"]).code, 0);
}

#[test]
fn in_a_check_reading_what_a_command_would_print_ends_the_prediction_and_no_script_can_catch_it() {
    let place = Place::new();
    place.file(
        "p.rhai",
        r#"
            on(local(), |host| {
                try {
                    let r = host.run(["date"]);
                    log(r.stdout);
                } catch (e) {
                    log("caught");
                }
            });
        "#,
    );
    let ran = place.mk(&["run", "--check", "p.rhai"]);
    assert!(!ran.stdout.contains("caught"), "{}", ran.stdout);
    assert!(ran.stdout.contains("unknown from p.rhai:4 on: depends on line 3"), "{}{}", ran.stdout, ran.stderr);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
}

#[test]
fn a_value_that_a_check_cannot_know_ends_the_prediction_wherever_it_is_read() {
    let reading = [
        ("let r = local().run([\"date\"]);\nif r.stdout == \"x\" { log(\"gone on\"); }", 2, 1),
        (
            r#"
                let r = on(local(), |host| host.run(["date"]).stdout);
                try {
                    if r["local"] == "x" {
                        log("gone on");
                    }
                } catch (e) {
                    log("gone on");
                }
            "#,
            3,
            1,
        ),
        (
            r#"
                let r = run_once([local()], |host| host.run(["date"]).stdout);
                log("gone on");
            "#,
            1,
            1,
        ),
        (
            r#"
                let r = on(local(), |host| host.run(["date"]).stdout);
                for value in r.values {
                    log("gone on");
                }
                log("gone on");
            "#,
            2,
            1,
        ),
        (
            r#"
                let here = local();
                let r = on(here, |host| host.run(["date"]).stdout);
                for host in r.ok {
                    log(`${r[host]}`);
                }
                log("gone on");
            "#,
            4,
            2,
        ),
        (
            r#"
                let r = on(local(), |host| host.run(["date"]).stdout);
                let s = on(local(), |host| 1);
                log(s[local()] + "gone on");
            "#,
            3,
            1,
        ),
        (
            r#"
                task("t", || {
                    let r = local().run(["date"]);
                    always(|| log(r.stdout), || ());
                });
                log("gone on");
            "#,
            3,
            2,
        ),
    ];
    for (script, line, on) in reading {
        let place = Place::new();
        place.file("p.rhai", script);
        let ran = place.mk(&["run", "--check", "p.rhai"]);
        let all = format!("{}{}", ran.stdout, ran.stderr);
        assert!(!all.contains("gone on") && !all.contains("error"), "{script}\n{all}");
        let wanted = format!("unpredicted  the rest is unknown from p.rhai:{line} on: depends on line {on}");
        assert!(ran.stdout.contains(&wanted), "{script}\nwanted {wanted}\n{all}");
        assert!(ran.stdout.contains("  local          ok 0  would change 1  unknown from p.rhai:"), "{script}\n{all}");
        assert_eq!(ran.code, 0, "{script}\n{all}");
        assert_eq!(place.mk(&["run", "--check", "--exit-code", "p.rhai"]).code, 3, "{script}");
        let ran = place.mk(&["run", "--check", "--json", "p.rhai"]);
        assert!(ran.stdout.contains("\"prediction_ended\""), "{script}\n{}", ran.stdout);
    }
}

#[test]
fn a_host_that_is_not_predicted_leaves_the_others_their_results() {
    let place = Place::new();
    place.file("inventory.yml", THREE);
    place.file(
        "p.rhai",
        r#"
            let r = on("web", |host| {
                if host.name == "web-2" { host.run(["date"]).stdout } else { host.name }
            });
            log(`${r["web-1"]} of ${r.ok.len()}`);
            on("web", |host| log(`again ${host.name}`));
            log(r["web-2"]);
        "#,
    );
    let ran = place.mk(&["run", "--check", "p.rhai", "-i", "inventory.yml"]);
    let all = format!("{}{}", ran.stdout, ran.stderr);
    assert_eq!(ran.code, 0, "{all}");
    assert!(all.contains("web-1 of 3") && all.contains("again web-3") && !all.contains("again web-2"), "{all}");
    assert!(all.contains("unknown from p.rhai:6 on: depends on line 2"), "{all}");
}

/// What a role does to a host that has nothing of it yet, after `PACKAGES`: every operation but those that need systemd,
/// modules of the kernel or a machine that can be rebooted, which are in the lab alone.
const ROLE: &str = r#"
    ca("demo", #{ cn: "demo" });
    on("h", |host| {
        host.hostname("mk-demo");
        host.etc_hosts("mk-demo", #{ entries: [#{ ip: "192.0.2.1", names: ["one.mk-demo"] }] });
        PACKAGES
        host.group("mkdemo", #{ system: true });
        host.user("mkdemo", #{ system: true, group: "mkdemo", home: "/var/lib/mk-demo", create_home: true });
        host.authorized_key("mkdemo", #{ key: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0kE0jyWqJ5cXmYQ0m0sZ7m3a2m6q4T8b6iQ1k0V3fC me" });
        host.dir("/srv/mk-demo/data", #{ owner: "mkdemo", group: "mkdemo", mode: "0750" });
        host.dir("/etc/mk-demo/conf.d");
        host.copy("/etc/mk-demo/main.conf", #{ content: "a\nb\n", owner: "mkdemo" });
        host.copy("/etc/mk-demo/checked.conf", #{ content: "a\n", validate: ["test", "-s", "%s"] });
        host.template("/etc/mk-demo/conf.d/one.conf", #{ src: "t.j2", vars: #{ x: 1 } });
        host.line("/etc/mk-demo/main.conf", #{ line: "c" });
        host.block("/etc/mk-demo/main.conf", #{ name: "more", content: "d" });
        host.line("/etc/mk-demo/settings", #{ line: "c", create: true });
        host.file("/srv/mk-demo/current", #{ state: "link", target: "data" });
        host.file("/srv/mk-demo/log", #{ mode: "0600" });
        host.tree("/srv/mk-demo/site", #{ src: "site" });
        host.unpack("/srv/mk-demo/data", #{ src: "site.tar" });
        host.cert("/etc/mk-demo/server", #{ ca: "demo", cn: "x", owner: "mkdemo" });
        host.cert("/etc/mk-demo/server", #{ ca: "demo", cn: "x", owner: "mkdemo" });
        host.sysctl("kernel.pid_max", #{ value: 4194304 });
        host.mount("/srv/mk-demo/tmp", #{ src: "tmpfs", fstype: "tmpfs" });
        host.run(["mk-demo", "init"], #{ creates: "/srv/mk-demo/initialised" });
        host.run(["true"], #{ creates: "/etc/mk-demo/main.conf" });
        host.run(["true"], #{ only_if: ["true"] });
        host.shell("echo x > /srv/mk-demo/x", #{ cwd: "/srv/mk-demo" });
        let there = host.run(["cat", "/etc/hostname"], #{ reads: true }).stdout;
        host.copy("/srv/mk-demo/listing", #{ content: there });
        host.raw("echo x > /srv/mk-demo/raw");
        host.wait(#{ file: "/srv/mk-demo/log", timeout: "100ms" });
        host.wait(#{ port: 1, timeout: "100ms" });
        host.fetch("/etc/hostname");
        host.fetch("/srv/mk-demo/log", #{ required: false });
        host.facts(["arch"]);
        host.file("/srv/mk-demo/log", #{ state: "absent" });
        host.dir("/srv/mk-demo", #{ state: "absent" });
        host.user("mkdemo", #{ state: "absent" });
        GONE
    });
"#;

/// How many steps of that there are without packages, and how many of them a check may leave unknown: what it knows
/// today. Who makes it better lowers the bound; who makes it worse has to say why here: three are of a file in the folder
/// that a command ran in before, which may have done anything to it.
const WITHOUT: (usize, usize) = (36, 4);

/// The same with packages, which may bring much.
const WITH: (usize, usize) = (38, 4);

/// How many of those are foretold on an assumption.
const ASSUMED: usize = 10;

#[test]
fn a_check_of_a_fresh_host_leaves_no_more_unknown_than_is_said_here() {
    let place = Place::new();
    keys(place.path());
    // A host that has none of the packages, and could install them.
    for (name, code) in [("dpkg-query", 1), ("apt-get", 0), ("apt-cache", 0)] {
        let path = place.file(&format!("bin/{name}"), &format!("#!/bin/sh\nexit {code}\n"));
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = format!("PATH={}/bin:{}", place.path().display(), std::env::var("PATH").unwrap());
    let host = [Sshd::start_with(place.path(), &path)];
    inventory(&place, &["h"], &host);
    place.file("site/index.html", "x\n");
    place.file("t.j2", "{{ x }}\n");
    let folder = place.path().display().to_string();
    tool("tar", &["-C", &folder, "-cf", &format!("{folder}/site.tar"), "site"]);
    let install = r#"host.pkg(["mk-demo", "mk-other"]);"#;
    let remove = r#"host.pkg("mk-demo", #{ state: "absent" });"#;
    for (packages, gone, (steps, most)) in [("", "", WITHOUT), (install, remove, WITH)] {
        place.file("p.rhai", &ROLE.replace("PACKAGES", packages).replace("GONE", gone));
        let ran = place.mk(&["run", "--check", "--json", "p.rhai", "-i", "inventory.yml"]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let events = ran.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let done: Vec<Value> =
            events.map(|event| event["event"]["step_done"].clone()).filter(|done| !done.is_null()).collect();
        let told: Vec<(String, bool)> = done
            .iter()
            .map(|done| {
                let (step, outcome) = (&done["step"], &done["outcome"]);
                (format!("{} {}", step["op"], step["subject"]), outcome["status"] == "unknown")
            })
            .collect();
        let assumed = done.iter().filter(|done| done["outcome"]["assumed"] == true).count();
        assert_eq!(assumed, if packages.is_empty() { 0 } else { ASSUMED }, "{told:?}");
        if assumed > 0 {
            let shown = place.mk(&["run", "--check", "p.rhai", "-i", "inventory.yml"]).stdout;
            assert!(shown.contains(&format!(" ({ASSUMED} assumed)  ")), "{shown}");
            assert!(shown.contains("(assumes that none of the packages `mk-demo`, `mk-other` brings it)"), "{shown}");
        }
        assert_eq!(told.len(), steps, "the prediction ended before its time: {told:#?}");
        let unknown: Vec<&String> = told.iter().filter(|(_, unknown)| *unknown).map(|(step, _)| step).collect();
        assert!(unknown.len() <= most, "{} of {steps} steps are unknown: {unknown:#?}", unknown.len());
        assert!(
            unknown.len() >= most,
            "it has got better: only {} of {steps} are unknown, so lower the bound",
            unknown.len()
        );
    }
}

#[test]
fn a_check_goes_on_with_what_the_script_assumes_and_marks_what_rests_on_it() {
    let place = Place::new();
    let dir = place.path().display().to_string();
    let script = r#"
        let here = local();
        here.copy("DIR/before", #{ content: "x" });
        let version = here.run(["echo", "v2"], #{ assume: #{ stdout: "v1" } });
        here.copy("DIR/between", #{ content: "x" });
        let looked = here.run(["DIR/program", "--version"], #{ reads: true, ok: [0], assume: #{ stdout: "v1" } });
        log(`is ${version.stdout}`);
        here.copy("DIR/after", #{ content: version.stdout });
        here.copy("DIR/last", #{ content: looked.stdout });
        on(local(), |host| log(`other ${looked.stdout}`));
        here.copy("DIR/tool", #{ content: "x", mode: "0755" });
        here.run(["DIR/tool"], #{ unless: ["DIR/tool", "-n"], assume: #{ changed: true } });
        here.wait(#{ command: ["DIR/program"], timeout: "1s", assume: #{} });
    "#;
    place.file("p.rhai", &script.replace("DIR", &dir));
    let checked = place.mk(&["run", "--check", "-v", "p.rhai"]);
    let all = format!("{}{}", checked.stdout, checked.stderr);
    assert_eq!(checked.code, 0, "{all}");
    assert!(all.contains("is v1") && all.contains("other v1") && !all.contains("unpredicted"), "{all}");
    // Only what comes after an assumed value was read rests on it.
    let line =
        |name: &str| all.lines().find(|line| line.contains(&format!("DIR/{name}"))).unwrap_or_default().to_owned();
    for name in ["before", "between"] {
        assert!(!line(name).contains("assumes"), "{}", line(name));
    }
    for name in ["after", "last"] {
        assert!(line(name).contains("(rests on what p.rhai:3 assumes)"), "{name}: {all}");
    }
    assert!(all.contains("(assumes that it goes well, since"), "{all}");
    assert!(all.contains("ok 2  would change 7 (4 assumed)"), "{all}");
    // In a run it is what the program says, and a program that is missing is a fault.
    let ran = place.mk(&["run", "p.rhai"]);
    assert!(ran.code == 1 && ran.stdout.contains("cannot run `DIR/program`"), "{}{}", ran.stdout, ran.stderr);
    assert!(!place.path().join("after").exists());
    place.file("wrong.rhai", "local().run([\"true\"], #{ assume: \"v1\" });");
    let wrong = place.mk(&["run", "wrong.rhai"]);
    assert!(wrong.code == 2 && wrong.stderr.contains("`assume` must be a map"), "{}", wrong.stderr);
}

/// What a script says of each of its steps in a check: the operation and its status, with a sign on what is assumed.
fn told(place: &Place, script: &str) -> Vec<String> {
    place.file("p.rhai", script);
    let ran = place.mk(&["run", "--check", "--json", "p.rhai"]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    let events = ran.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let done = events.map(|event| event["event"]["step_done"].clone()).filter(|done| !done.is_null());
    let word = |done: Value| {
        let (op, status) = (done["step"]["op"].as_str().unwrap(), done["outcome"]["status"].as_str().unwrap());
        format!("{op} {status}{}", if done["outcome"]["assumed"] == true { ", assumed" } else { "" })
    };
    done.map(word).collect()
}

#[test]
fn a_check_foretells_the_steps_of_a_user_that_it_only_plans() {
    let place = Place::new();
    let script = r#"
        let here = local();
        here.user("mk-planned", #{ home: "/srv/mk-planned", create_home: true });
        let its = here.as_user("mk-planned");
        its.copy("/srv/mk-planned/a", #{ content: "x" });
        its.copy("/srv/mk-planned/a", #{ content: "x", owner: "mk-planned", group: "mk-planned" });
        its.run(["true"]);
        its.run(["id"], #{ reads: true });
        here.copy("/srv/mk-planned/a", #{ content: "x" });
    "#;
    let foretold = ["user would_change", "copy would_change", "copy ok", "run would_run", "run unknown", "copy ok"];
    assert_eq!(told(&place, script), foretold);
    // One that the check plans to be gone is no user any more.
    let gone = r#"
        local().user("nobody", #{ state: "absent" });
        local().as_user("nobody").run(["true"]);
    "#;
    place.file("p.rhai", gone);
    let ran = place.mk(&["run", "--check", "p.rhai"]);
    assert!(ran.code == 1 && ran.stdout.contains("user `nobody` does not exist on this host"), "{}", ran.stdout);
}

#[test]
fn steps_of_another_user_see_what_the_check_plans_and_add_to_it() {
    let place = Place::new();
    std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let script = r#"
        let here = local();
        here.dir("DIR/theirs", #{ owner: "nobody" });
        here.as_user("nobody").copy("DIR/theirs/a", #{ content: "x" });
        here.as_user("nobody").run(["touch", "DIR/theirs/b"], #{ creates: "DIR/theirs/b" });
        here.copy("DIR/theirs/a", #{ content: "x", owner: "nobody" });
        here.run(["true"], #{ creates: "DIR/theirs/b" });
    "#;
    let script = script.replace("DIR", &place.path().display().to_string());
    let foretold = ["dir would_change", "copy would_change", "run would_run", "copy ok", "run skipped"];
    assert_eq!(told(&place, &script), foretold);
    let ran = place.mk(&["run", "p.rhai"]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("  local          ok 1  changed 3  skipped 1"), "{}", ran.stdout);
    assert_eq!(told(&place, &script), ["dir ok", "copy ok", "run skipped", "copy ok", "run skipped"]);
}
