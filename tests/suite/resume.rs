//! `--resume`: what completed before is skipped, and only while nothing it was made from is another.

use crate::support::{Place, Ran};

/// A project whose `all.rhai` plays two playbooks; each adds a line to a file of its own whenever it runs.
fn project() -> Place {
    let place = Place::new();
    place.file(
        "all.rhai",
        r#"
            play("01-one.rhai");
            play("02-two.rhai");
        "#,
    );
    place.file(
        "01-one.rhai",
        r#"
            import "helper" as helper;
            local().template(helper::folder() + "/one", #{ src: "one.j2", vars: #{ colour: vars("colour") } });
            helper::mark("1");
        "#,
    );
    place.file(
        "02-two.rhai",
        r#"
            import "helper" as helper;
            helper::mark("2");
        "#,
    );
    let folder = place.path().display().to_string();
    place.file(
        "stdlib/helper.rhai",
        &format!(
            r#"
                fn folder() {{ "{folder}" }}
                fn mark(name) {{
                    task("x", || {{ local().run(["sh", "-c", `echo ran >> {folder}/ran-${{name}}`]); }});
                }}
            "#
        ),
    );
    place.file("templates/one.j2", "{{ colour }}\n");
    place.file("mk.toml", "[vars]\ncolour = \"blue\"\n");
    place
}

/// How often the two have run.
fn ran(place: &Place) -> [usize; 2] {
    ["1", "2"].map(|name| {
        std::fs::read_to_string(place.path().join(format!("ran-{name}"))).map_or(0, |text| text.lines().count())
    })
}

fn resume(place: &Place) -> Ran {
    let ran = place.mk(&["run", "all.rhai", "--resume"]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    ran
}

#[test]
fn what_completed_is_skipped_only_when_asked() {
    let place = project();
    assert_eq!(place.mk(&["run", "all.rhai"]).code, 0);
    assert_eq!(ran(&place), [1, 1]);
    let second = resume(&place);
    assert_eq!(ran(&place), [1, 1], "{}", second.stdout);
    let shown = regex_lite::Regex::new("[0-9-]+ [0-9:]+ UTC").unwrap().replace_all(&second.stdout, "THEN").into_owned();
    insta::assert_snapshot!(shown, @r"
    skipped      play 01-one.rhai, completed THEN with the same inputs
    skipped      play 02-two.rhai, completed THEN with the same inputs
    nothing changed on 1 host, 0 steps in TIME, 2 playbooks skipped
      local          ok 0
    ");
    assert_eq!(place.mk(&["run", "all.rhai"]).code, 0);
    assert_eq!(ran(&place), [2, 2], "only `--resume` skips");
}

#[test]
fn a_playbook_whose_inputs_are_others_runs_again_and_says_which() {
    let cases: &[(&str, &str, &str, [usize; 2])] = &[
        (
            "01-one.rhai",
            r#"
                import "helper" as helper;
                helper::mark("1");
            "#,
            "`01-one.rhai`",
            [2, 1],
        ),
        ("templates/one.j2", "other {{ colour }}\n", "`one.j2`", [2, 1]),
        // It would be found before the one that was read.
        ("one.j2", "{{ colour }}\n", "`one.j2`", [2, 1]),
        ("mk.toml", "[vars]\ncolour = \"red\"\n", "the variables of all hosts", [2, 2]),
    ];
    for (file, text, told, expected) in cases {
        let place = project();
        resume(&place);
        place.file(file, text);
        let second = resume(&place);
        assert!(second.stdout.contains(told), "{file}: {}", second.stdout);
        assert_eq!(ran(&place), *expected, "{file}: {}", second.stdout);
        resume(&place);
        assert_eq!(ran(&place), *expected, "{file}: what ran again is noted again");
    }
}

#[test]
fn a_module_is_an_input_of_everybody_who_imports_it_the_second_time_too() {
    let place = project();
    // The module imports another one; the second playbook gets the first from memory.
    place.file("stdlib/deep.rhai", "fn nothing() { 1 }");
    let helper = place.path().join("stdlib/helper.rhai");
    let text = format!("import \"deep\" as deep;\n{}", std::fs::read_to_string(&helper).unwrap());
    std::fs::write(&helper, text).unwrap();
    resume(&place);
    place.file("stdlib/deep.rhai", "fn nothing() { 2 }");
    let second = resume(&place);
    assert!(second.stdout.contains("the module `deep`"), "{}", second.stdout);
    assert_eq!(ran(&place), [2, 2]);
}

#[test]
fn neither_a_failed_run_nor_a_check_is_noted_and_the_rest_runs_from_its_top() {
    let place = project();
    let two = std::fs::read_to_string(place.path().join("02-two.rhai")).unwrap();
    assert_eq!(place.mk(&["run", "all.rhai", "--check"]).code, 0);
    place.file("02-two.rhai", &format!("{two}\nfail(\"not yet\");"));
    assert_eq!(place.mk(&["run", "all.rhai"]).code, 1);
    assert_eq!(ran(&place), [1, 1]);
    assert_eq!(place.mk(&["run", "all.rhai", "--resume"]).code, 1);
    assert_eq!(ran(&place), [1, 2], "the first completed, the second did not");
    place.file("02-two.rhai", &two);
    resume(&place);
    assert_eq!(ran(&place), [1, 3]);
}

#[test]
fn another_choice_of_tasks_is_noted_apart() {
    let place = project();
    resume(&place);
    assert_eq!(place.mk(&["run", "all.rhai", "--resume", "--tags", "x"]).code, 0);
    assert_eq!(ran(&place), [2, 2]);
    resume(&place);
    assert_eq!(ran(&place), [2, 2], "the whole one still holds");
    assert_eq!(place.mk(&["run", "all.rhai", "--resume", "-e", "colour=red"]).code, 0);
    assert_eq!(ran(&place), [3, 3]);
}

#[test]
fn the_environment_and_a_machine_count_too() {
    let place = project();
    place.file(
        "02-two.rhai",
        r#"
            import "helper" as helper;
            env("WHICH", "");
            helper::mark("2");
        "#,
    );
    resume(&place);
    let output = place.command(&["run", "all.rhai", "--resume"]).env("WHICH", "that").output().unwrap();
    let shown = place.shown(&output);
    assert!(shown.stdout.contains("`WHICH` of the environment"), "{}{}", shown.stdout, shown.stderr);
    assert_eq!(ran(&place), [1, 2]);
    // As if the machine had been another one then.
    for entry in walkdir::WalkDir::new(place.path().join("state")).into_iter().map(Result::unwrap) {
        if entry.path().parent().is_some_and(|folder| folder.ends_with("completed")) {
            let text = std::fs::read_to_string(entry.path()).unwrap();
            let mut note: serde_json::Value = serde_json::from_str(&text).unwrap();
            note["inputs"]["machines"]["local"] = "0123".into();
            std::fs::write(entry.path(), note.to_string()).unwrap();
        }
    }
    let output = place.command(&["run", "all.rhai", "--resume"]).env("WHICH", "that").output().unwrap();
    let shown = place.shown(&output);
    assert!(shown.stdout.contains("the machine `local`"), "{}{}", shown.stdout, shown.stderr);
    assert_eq!(ran(&place), [2, 3]);
}

#[test]
fn what_undoes_the_others_makes_them_run_again() {
    let place = project();
    place.file("undo.rhai", "forget_completed();");
    resume(&place);
    assert_eq!(place.mk(&["run", "undo.rhai", "--check"]).code, 0);
    resume(&place);
    assert_eq!(ran(&place), [1, 1], "a check forgets nothing");
    assert_eq!(place.mk(&["run", "undo.rhai"]).code, 0);
    resume(&place);
    assert_eq!(ran(&place), [2, 2]);
}

#[test]
fn a_step_that_waits_for_the_end_of_the_run_must_end_well_first() {
    let place = Place::new();
    let folder = place.path().display().to_string();
    place.file("all.rhai", "play(\"one.rhai\");");
    let step = "local().run([\"sh\", \"-c\", \"echo x >> FOLDER/ran\"], #{ notify: later(\"run\", [\"test\", \"-e\", \"FOLDER/ok\"]) });";
    place.file("one.rhai", &step.replace("FOLDER", &folder));
    let lines = || std::fs::read_to_string(place.path().join("ran")).unwrap().lines().count();
    assert_eq!(place.mk(&["run", "all.rhai"]).code, 1);
    place.file("ok", "");
    resume(&place);
    assert_eq!(lines(), 2, "the first run's last step failed, so it did not complete");
    resume(&place);
    assert_eq!(lines(), 2);
}

#[test]
fn what_is_played_for_each_host_always_runs() {
    let place = project();
    place.file("all.rhai", "on(local(), |host| { play(\"02-two.rhai\"); });");
    resume(&place);
    resume(&place);
    assert_eq!(ran(&place), [0, 2]);
}

#[test]
fn a_playbook_that_plays_nothing_says_that_nothing_can_be_skipped() {
    let place = Place::new();
    place.file("p.rhai", "log(\"hi\");");
    let ran = place.mk(&["run", "p.rhai", "--resume"]);
    assert!(ran.stdout.contains("`--resume` skips what `play` calls, and `p.rhai` calls nothing"), "{}", ran.stdout);
    assert_eq!(ran.code, 0);
}
