//! The ledger, on this machine: what is made is known, and taken away; what was there stays.

use std::process::Stdio;

use rustix::process::Signal;

use crate::sshd::hosts;
use crate::support::{Place, Running};

fn project() -> Place {
    let place = Place::new();
    let folder = place.path().display().to_string();
    place.file("there/own", "mine\n");
    place.file("there/text", "first\n");
    place.file(
        "make.rhai",
        &format!(
            r#"
                let here = local();
                here.dir("{folder}/there");
                here.dir("{folder}/made/deep");
                here.copy("{folder}/there/own", #{{ content: "changed\n" }});
                here.copy("{folder}/made/deep/file", #{{ content: "x" }});
                here.file("{folder}/made/link", #{{ state: "link", target: "deep" }});
                here.line("{folder}/there/text", #{{ line: "second" }});
                here.block("{folder}/there/new", #{{ name: "n", content: "a", create: true }});
                here.run(["sh", "-c", "mkdir -p {folder}/there/by-hand/sub"], #{{ creates: "{folder}/there/by-hand" }});
            "#
        ),
    );
    let ran = place.mk(&["run", "make.rhai"]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    place
}

/// The ledger, without its times and the place of the test.
fn ledger(place: &Place) -> String {
    ledger_of(place, &[])
}

fn ledger_of(place: &Place, inventory: &[&str]) -> String {
    let ran = place.mk(&[&["ledger"], inventory].concat());
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    regex_lite::Regex::new(", [0-9-]+ [0-9:]+ UTC").unwrap().replace_all(&ran.stdout, "").into_owned()
}

#[test]
fn only_what_was_made_is_in_the_ledger() {
    let place = project();
    insta::assert_snapshot!(ledger(&place), @r"
    local          dir            DIR/made  (make.rhai:3)
    local          dir            DIR/made/deep  (make.rhai:3)
    local          file           DIR/made/deep/file  (make.rhai:5)
    local          file           DIR/made/link  (make.rhai:6)
    local          line           DIR/there/text second  (make.rhai:7)
    local          file           DIR/there/new  (make.rhai:8)
    local          block          DIR/there/new n  (make.rhai:8)
    local          dir            DIR/there/by-hand  (make.rhai:9)
    ");
    // A second run makes nothing, and nothing is forgotten by it.
    let first = ledger(&place);
    assert_eq!(place.mk(&["run", "make.rhai"]).code, 0);
    assert_eq!(ledger(&place), first);
}

#[test]
fn what_a_playbook_removes_leaves_the_ledger() {
    let place = project();
    place.file("gone.rhai", &format!("local().dir(\"{}/made\", #{{ state: \"absent\" }});", place.path().display()));
    assert_eq!(place.mk(&["run", "gone.rhai"]).code, 0);
    assert!(!ledger(&place).contains("/made"), "{}", ledger(&place));
}

#[test]
fn a_plan_shows_and_changes_nothing_and_pruning_leaves_what_was_there() {
    let place = project();
    let known = ledger(&place);
    place.file("made/deep/foreign", "not mk's\n");
    let refused = place.mk(&["prune", "local"]);
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(
        refused.stderr.contains("nobody is there to agree") && refused.stderr.contains("`--yes`"),
        "{}",
        refused.stderr
    );
    let plan = place.mk(&["prune", "local", "--plan"]);
    assert_eq!(plan.code, 0, "{}", plan.stderr);
    let mut lines: Vec<&str> = plan.stdout.lines().filter(|line| line.starts_with("would change")).collect();
    lines.sort_unstable();
    insta::assert_snapshot!(lines.join("\n"), @r"
    would change local          block DIR/there/new
    would change local          dir DIR/there/by-hand
    would change local          file DIR/made/deep/file
    would change local          file DIR/made/link
    would change local          file DIR/there/new
    would change local          line DIR/there/text
    ");
    assert_eq!(ledger(&place), known);
    let pruned = place.mk(&["prune", "local", "--yes"]);
    assert_eq!(pruned.code, 0, "{}", pruned.stderr);
    for stays in ["`dir DIR/made/deep` stays: something that mk did not make is in it", "`dir DIR/made` stays"] {
        assert!(pruned.stdout.contains(stays), "{}", pruned.stdout);
    }
    let mut left: Vec<String> = walkdir::WalkDir::new(place.path())
        .into_iter()
        .map(|entry| entry.unwrap().path().strip_prefix(place.path()).unwrap().display().to_string())
        .filter(|path| path.starts_with("made") || path.starts_with("there"))
        .collect();
    left.sort();
    assert_eq!(left, ["made", "made/deep", "made/deep/foreign", "there", "there/own", "there/text"]);
    assert_eq!(std::fs::read_to_string(place.path().join("there/text")).unwrap(), "first\n");
    // Once the other thing is gone, so may they be.
    std::fs::remove_file(place.path().join("made/deep/foreign")).unwrap();
    assert_eq!(place.mk(&["prune", "local", "--yes"]).code, 0);
    assert!(!place.path().join("made").exists());
    assert_eq!(ledger(&place), "");
}

#[test]
fn a_step_that_fails_has_made_what_it_made() {
    let place = Place::new();
    let folder = place.path().display().to_string();
    place.file(
        "fails.rhai",
        &format!("local().run([\"sh\", \"-c\", \"touch {folder}/half; exit 3\"], #{{ creates: \"{folder}/half\" }});"),
    );
    assert_eq!(place.mk(&["run", "fails.rhai"]).code, 1);
    assert!(ledger(&place).contains("file           DIR/half"), "{}", ledger(&place));
}

#[test]
fn what_holds_a_secret_is_not_written_down() {
    let place = Place::new();
    let folder = place.path().display().to_string();
    place.file("key", "canary-secret");
    place.file("text", "first\n");
    place.file(
        "secret.rhai",
        &format!("local().line(\"{folder}/text\", #{{ line: \"password=\" + secret(\"file:{folder}/key\") }});"),
    );
    let ran = place.mk(&["run", "secret.rhai"]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("holds a secret, so it is not in the ledger"), "{}", ran.stdout);
    assert_eq!(ledger(&place), "");
    let files = walkdir::WalkDir::new(place.path()).into_iter().map(Result::unwrap);
    let files = files.filter(|entry| entry.file_type().is_file() && entry.depth() > 1);
    let kept: Vec<_> = files.map(|entry| std::fs::read(entry.path()).unwrap()).collect();
    assert!(!kept.is_empty(), "not even what the agent keeps is there");
    assert!(kept.iter().all(|bytes| !String::from_utf8_lossy(bytes).contains("canary-secret")));
}

#[test]
fn a_script_takes_away_what_it_chooses() {
    let place = project();
    place.file(
        "some.rhai",
        r#"
            let here = local();
            let links = here.made().filter(|thing| thing.subject.ends_with("link"));
            let unmade = here.unmake(links);
            assert(unmade.removed.len() == 1 && unmade.kept == [], `${unmade}`);
            log(here.made().len());
        "#,
    );
    let ran = place.mk(&["run", "some.rhai"]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert!(!place.path().join("made/link").exists() && place.path().join("made/deep/file").exists());
    place.file("wrong.rhai", "local().unmake([\"x\"]);");
    let wrong = place.mk(&["run", "wrong.rhai"]);
    assert_eq!(wrong.code, 2, "{}", wrong.stderr);
    assert!(wrong.stderr.contains("unmake: it takes what `made` gives"), "{}", wrong.stderr);
}

#[test]
fn what_steps_made_that_travelled_together_is_known_though_the_run_was_killed_before_it_heard_of_any() {
    let place = Place::new();
    let _sshd = hosts(&place, &["a"]);
    let folder = place.path().display().to_string();
    place.file(
        "killed.rhai",
        &format!(
            r#"
                on("a", |host| {{
                    host.shell("touch {folder}/begun; until [ -e {folder}/go ]; do sleep 0.05; done");
                    host.dir("{folder}/one");
                    host.copy("{folder}/one/two", #{{ content: "x" }});
                    host.shell("touch {folder}/over; sleep 600");
                }});
            "#
        ),
    );
    place.file("next.rhai", "on(\"a\", |host| { host.run([\"true\"]); });");
    let run =
        Running(place.command(&["run", "killed.rhai", "-i", "inventory.yml"]).stdout(Stdio::null()).spawn().unwrap());
    place.until("begun");
    run.signal(Signal::STOP);
    place.file("go", "");
    place.until("over");
    drop(run);
    let next = place.mk(&["run", "next.rhai", "-i", "inventory.yml"]);
    assert_eq!(next.code, 0, "{}{}", next.stdout, next.stderr);
    insta::assert_snapshot!(ledger_of(&place, &["-i", "inventory.yml"]), @r"
    a              dir            DIR/one  (killed.rhai:3)
    a              file           DIR/one/two  (killed.rhai:4)
    ");
}
