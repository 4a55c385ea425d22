//! What a check foretells, and what it leaves unknown.

use crate::playbooks::THREE;
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
