//! What scripts and command lines say is taken as it was meant, or refused: nothing is passed over in silence.

use crate::support::{Place, Ran};

const INVENTORY: &str = "hosts:\n  a: { ways: [{ local: {} }], vars: { x: 1 } }\n  b: { ways: [{ local: {} }] }\n  c: { ways: [{ local: {} }], vars: { x: 1 } }\n";

fn run(script: &str, args: &[&str]) -> (Place, Ran) {
    let place = Place::new();
    place.file("inventory.yml", INVENTORY);
    place.file("p.rhai", script);
    let ran = place.mk(&[&["run", "p.rhai", "-i", "inventory.yml"], args].concat());
    (place, ran)
}

/// What was said, a line each.
fn said(ran: &Ran) -> Vec<&str> {
    ran.stdout.lines().filter_map(|line| line.strip_prefix("             ")).map(str::trim).collect()
}

#[test]
fn what_fails_under_keep_going_is_told_and_counts() {
    let script = "on(\"all\", #{ keep_going: true }, |host| { if host.name == \"b\" { fail(\"no good\"); } });\n\
                  on(\"all\", |host| log(`still ${host.name}`));\n";
    let (place, ran) = run(script, &["--junit", "j.xml", "--report", "r.html"]);
    assert_eq!(ran.code, 1, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("failed       b\nerror: no good\n --> p.rhai:1:"), "{}", ran.stdout);
    assert!(ran.stdout.contains("still b"), "{}", ran.stdout);
    let read = |name: &str| std::fs::read_to_string(place.path().join(name)).unwrap();
    assert!(read("j.xml").contains("failures=\"1\"") && read("j.xml").contains("no good"), "{}", read("j.xml"));
    assert!(read("r.html").contains("no good"));
    let ran = place.mk(&["run", "p.rhai", "-i", "inventory.yml", "--json"]);
    assert!(ran.stdout.contains("\"host_kept\":{\"host\":\"b\""), "{}", ran.stdout);
    // A step that failed is a failure then, and was shown when it did.
    let step = "on(\"all\", #{ keep_going: true }, |host| { if host.name == \"b\" { host.run([\"false\"]); } });\n";
    let (_place, ran) = run(step, &[]);
    assert_eq!((ran.code, ran.stdout.matches("`false` exited with status 1").count()), (1, 1), "{}", ran.stdout);
    assert!(ran.stdout.contains("  b              ok 0  failed 1\n"), "{}", ran.stdout);
    // The way to say that it is none.
    let caught = "on(\"all\", #{ keep_going: true }, |host| { if host.name == \"b\" { try { host.run([\"false\"]); } catch { } } });\n";
    assert_eq!(run(caught, &[]).1.code, 0);
}

#[test]
fn a_variable_that_one_host_lacks_fails_that_host_alone() {
    for ask in ["host.get(\"x\")", "host.vars.x"] {
        for options in ["", "#{ batch: 1 }, ", "#{ keep_going: true, batch: 1 }, "] {
            let script = format!("let r = on(\"all\", {options}|host| {ask});\nlog(r.ok);\nlog(r.failed);\n");
            let (_place, ran) = run(&script, &[]);
            assert_eq!(ran.code, 2, "{script}{}{}", ran.stdout, ran.stderr);
            assert_eq!(said(&ran), ["[host(\"a\"), host(\"c\")]", "[host(\"b\")]"], "{script}{}", ran.stdout);
            assert!(ran.stdout.contains("failed       b\nerror: "), "{script}{}", ran.stdout);
            assert!(ran.stdout.contains("`mk vars b` lists its variables"), "{script}{}", ran.stdout);
        }
    }
}

#[test]
fn a_retry_that_is_none_is_refused_when_the_step_runs() {
    for (retry, wanted) in [
        ("10", "run: `retry` is a map such as"),
        ("#{ attempts: \"5\" }", "run: `retry.attempts` is a count of 1 or more"),
        ("#{ attempts: -1 }", "run: `retry.attempts` is a count of 1 or more"),
        ("#{ attemps: 5 }", "run: unknown field `attemps` of `retry`"),
    ] {
        let (_place, ran) = run(&format!("let r = {retry};\nlocal().run([\"false\"], #{{ retry: r }});\n"), &[]);
        assert_eq!(ran.code, 2, "{retry}: {}", ran.stderr);
        assert!(ran.stderr.contains(wanted) && !ran.stdout.contains("exited"), "{retry}: {}{}", ran.stdout, ran.stderr);
    }
}

