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
        "let here = local();\nhere.dir(\"{0}\");\nhere.copy(\"{0}/motd\", #{{ content: \"hi\\n\", mode: \"0600\" }});\n",
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
fn a_check_with_exit_code_tells_changes_by_three() {
    let place = Place::new();
    place.file("p.rhai", &format!("local().dir(\"{}/d\");", place.path().display()));
    assert_eq!(place.mk(&["run", "--check", "--exit-code", "p.rhai"]).code, 3);
    place.mk(&["run", "p.rhai"]);
    assert_eq!(place.mk(&["run", "--check", "--exit-code", "p.rhai"]).code, 0);
}

#[test]
fn writing_to_a_captured_variable_is_explained() {
    let ran = run("let n = 0;\non(local(), |host| { n += 1; });\n");
    assert_eq!(ran.code, 2, "{}", ran.stdout);
    insta::assert_snapshot!(ran.stderr, @r"
    error: the closure writes to `n`, which is outside of it
      because: every host has its own copy, so what is written to it is lost
     --> p.rhai:2:1 on local
      |
    2 | on(local(), |host| { n += 1; });
      | ^^
     hint: return the value from the closure: `on` gives what each host returned, by its name
    ");
}

#[test]
fn a_failed_step_can_be_caught_and_looked_into() {
    let ran = run(
        "try { local().run([\"false\"]); } catch (e) { log(e.kind + \": \" + e.message + \" at line \" + e.line); }",
    );
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains("step: `false` exited with status 1 at line 1"), "{}", ran.stdout);
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
        place.file("p.rhai", &format!(
            "let here = local();\nlet said = here.run([\"cat\", \"{folder}/said\"], #{{ reads: true }}).stdout;\nhere.template(\"{folder}/out\", #{{ src: \"t.j2\", vars: #{{ said: said }} }});\nlog(said);"
        ));
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
    place.file("p.rhai", &format!(
        "let s = secret(\"file:pw\");\nlet here = local();\nhere.copy(\"{folder}/out\", #{{ content: \"password=\" + s + \"\\n\", mode: \"0600\" }});\nlog(\"it is \" + s);\nlet back = here.run([\"cat\", \"{folder}/out\"]).stdout;\nlog(back);\nhere.shell(\"cat {folder}/out; cat {folder}/out | base64; exit 3\");"
    ));
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
fn in_a_check_reading_what_a_command_would_print_ends_the_prediction_and_no_script_can_catch_it() {
    let place = Place::new();
    place.file("p.rhai", "on(local(), |host| { try { let r = host.run([\"date\"]); log(r.stdout); } catch (e) { log(\"caught\"); } });\n");
    let ran = place.mk(&["run", "--check", "p.rhai"]);
    assert!(!ran.stdout.contains("caught"), "{}", ran.stdout);
    assert!(ran.stdout.contains("unpredicted from here: depends on line 1"), "{}{}", ran.stdout, ran.stderr);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
}

#[test]
fn a_notified_step_runs_once_at_the_end_also_after_a_failure() {
    let place = Place::new();
    let folder = place.path().display();
    place.file("p.rhai", &format!(
        "on(local(), |host| {{\n let restart = later(\"shell\", \"echo ran >> {folder}/log\");\n host.copy(\"{folder}/a\", #{{ content: \"1\", notify: restart }});\n host.copy(\"{folder}/b\", #{{ content: \"1\", notify: restart }});\n fail(\"after the change\");\n}});"
    ));
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
