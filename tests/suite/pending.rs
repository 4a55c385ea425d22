//! Steps that were notified and have not run: kept whole by the control side, told by the host only by name.

use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use crate::support::{Place, Ran, Running};

const ON_LOCAL: &[&str] = &["run", "p.rhai"];

/// A place where a run was killed after a step had notified `later`, and before that ran.
pub(crate) fn killed(later: &str) -> Place {
    killed_with(later, "here")
}

fn killed_with(later: &str, host: &str) -> Place {
    let place = Place::new();
    // Where another user may write.
    place.file("theirs/x", "");
    std::os::unix::fs::chown(place.path().join("theirs"), Some(65534), None).unwrap();
    std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let text = r#"
        on(local(), |here| {
            HOST.copy("DIR/theirs/conf", #{ content: "1", notify: LATER });
            here.shell("touch DIR/midway; sleep 600");
        });
    "#;
    script(&place, &text.replace("HOST", host).replace("LATER", later));
    {
        let _run = Running(place.command(ON_LOCAL).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        place.until("midway");
    }
    // As in real life: the next run is of another playbook.
    script(
        &place,
        r#"
            local().run(["true"]);
            log("at the end");
        "#,
    );
    place
}

pub(crate) fn script(place: &Place, text: &str) {
    place.file("p.rhai", &text.replace("DIR", &place.path().display().to_string()));
}

pub(crate) fn again(place: &Place) -> Ran {
    place.mk(ON_LOCAL)
}

pub(crate) fn text(place: &Place, name: &str) -> Option<String> {
    std::fs::read_to_string(place.path().join(name)).ok()
}

/// Nothing is due any more, on the host or here.
pub(crate) fn is_over(place: &Place) {
    let notes = std::fs::read_dir(place.path().join("agent/state/pending")).into_iter().flatten().flatten();
    let notes: Vec<_> = notes.map(|entry| (entry.file_name(), std::fs::read_to_string(entry.path()))).collect();
    assert!(notes.is_empty(), "the host still has notes: {notes:?}");
    let listed = place.mk(&["pending", "list"]);
    assert_eq!((listed.code, listed.stdout.as_str()), (0, ""), "{}", listed.stderr);
}

#[test]
fn a_secret_of_a_notified_step_is_written_by_the_next_run_and_not_its_token() {
    let secret = "secret(\"file:DIR/key\")";
    let place = Place::new();
    place.file("key", "canary-secret");
    script(
        &place,
        &r#"
            let pw = SECRET;
            on(local(), |here| {
                here.copy("DIR/conf", #{ content: "1", notify: later("copy", "DIR/told", #{ content: "password=" + pw }) });
                here.shell("touch DIR/midway; sleep 600");
            });
        "#
            .replace("SECRET", secret),
    );
    {
        let _run = Running(place.command(ON_LOCAL).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        place.until("midway");
    }
    script(&place, "local().run([\"true\"]);");
    // Whatever has become of the secret's file meanwhile.
    std::fs::remove_file(place.path().join("key")).unwrap();
    let ran = again(&place);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert_eq!(text(&place, "told").as_deref(), Some("password=canary-secret"));
    assert!(!format!("{}{}", ran.stdout, ran.stderr).contains("canary-secret"));
    is_over(&place);
}

#[test]
fn content_of_any_size_is_kept_though_its_source_is_gone() {
    let place = Place::new();
    place.file("big", &"0123456789abcdef".repeat(20_000));
    script(
        &place,
        r#"
            on(local(), |here| {
                here.copy("DIR/conf", #{ content: "1", notify: later("copy", "DIR/told", #{ src: "big" }) });
                here.shell("touch DIR/midway; sleep 600");
            });
        "#,
    );
    {
        let _run = Running(place.command(ON_LOCAL).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        place.until("midway");
    }
    std::fs::remove_file(place.path().join("big")).unwrap();
    script(&place, "local().run([\"true\"]);");
    let ran = again(&place);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert_eq!(text(&place, "told").map(|text| text.len()), Some(320_000));
    is_over(&place);
}

#[test]
fn what_is_due_runs_at_the_end_when_the_step_that_mends_it_has_run() {
    let place = killed("later(\"shell\", \"grep -q good DIR/condition && echo restarted >> DIR/log\")");
    place.file("condition", "bad");
    // Nothing mends it here: the run says so, and it stays due.
    let failed = again(&place);
    assert_eq!(failed.code, 1, "{}{}", failed.stdout, failed.stderr);
    assert!(failed.stdout.contains("at the end"), "the script's own steps come first: {}", failed.stdout);
    assert!(place.mk(&["pending", "list"]).stdout.contains("shell grep -q good"));
    script(&place, "local().copy(\"DIR/condition\", #{ content: \"good\" });");
    let mended = again(&place);
    assert_eq!(mended.code, 0, "{}{}", mended.stdout, mended.stderr);
    assert_eq!(text(&place, "log").as_deref(), Some("restarted\n"));
    is_over(&place);
    assert_eq!(again(&place).code, 0);
    assert_eq!(text(&place, "log").as_deref(), Some("restarted\n"), "once is enough");
}

#[test]
fn a_change_that_did_not_happen_calls_for_nothing() {
    let place = Place::new();
    script(
        &place,
        "local().copy(\"DIR/conf\", #{ content: \"x\", validate: [\"false\", \"%s\"], notify: later(\"shell\", \"touch \
         DIR/told\") });",
    );
    assert_eq!(again(&place).code, 1);
    is_over(&place);
    script(&place, "local().run([\"/no/such/program\"], #{ notify: later(\"shell\", \"touch DIR/told\") });");
    assert_eq!(again(&place).code, 1);
    is_over(&place);
    // The script's own word counts, too.
    script(
        &place,
        "local().run([\"true\"], #{ changed: |outcome| false, notify: later(\"shell\", \"touch DIR/told\") });",
    );
    assert_eq!(again(&place).code, 0);
    is_over(&place);
    script(&place, "local().run([\"true\"]);");
    assert_eq!(again(&place).code, 0);
    assert_eq!(text(&place, "told"), None);
}

#[test]
fn what_the_script_calls_a_change_is_not_lost_where_the_host_saw_none() {
    // Of a resource that is as it should be, of a command that reads, and of a guarded one that ran.
    for (step, before) in [
        ("copy(\"DIR/conf\", #{ content: \"1\", changed: |outcome| true, notify: LATER })", "1"),
        ("run([\"true\"], #{ reads: true, changed: |outcome| true, notify: LATER })", ""),
        ("wait(#{ file: \"DIR/conf\", changed: |outcome| true, notify: LATER })", ""),
    ] {
        let place = Place::new();
        place.file("conf", before);
        let text = "on(local(), |here| {\n    here.STEP;\n    here.shell(\"touch DIR/midway; sleep 600\");\n});\n";
        let text = text.replace("STEP", step).replace("LATER", "later(\"shell\", \"echo told >> DIR/log\")");
        script(&place, &text);
        {
            let _run = Running(place.command(ON_LOCAL).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
            place.until("midway");
        }
        script(&place, "local().run([\"true\"]);");
        let ran = again(&place);
        assert_eq!(ran.code, 0, "{step}: {}{}", ran.stdout, ran.stderr);
        assert_eq!(self::text(&place, "log").as_deref(), Some("told\n"), "{step}: {}", ran.stdout);
        is_over(&place);
        // What the script calls unchanged is due no more, and what it lives to see runs once.
        script(&place, &text.replace("; sleep 600", "").replace("|outcome| true", "|outcome| false"));
        assert_eq!(again(&place).code, 0);
        is_over(&place);
        assert_eq!(self::text(&place, "log").as_deref(), Some("told\n"), "{step}");
        script(&place, &text.replace("; sleep 600", ""));
        assert_eq!(again(&place).code, 0);
        is_over(&place);
        assert_eq!(self::text(&place, "log").as_deref(), Some("told\ntold\n"), "{step}");
    }
}

#[test]
fn a_change_before_a_failure_calls_for_its_step_all_the_same() {
    let place = Place::new();
    script(
        &place,
        "local().shell(\"echo half > DIR/conf; exit 3\", #{ notify: later(\"shell\", \"echo told >> DIR/log\") });",
    );
    assert_eq!(again(&place).code, 1);
    assert_eq!(text(&place, "log").as_deref(), Some("told\n"));
    is_over(&place);
}

#[test]
fn several_steps_are_notified_and_run_where_the_script_wants_them() {
    let place = Place::new();
    script(
        &place,
        r#"
            on(local(), |here| {
                let one = later("shell", "echo one >> DIR/log");
                let two = later("shell", "echo two >> DIR/log");
                here.copy("DIR/a", #{ content: "1", notify: [one, two] });
                here.flush_notified();
                here.shell("echo between >> DIR/log");
                here.copy("DIR/b", #{ content: "1", notify: two });
                here.copy("DIR/c", #{ content: "1", notify: two });
            });
        "#,
    );
    let ran = again(&place);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert_eq!(text(&place, "log").as_deref(), Some("one\ntwo\nbetween\ntwo\n"));
    is_over(&place);
    script(&place, "local().copy(\"DIR/d\", #{ content: \"1\", notify: [1] });");
    let wrong = again(&place);
    assert!(wrong.stderr.contains("or a list of such steps"), "{}", wrong.stderr);
}

#[test]
fn a_notified_step_goes_through_its_hosts_one_at_a_time_where_that_is_asked_for() {
    let place = Place::new();
    let _hosts = crate::sshd::hosts(&place, &["a", "b", "c"]);
    let step = "echo in >> DIR/log; sleep 0.3; echo out >> DIR/log";
    let text = r#"
        on("all", |host| {
            host.copy(`DIR/conf-${host.name}`, #{ content: "1", notify: later("shell", "STEP").at_once(1) });
        });
    "#;
    script(&place, &text.replace("STEP", step));
    let ran = place.mk(&["run", "p.rhai", "-i", "inventory.yml"]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert_eq!(self::text(&place, "log").unwrap_or_default(), "in\nout\n".repeat(3));
}

#[test]
fn steps_that_differ_only_in_what_they_write_are_two() {
    let place = Place::new();
    place.file("t.j2", "{{ value }}\n");
    let step = "later(\"template\", \"DIR/told\", #{ src: \"t.j2\", vars: #{ value: VALUE } })";
    let steps = format!("[{}, {}]", step.replace("VALUE", "1"), step.replace("VALUE", "2"));
    script(&place, &format!("local().copy(\"DIR/conf\", #{{ content: \"1\", notify: {steps} }});"));
    let ran = again(&place);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert_eq!(text(&place, "told").as_deref(), Some("2\n"));
    is_over(&place);
}

#[test]
fn a_step_that_another_user_notified_is_not_lost() {
    let place = killed_with("later(\"shell\", \"id -un >> DIR/theirs/log\")", "here.as_user(\"nobody\")");
    let ran = again(&place);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert_eq!(text(&place, "theirs/log").as_deref(), Some("nobody\n"));
    is_over(&place);
}

#[test]
fn another_machine_names_what_is_due_and_guesses_nothing() {
    let place = killed("later(\"shell\", \"echo told >> DIR/log\")");
    std::fs::rename(place.path().join("state"), place.path().join("state-elsewhere")).unwrap();
    let elsewhere = again(&place);
    assert_eq!(elsewhere.code, 0, "{}{}", elsewhere.stdout, elsewhere.stderr);
    let said = format!("{}{}", elsewhere.stdout, elsewhere.stderr);
    assert!(said.contains("`shell echo told >> DIR/log` was notified by ") && said.contains("is due here"), "{said}");
    assert_eq!(text(&place, "log"), None);
    // There is a way out.
    let forgotten = place.mk(&["pending", "forget", "local"]);
    assert_eq!(forgotten.code, 0, "{}{}", forgotten.stdout, forgotten.stderr);
    assert!(forgotten.stdout.contains("forgotten: shell echo told"), "{}", forgotten.stdout);
    is_over(&place);
    // Where it was notified, it is known that it is not due any more.
    let _ = std::fs::remove_dir_all(place.path().join("state"));
    std::fs::rename(place.path().join("state-elsewhere"), place.path().join("state")).unwrap();
    assert_eq!(again(&place).code, 0);
    assert_eq!(text(&place, "log"), None);
    is_over(&place);
}

#[test]
fn what_is_due_can_be_run_or_forgotten_by_itself() {
    let place = killed("later(\"shell\", \"echo told >> DIR/log\")");
    let listed = place.mk(&["pending", "list"]);
    assert!(
        listed.stdout.contains("shell echo told >> DIR/log") && listed.stdout.contains("p.rhai:2"),
        "{}",
        listed.stdout
    );
    for command in ["run", "forget"] {
        let wrong = place.mk(&["pending", command, "local", "--id", "abc"]);
        assert_eq!(wrong.code, 2, "{}{}", wrong.stdout, wrong.stderr);
        let said = format!("`mk pending {command}`: `local` has no notified step of the id `abc`");
        assert!(wrong.stderr.contains(&said) && wrong.stderr.contains("`mk pending list`"), "{}", wrong.stderr);
    }
    let id = listed.stdout.split_whitespace().nth(1).unwrap().to_owned();
    let ran = place.mk(&["pending", "run", "local", "--id", &id]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert_eq!(text(&place, "log").as_deref(), Some("told\n"));
    is_over(&place);
    let place = killed("later(\"shell\", \"echo told >> DIR/log\")");
    let id = place.mk(&["pending", "list"]).stdout.split_whitespace().nth(1).unwrap().to_owned();
    assert_eq!(place.mk(&["pending", "forget", "local", "--id", &id]).code, 0);
    assert_eq!(again(&place).code, 0);
    assert_eq!(text(&place, "log"), None);
    is_over(&place);
}

#[test]
fn a_file_that_a_host_keeps_as_a_notified_step_is_never_carried_out() {
    let place = Place::new();
    let dir = place.path().display().to_string();
    script(&place, "local().run([\"true\"]);");
    place.file("wanted", "stolen\n");
    for step in [
        format!(
            r#"{{"op":"fetch","subject":"/x","args":{{"src":"{dir}/wanted","@path":"{dir}/stolen","mode":"0644"}},"user":null}}"#
        ),
        format!(r#"{{"id":"a","name":"x","op":"shell","args":{{"script":"touch {dir}/stolen"}}}}"#),
    ] {
        place.file("agent/state/pending/aaaaaaaaaaaaaaaa.json", &step);
        let ran = again(&place);
        assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
        assert!(!place.path().join("stolen").exists());
        assert!(format!("{}{}", ran.stdout, ran.stderr).contains("is due here"), "{}{}", ran.stdout, ran.stderr);
        assert_eq!(place.mk(&["pending", "forget", "local"]).code, 0);
        is_over(&place);
    }
}

#[test]
fn what_another_project_notified_is_left_to_it_and_locks_nobody_out() {
    let place = Place::new();
    place.file("inventory.yml", "hosts: { h: { ways: [local: ] } }\n");
    place.file("source", "x");
    let dir = place.path().display().to_string();
    let playbook = |project: &str, rest: &str| {
        place.file(&format!("{project}/mk.toml"), "inventory = \"../inventory.yml\"\n");
        let text = format!(
            r#"
                ca("demo", #{{ cn: "ca-of-{project}" }});
                on("h", |host| {{ {rest} }});
            "#
        );
        place.file(&format!("{project}/p.rhai"), &text.replace("DIR", &dir));
    };
    let laters = "[later(\"cert\", \"DIR/c\", #{ ca: \"demo\", cn: \"x\" }), later(\"fetch\", \"DIR/source\", #{ dest: \"got\" })]";
    let rest = format!(
        r#"
            host.copy("DIR/conf", #{{ content: "1", notify: {laters} }});
            host.shell("touch DIR/midway; sleep 600");
        "#
    );
    playbook("one", &rest);
    {
        let mut command = place.command(&["run", "one/p.rhai"]);
        let _run = Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        place.until("midway");
    }
    playbook("two", "host.run([\"true\"]);");
    let other = place.mk(&["run", "two/p.rhai"]);
    assert_eq!(other.code, 0, "{}{}", other.stdout, other.stderr);
    assert!(other.stdout.contains("is due here"), "{}", other.stdout);
    assert!(!place.path().join("c.crt").exists(), "an authority of another project has signed");
    assert!(!place.path().join("two/got").exists(), "a file of another project's went into this one");
    playbook("one", "host.run([\"true\"]);");
    let own = place.mk(&["run", "one/p.rhai"]);
    assert_eq!(own.code, 0, "{}{}", own.stdout, own.stderr);
    assert!(place.path().join("c.crt").exists() && place.path().join("one/got").exists(), "{}", own.stdout);
}

#[test]
fn what_no_agent_could_note_is_neither_notified_nor_notifies() {
    for script in [
        r#"local().raw("true", #{ notify: later("shell", "true") });"#,
        r#"local().shell("true", #{ notify: later("raw", "true") });"#,
    ] {
        let place = Place::new();
        place.file("p.rhai", script);
        let ran = place.mk(&["run", "p.rhai"]);
        assert_eq!(ran.code, 2, "{}", ran.stderr);
        assert!(ran.stderr.contains("raw") && ran.stderr.contains("`shell` and `run`"), "{}", ran.stderr);
    }
}