#[test]
fn log_says_whatever_it_is_given_and_is_no_logarithm() {
    let script = r#"
        log(2.5);
        log(7);
        let o = local().run(["echo", "hi"], #{ reads: true });
        log(o);
        log(local());
        log([local(), #{ a: 1.0 }]);
        try { fail("it broke"); } catch (e) { log(e); log(#{ e: e }); }
        print(#{ a: "x" });
        try { log(8.0, 2.0); } catch (e) { log(e); }
    "#;
    let (_place, ran) = run(script, &["--no-lint"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let lines = said(&ran);
    assert_eq!(lines[..2], ["2.5", "7"]);
    assert!(
        lines[2].starts_with("run: read #{") && lines[2].contains("\"stdout\": \"hi\", \"stderr\": \"\", \"code\": 0"),
        "{lines:?}"
    );
    assert_eq!(
        lines[3..],
        [
            "local",
            "[host(\"local\"), #{\"a\": 1.0}]",
            "it broke",
            "#{\"e\": it broke}",
            "#{\"a\": \"x\"}",
            "log: it says one value, and two were given"
        ]
    );
}

#[test]
fn exit_ends_the_playbook_and_chooses_no_status() {
    let (_place, ran) = run("log(\"one\");\nexit();\nlog(\"two\");\n", &[]);
    assert_eq!((ran.code, said(&ran)), (0, vec!["one"]), "{}", ran.stderr);
    let (_place, ran) = run("task(\"t\", || exit());\nlog(\"two\");\n", &[]);
    assert_eq!((ran.code, said(&ran).len()), (0, 0), "{}{}", ran.stdout, ran.stderr);
    let (_place, ran) = run("exit(5);\n", &[]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("exit: a script does not choose mk's status, and here it is `5`"), "{}", ran.stderr);
    let (_place, ran) = run("on(\"all\", |host| exit());\n", &[]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("exit: one host cannot end the playbook for all of them"), "{}", ran.stderr);
    assert!(ran.stderr.contains("`return` ends its part"), "{}", ran.stderr);
}

/// Steps in tasks and outside of them, and the files that they make.
const TASKS: &str = r#"
    fn touch(host, name) { host.copy(`DIR/made/${name}`, #{ content: "x\n" }) }
    fn inside(host) { task("inner", || touch(host, "inner")); }
    let here = local();
    here.dir("DIR/made");
    let word = here.run(["echo", "read"], #{ reads: true }).stdout;
    touch(here, "outside");
    task("outer", || {
        touch(here, "outer");
        inside(here);
        task(word.lines()[0] + " one", || touch(here, "computed"));
    });
    task("other", || {
        let r = here.run(["echo", "x"]);
        assert(r.stdout == "x", "not run");
        touch(here, "other");
    });
    task("who has left, who is ready", || touch(here, "commas"));
    if here.name == "nobody" { task("never", || touch(here, "never")); }
"#;

fn made(tags: &[&str]) -> (Ran, Vec<String>) {
    let place = Place::new();
    let dir = place.path().display().to_string();
    std::fs::create_dir(place.path().join("made")).unwrap();
    place.file("p.rhai", &TASKS.replace("DIR", &dir));
    let tags = tags.iter().flat_map(|tag| ["-t", tag]);
    let ran = place.mk(&["run", "p.rhai"].into_iter().chain(tags).collect::<Vec<_>>());
    let mut made: Vec<String> = std::fs::read_dir(place.path().join("made"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    made.sort();
    (ran, made)
}

#[test]
fn tags_choose_tasks_wherever_they_stand_and_nothing_else() {
    for (tags, wanted) in [
        (&[][..], &["commas", "computed", "inner", "other", "outer", "outside"][..]),
        (&["inner"], &["inner"]),
        (&["outer/inner"], &["inner"]),
        (&["outer"], &["computed", "inner", "outer"]),
        (&["other,inner"], &["inner", "other"]),
        (&["other", "inner"], &["inner", "other"]),
        (&["who has left, who is ready"], &["commas"]),
        (&["read one"], &["computed"]),
        (&["never"], &[]),
    ] {
        let (ran, made) = made(tags);
        assert_eq!(
            (ran.code, made),
            (0, wanted.iter().map(|&name| name.to_owned()).collect()),
            "{tags:?}: {}",
            ran.stderr
        );
        let came_to_none = format!("{}{}", ran.stdout, ran.stderr).contains("came to no task that `--tags` names");
        assert_eq!(came_to_none, tags == ["never"], "{tags:?}: {}", ran.stdout);
    }
}

#[test]
fn a_tag_that_is_no_task_is_an_error_with_the_nearest() {
    for (tag, nearest) in
        [("innre", "inner"), ("outer/innr", "outer/inner"), ("other,computd", "outer"), ("othr", "other")]
    {
        let (ran, _) = made(&[tag]);
        assert_eq!(ran.code, 2, "{tag}: {}{}", ran.stdout, ran.stderr);
        let wrong = tag.rsplit(',').next().unwrap();
        assert!(ran.stderr.contains(&format!("no task is called `{wrong}`")), "{tag}: {}", ran.stderr);
        if !tag.contains("computd") {
            assert!(ran.stderr.contains(&format!("did you mean `{nearest}`?")), "{tag}: {}", ran.stderr);
        }
        assert!(ran.stderr.contains("`who has left, who is ready`"), "{tag}: {}", ran.stderr);
    }
    let (_place, ran) = run("local().run([\"true\"]);\n", &["-t", "x"]);
    assert!(ran.code == 2 && ran.stderr.contains("there are no tasks in what ran"), "{}{}", ran.stdout, ran.stderr);
}

#[test]
fn what_a_skipped_step_would_have_said_is_not_made_up() {
    let script = "let r = local().run([\"echo\", \"x\"]);\nlog(r.changed);\nlog(r.stdout);\ntask(\"t\", || ());\n";
    let (_place, ran) = run(script, &["-t", "t"]);
    assert_eq!((ran.code, said(&ran)), (2, vec!["false"]), "{}{}", ran.stdout, ran.stderr);
    let wanted = "`run` was skipped, so it has no `stdout`: it is in no task that `--tags` names";
    assert!(ran.stderr.contains(wanted), "{}", ran.stderr);
}

#[test]
fn what_other_languages_and_runners_say_is_told_what_it_is_called_here() {
    for (script, hint) in [
        ("on(\"a\", |host| copy(\"/x\", #{ content: \"x\" }));", "an operation is a method of a host: `host.copy(…)`"),
        ("local().copy('/tmp/x', #{ content: \"x\" });", "a text stands in double quotes"),
        ("local().copy(\"/tmp/x\", { content: \"x\" });", "a map begins with `#{`"),
        ("local().copy(\"/tmp/x\", { \"content\": \"x\" });", "a map begins with `#{`"),
        ("if not true { log(1); }", "`!` negates"),
        ("if true and false { log(1); }", "`&&` joins conditions"),
        ("if true or false { log(1); }", "`||` joins conditions"),
        ("let x = null;", "nothing is `()`"),
        ("let x = None;", "nothing is `()`"),
        ("let x = True;", "truth values are `true` and `false`"),
        ("if true { } elif false { }", "it is called `else if`"),
        ("local().copy(\"/tmp/x\", \"content\");", "`host.copy(SUBJECT, #{ … })`"),
        ("local().copy(\"/tmp/x\", \"content\", \"0644\");", "`host.copy(SUBJECT, #{ … })`"),
        ("let url = 1;\nfn f() { log(url); }\nf();", "`const url = …;` and `global::url`"),
        ("local().run([\"true\"], #{ when: true });", "a condition stands around the call"),
        ("local().run([\"true\"], #{ become_user: \"x\" });", "`host.as_user(\"NAME\").OP(…)`"),
        ("local().run([\"true\"], #{ register: \"x\" });", "`let r = host.OP(…);`"),
    ] {
        let (place, ran) = run(script, &[]);
        assert_eq!(ran.code, 2, "{script}: {}", ran.stderr);
        assert!(format!("{}{}", ran.stdout, ran.stderr).contains(hint), "{script}: {}{}", ran.stdout, ran.stderr);
        let linted = place.mk(&["lint", "p.rhai"]);
        assert!(linted.code == 2 && linted.stdout.contains(hint), "{script}: {}{}", linted.stdout, linted.stderr);
    }
}

#[test]
fn what_the_command_line_says_stays_as_it_was_typed() {
    let script = "log(vars(\"version\"));\nlog(type_of(vars(\"mode\")));\nlog(type_of(vars(\"count\")));\n";
    let (_place, ran) = run(script, &["-e", "version=1.10", "-e", "mode=0644", "-e", "count=3"]);
    assert_eq!(said(&ran), ["1.10", "string", "i64"], "{}", ran.stderr);
}

#[test]
fn a_mode_is_taken_in_every_usual_spelling_from_files_and_from_the_command_line() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::new();
    let dir = place.path().display().to_string();
    let mode = || std::fs::metadata(place.path().join("f")).unwrap().permissions().mode() & 0o7777;
    place.file("p.rhai", &format!("local().copy(\"{dir}/f\", #{{ content: \"x\", mode: vars(\"mode\") }});"));
    for spelling in ["0640", "\"0640\"", "'640'", "0o640", "u=rw,g=r,o="] {
        place.file(
            "inventory.yml",
            &format!("vars: {{ mode: {} }}\n", if spelling.contains(',') { "'u=rw,g=r,o='" } else { spelling }),
        );
        let ran = place.mk(&["run", "p.rhai", "-i", "inventory.yml"]);
        assert_eq!((ran.code, mode()), (0, 0o640), "{spelling}: {}", ran.stderr);
        let ran = place.mk(&["run", "p.rhai", "-e", "mode=0600"]);
        assert_eq!((ran.code, mode()), (0, 0o600), "{}", ran.stderr);
        let ran = place.mk(&["do", "local", "copy", &format!("{dir}/f"), "content=x", &format!("mode={spelling}")]);
        assert_eq!((ran.code, mode()), (0, 0o640), "{spelling}: {}", ran.stderr);
        let ran = place.mk(&["run", "p.rhai", "-e", "mode=0600"]);
        assert_eq!((ran.code, mode()), (0, 0o600), "{}", ran.stderr);
    }
    // Without its zero it is a decimal number, and may be anything.
    place.file("inventory.yml", "vars: { mode: 640 }\n");
    let ran = place.mk(&["run", "p.rhai", "-i", "inventory.yml"]);
    assert!(ran.code == 2 && ran.stderr.contains("octal string such as \"0644\""), "{}", ran.stderr);
}

#[test]
fn a_run_begins_only_when_lint_finds_nothing_that_is_wrong_for_certain() {
    let place = Place::new();
    let dir = place.path().display().to_string();
    let made = |name: &str| place.path().join(name).exists();
    let script = format!(
        "local().copy(\"{dir}/one\", #{{ content: \"x\" }});\nlocal().copy(\"{dir}/two\", #{{ contents: \"x\" }});\n"
    );
    place.file("p.rhai", &script);
    let ran = place.mk(&["run", "p.rhai"]);
    assert_eq!((ran.code, made("one")), (2, false), "{}", ran.stderr);
    assert!(ran.stderr.contains("copy: unknown field `contents`"), "{}", ran.stderr);
    assert!(ran.stderr.ends_with("nothing was run; `--no-lint` runs it as far as it goes\n"), "{}", ran.stderr);
    let ran = place.mk(&["run", "p.rhai", "--no-lint"]);
    assert_eq!((ran.code, made("one"), made("two")), (2, true, false), "{}", ran.stderr);
    // What a run brings about itself is no fault, and a warning keeps nobody from running.
    let script = format!(
        "local().copy(\"{dir}/source\", #{{ content: `a\\nb` }});\nlocal().copy(\"{dir}/three\", #{{ src: \"source\" }});\n"
    );
    place.file("p.rhai", &script);
    assert_eq!(place.mk(&["lint", "p.rhai"]).code, 2);
    let ran = place.mk(&["run", "p.rhai"]);
    assert_eq!((ran.code, made("three")), (0, true), "{}", ran.stderr);
}

#[test]
fn what_is_there_and_is_no_file_is_no_playbook() {
    let place = Place::new();
    std::fs::create_dir(place.path().join("folder")).unwrap();
    let ran = place.mk(&["run", "folder"]);
    assert_eq!(ran.code, 2);
    assert!(
        ran.stderr.starts_with("error: `folder` is no file\n") && !ran.stderr.contains("did you mean"),
        "{}",
        ran.stderr
    );
}
