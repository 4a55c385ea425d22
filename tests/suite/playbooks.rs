//! Playbooks run on this machine, through the real agent: what the language promises.

use crate::support::Place;

/// Runs a script on `local` and gives what it printed.
fn run(text: &str) -> crate::support::Ran {
    let place = Place::new();
    place.file("p.rhai", text);
    place.mk(&["run", "p.rhai"])
}

#[test]
fn a_second_run_changes_nothing_and_says_so() {
    let place = Place::new();
    let target = place.path().join("target/motd");
    let text = format!(
        r#"
            let here = local();
            here.dir("{0}");
            here.copy("{0}/motd", #{{ content: "hi\n", mode: "0600" }});
        "#,
        target.parent().unwrap().display()
    );
    place.file("p.rhai", &text);
    let checked = place.mk(&["run", "--check", "--diff", "p.rhai"]);
    assert!(!target.exists(), "a check must not change anything");
    insta::assert_snapshot!(checked.stdout, @r"
    would change local          dir DIR/target
    would change local          copy DIR/target/motd
        @@ -0,0 +1 @@
        +hi
        mode: +0600
    check of 1 host, 2 steps in TIME
      local          ok 0  would change 2
    ");
    let first = place.mk(&["run", "p.rhai"]);
    assert!(first.stdout.contains("local          ok 0  changed 2"), "{}{}", first.stdout, first.stderr);
    let second = place.mk(&["run", "p.rhai"]);
    insta::assert_snapshot!(second.stdout, @r"
    nothing changed on 1 host, 2 steps in TIME
      local          ok 2
    ");
    assert_eq!((checked.code, first.code, second.code), (0, 0, 0));
}

#[test]
fn writing_to_a_captured_variable_is_explained() {
    let ran = run(r#"
        let n = 0;
        on(local(), |host| {
            n += 1;
        });
    "#);
    assert_eq!(ran.code, 2, "{}", ran.stdout);
    insta::assert_snapshot!(ran.stderr, @r"
    error: the closure writes to `n`, which is outside of it
      because: every host has its own copy, so what is written to it is lost
     --> p.rhai:3:5
      |
    3 |     n += 1;
      |     ^
     hint: return the value from the closure: `on` gives what each host returned, by its name
    nothing was run; `--no-lint` runs it as far as it goes
    ");
}

#[test]
fn a_failed_step_can_be_caught_and_looked_into() {
    let ran = run(r#"
        try {
            local().run(["false"]);
        } catch (e) {
            log(e.kind + ": " + e.message + ` at line ${e.line}`);
        }
    "#);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains("step: `false` exited with status 1 at line 2"), "{}", ran.stdout);
}

#[test]
fn always_cleans_up_and_the_first_fault_is_told() {
    let ran = run("always(|| { fail(\"the cause\"); }, || { log(\"cleaned\"); });");
    assert_eq!(ran.code, 1);
    assert!(ran.stdout.contains("cleaned"), "{}", ran.stdout);
    assert!(ran.stderr.contains("error: the cause"), "{}", ran.stderr);
}

#[test]
fn nothing_that_a_host_says_is_ever_read_as_script_or_template() {
    for hostile in ["{{ 7 * 7 }}", "${7*7}", "#{", "$(id)", "`id`", "%}"] {
        let place = Place::new();
        place.file("said", hostile);
        place.file("t.j2", "{{ said }}");
        let folder = place.path().display();
        place.file(
            "p.rhai",
            &format!(
                r#"
                    let here = local();
                    let said = here.run(["cat", "{folder}/said"], #{{ reads: true }}).stdout;
                    here.template("{folder}/out", #{{ src: "t.j2", vars: #{{ said: said }} }});
                    log(said);
                "#
            ),
        );
        let ran = place.mk(&["run", "p.rhai"]);
        assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
        assert_eq!(std::fs::read_to_string(place.path().join("out")).unwrap(), hostile);
    }
    assert!(run("eval(\"1\");").stderr.contains("error"), "eval must not exist");
}

#[test]
fn a_secret_shows_in_no_sink() {
    let place = Place::new();
    let canary = "canary-7f3a-in-the-mine";
    place.file("pw", canary);
    let folder = place.path().display();
    place.file(
        "p.rhai",
        &format!(
            r#"
                let s = secret("file:pw");
                let here = local();
                here.copy("{folder}/out", #{{ content: "password=" + s + "\n", mode: "0600" }});
                log("it is " + s);
                let back = here.run(["cat", "{folder}/out"]).stdout;
                log(back);
                here.shell("cat {folder}/out; cat {folder}/out | base64; exit 3");
            "#
        ),
    );
    for flags in [&["--check", "--diff"][..], &["--diff", "-vv"], &["--json"], &["--diff", "-vv"]] {
        let mut args = vec!["run", "p.rhai"];
        args.extend(flags);
        let ran = place.mk(&args);
        let all = format!("{}{}", ran.stdout, ran.stderr);
        assert!(!all.contains(canary), "{flags:?}: {all}");
        assert!(!all.contains("Y2FuYXJ5LTdmM2EtaW4tdGhlLW1pbm"), "{flags:?} shows it in base64: {all}");
    }
    assert_eq!(std::fs::read_to_string(place.path().join("out")).unwrap(), format!("password={canary}\n"));
}

#[test]
fn a_notified_step_runs_once_at_the_end_also_after_a_failure() {
    let place = Place::new();
    let folder = place.path().display();
    place.file(
        "p.rhai",
        &format!(
            r#"
                on(local(), |host| {{
                    let restart = later("shell", "echo ran >> {folder}/log");
                    host.copy("{folder}/a", #{{ content: "1", notify: restart }});
                    host.copy("{folder}/b", #{{ content: "1", notify: restart }});
                    fail("after the change");
                }});
            "#
        ),
    );
    assert_eq!(place.mk(&["run", "p.rhai"]).code, 1);
    assert_eq!(std::fs::read_to_string(place.path().join("log")).unwrap(), "ran\n");
}

#[test]
fn what_a_script_says_of_a_step_is_what_the_report_says() {
    let ran = run("local().run([\"echo\", \"as it was\"], #{ changed: |outcome| outcome.stdout != \"as it was\" });");
    assert!(ran.stdout.starts_with("nothing changed on 1 host"), "{}", ran.stdout);
    let ran = run("local().run([\"echo\", \"broken\"], #{ failed: |outcome| outcome.stdout == \"broken\" });");
    assert_eq!(ran.code, 1);
    assert!(ran.stdout.contains("failed       local          run echo broken"), "{}", ran.stdout);
    assert!(ran.stdout.contains("local          ok 0  failed 1"), "{}", ran.stdout);
}

/// Three hosts that are this machine, each with an agent of its own.
pub(crate) const THREE: &str = "groups:\n  web: { hosts: ['web-[1..3]'] }\nhosts:\n  'web-[1..3]':\n    ways: [{ local: }]\n    vars: { node_ip: 10.0.0.1 }\n";

#[test]
fn limit_leaves_this_machine_and_tells_scripts_what_it_leaves() {
    let place = Place::new();
    place.file("inventory.yml", THREE);
    place.file(
        "p.rhai",
        r#"
            on(local(), |host| log(`on ${host.name}`));
            log(within_limit("web").map(|host| host.name).joined(" "));
            log(within_limit([local(), host("web-1")]).len());
            log(hosts("web").len());
        "#,
    );
    let ran = place.mk(&["run", "p.rhai", "-i", "inventory.yml", "--limit", "web-2,web-3"]);
    let said: Vec<&str> = ran.stdout.lines().map(str::trim).collect();
    assert_eq!(said[..4], ["local          on local", "web-2 web-3", "1", "3"], "{}{}", ran.stdout, ran.stderr);
    // A `local` that the inventory names is a host like any other.
    place.file("inventory.yml", "hosts:\n  local: { ways: [{ local: }] }\n  other: { ways: [{ local: }] }\n");
    place.file("p.rhai", "on(local(), |host| log(\"ran\"));\n");
    let ran = place.mk(&["run", "p.rhai", "-i", "inventory.yml", "--limit", "other"]);
    assert_eq!((ran.code, ran.stdout.contains("ran")), (0, false), "{}{}", ran.stdout, ran.stderr);
}

#[test]
fn lines_and_joined() {
    let ran = run(
        "let l = \"a\\n\\nb\\r\\n\".lines();\nlog(`${l.len()} ${l.joined(\"+\")} ${joined([1, true, 'c'], \", \")} ${\"\".lines().len()} ${[].joined(\"x\")}.`);\nlog([#{}].joined(\",\"));\n",
    );
    assert!(ran.stdout.contains("3 a++b 1, true, c 0 .\n"), "{}{}", ran.stdout, ran.stderr);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("joined: `[0]` is a map, not a text"), "{}", ran.stderr);
}

#[test]
fn the_same_warning_of_several_hosts_is_one_line() {
    let place = Place::new();
    place.file("inventory.yml", THREE);
    place.file(
        "p.rhai",
        r#"
            on("web", |host| {
                warn("it is old");
                if host.name == "web-2" {
                    warn("it swaps");
                }
            });
            warn("at the end");
        "#,
    );
    let ran = place.mk(&["run", "p.rhai", "-i", "inventory.yml"]);
    insta::assert_snapshot!(ran.stdout, @r"
    warning      3 hosts        it is old (web-[1..3])
    warning      web-2          it swaps
    warning      at the end
    ");
    let ran = place.mk(&["run", "p.rhai", "-i", "inventory.yml", "-q"]);
    assert!(ran.stdout.contains("warning      3 hosts        it is old (web-[1..3])\n"), "{}", ran.stdout);
    // Machines get each as it came.
    let ran = place.mk(&["run", "p.rhai", "-i", "inventory.yml", "--json"]);
    assert_eq!(ran.stdout.matches("it is old").count(), 3, "{}", ran.stdout);
}

#[test]
fn hosts_of_one_site_take_turns_and_sites_go_side_by_side() {
    let place = Place::new();
    let site = |n: usize| if n < 4 { "a" } else { "b" };
    let hosts: Vec<String> =
        (1..=6).map(|n| format!("  h{n}: {{ ways: [local: ], vars: {{ site: {} }} }}\n", site(n))).collect();
    let hosts = hosts.concat();
    place.file("inventory.yml", &format!("hosts:\n{hosts}"));
    place.file(
        "p.rhai",
        r#"
            let times = on("all", #{ at_once: 1, by: "site" }, |host| {
                let begun = now();
                host.run(["sleep", "0.3"], #{ reads: true });
                [begun, now()]
            });
            for one in times.ok {
                for other in times.ok {
                    let meet = one.name != other.name && times[one][0] < times[other][1] && times[other][0] < times[one][1];
                    if meet {
                        log(if one.vars.site == other.vars.site { "met at home" } else { "met" });
                    }
                }
            }
            log(times.ok.len());
        "#,
    );
    let ran = place.mk(&["run", "p.rhai", "-i", "inventory.yml"]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains(" met\n") && ran.stdout.lines().any(|line| line.trim() == "6"), "{}", ran.stdout);
    assert!(!ran.stdout.contains("met at home"), "{}", ran.stdout);
    place.file("wrong.rhai", "on(\"all\", #{ at_once: 0 }, |host| ());");
    let wrong = place.mk(&["run", "wrong.rhai", "-i", "inventory.yml"]);
    assert!(wrong.code == 2 && wrong.stderr.contains("on: invalid value"), "{}", wrong.stderr);
}

#[test]
fn what_a_playbook_learned_beats_the_inventory_until_one_forgets_it() {
    let place = Place::new();
    place.file("inventory.yml", THREE);
    let ask = "log(`${host(\"web-1\").get(\"node_ip\")} ${host(\"web-1\").get(\"device\", \"none\")}`);\n";
    let learn = r#"
        let one = host("web-1");
        one.learn("node_ip", "100.64.0.1");
        one.learn("device", "7");
    "#;
    let forget = r#"
        let one = host("web-1");
        one.unlearn("node_ip");
        one.unlearn("device");
    "#;
    for (script, flag, wanted) in [
        (learn, "-v", "100.64.0.1 7"),
        ("", "-v", "100.64.0.1 7"),
        (forget, "--check", "10.0.0.1 none"),
        ("", "-v", "100.64.0.1 7"),
        (forget, "-v", "10.0.0.1 none"),
        ("", "-v", "10.0.0.1 none"),
        // Both in one run.
        (&[learn, forget].concat(), "-v", "10.0.0.1 none"),
    ] {
        place.file("p.rhai", &[script, ask].concat());
        let ran = place.mk(&["run", flag, "p.rhai", "-i", "inventory.yml"]);
        assert_eq!(ran.code, 0, "{script}{}{}", ran.stdout, ran.stderr);
        assert!(ran.stdout.lines().any(|line| line.trim() == wanted), "{script}wanted {wanted}: {}", ran.stdout);
    }
}
