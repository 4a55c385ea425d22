//! Secrets: they get where a playbook names, right, and nowhere else.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use crate::forms::{Forms, Shown, leaks};
use crate::sinks::{WAYS, kept, run};
use crate::support::{Place, Ran};

/// What nothing may show. It has letters that quoting and encoding change.
const CANARY: &str = "canary'9c1e\"in<the>mine";

fn project(script: &str) -> Place {
    let place = Place::new();
    place.file("pw", CANARY);
    script_of(&place, script);
    place
}

fn script_of(place: &Place, script: &str) {
    let script = script.replace("DIR", &place.path().display().to_string());
    place.file(
        "p.rhai",
        &format!(
            r#"
                let s = secret("file:pw");
                let here = local();
                {script}
            "#
        ),
    );
}

/// Everything that a run of mk shows, with each way to show it.
fn everything(place: &Place, more: &[&str]) -> (Vec<i32>, Shown) {
    let (mut codes, mut shown) = (Vec::new(), Shown::new());
    for way in WAYS {
        let (code, one) = run(place, "p.rhai", &[way, more].concat());
        codes.push(code);
        shown.extend(one);
    }
    let ledger = place.mk(&["ledger"]);
    shown.push(("ledger".to_owned(), format!("{}{}", ledger.stdout, ledger.stderr)));
    // What mk and its agent keep for later runs.
    for folder in ["state", "agent"] {
        shown.extend(kept(&place.path().join(folder)));
    }
    (codes, shown)
}

fn quiet(shown: &Shown, about: &str) {
    let leaks = leaks(shown, &Forms::of(&["canary"]).and("9c1e"));
    assert!(leaks.is_empty(), "{about}: {}", leaks.join("\n----\n"));
}

fn read(place: &Place, name: &str) -> String {
    std::fs::read_to_string(place.path().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn failed(ran: &Ran, wanted: &[&str]) {
    assert_ne!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    for word in wanted {
        assert!(ran.stderr.contains(word), "no `{word}`: {}", ran.stderr);
    }
}

#[test]
fn a_secret_is_in_no_sink_but_the_place_that_the_playbook_names() {
    // Each way in, once to succeed and once to fail: by the operation, the playbook, and the codes of an apply.
    let matrix: [(&str, &str, &[i32]); 12] = [
        ("copy", "here.copy(\"DIR/out\", #{ content: `pw=${s}` + \"\\n\", mode: \"0600\" });", &[0]),
        ("template", "here.template(\"DIR/out\", #{ src: \"t.j2\", vars: #{ pw: s }, mode: \"0600\" });", &[0]),
        ("line", "here.line(\"DIR/there\", #{ line: \"pw=\" + s });", &[0]),
        ("block", "here.block(\"DIR/there\", #{ name: \"b\", content: \"pw=\" + s });", &[0]),
        ("stdin", "here.run([\"sh\", \"-c\", \"cat > DIR/out\"], #{ stdin: s });", &[0]),
        (
            "output",
            r#"
                here.run(["cat", "DIR/pw"]);
                log(here.run(["cat", "DIR/pw"], #{ reads: true }).stdout);
            "#,
            &[0],
        ),
        (
            "secret output",
            r#"
                let o = here.shell("cat DIR/other; cat DIR/pw >&2", #{ secret_output: true });
                here.copy("DIR/out", #{ content: o.stdout, mode: "0600" });
                log(o.stdout + o.stderr);
            "#,
            &[0],
        ),
        (
            "failing",
            "here.shell(\"cat DIR/pw; base64 DIR/pw; od -An -tx1 DIR/pw | tr -d ' '; cat DIR/pw >&2; exit 3\");",
            &[1],
        ),
        ("failing copy", "here.copy(\"DIR/no/such/folder/out\", #{ content: s });", &[1]),
        (
            "failing check",
            "here.copy(\"DIR/out2\", #{ content: s, validate: [\"sh\", \"-c\", \"cat %s >&2; false\"] });",
            &[1],
        ),
        (
            "said",
            r#"
                log(s);
                warn(`mind ${s}`);
                print(s);
                debug(s);
                task("t", || here.run(["true"]));
                fail("no " + s);
            "#,
            &[2, 1],
        ),
        ("thrown", "throw \"with \" + s;", &[2, 1]),
    ];
    for (about, script, wanted) in matrix {
        let place = Place::new();
        place.file("pw", CANARY);
        place.file("other", "a canary of another mine");
        place.file("t.j2", "pw={{ pw }}\n{{ pw | b64encode }}\n");
        place.file("there", "first\n");
        script_of(&place, script);
        let (_, checked) = everything(&place, &["--check"]);
        quiet(&checked, &format!("{about}, checked"));
        let (codes, applied) = everything(&place, &[]);
        assert!(codes.iter().all(|code| wanted.contains(code)), "{about}: {codes:?} {applied:?}");
        quiet(&applied, about);
        match about {
            "copy" => assert_eq!(read(&place, "out"), format!("pw={CANARY}\n")),
            "template" => {
                assert!(read(&place, "out").starts_with(&format!("pw={CANARY}\nY2FuYXJ5")), "{}", read(&place, "out"));
            }
            "line" | "block" => {
                assert!(read(&place, "there").contains(&format!("pw={CANARY}\n")), "{}", read(&place, "there"));
            }
            "stdin" => assert_eq!(read(&place, "out"), CANARY),
            "secret output" => assert_eq!(read(&place, "out"), "a canary of another mine"),
            _ => {}
        }
    }
}

#[test]
fn what_is_made_of_a_secret_is_right_on_the_host_and_the_second_run_changes_nothing() {
    let place = project(
        r#"
            here.copy("DIR/b64", #{ content: b64encode("me:" + s) });
            here.copy("DIR/json", #{ content: to_json(#{ pw: s, n: 1 }) });
            here.copy("DIR/yaml", #{ content: to_yaml(#{ pw: s }) });
            here.copy("DIR/sh", #{ content: `PW=${quote(s)}; printf %s "$PW"` });
            here.copy("DIR/hash", #{ content: password_hash(s) + "\n" + s.password_hash(#{ scheme: "yescrypt" }) + "\n" });
            here.copy("DIR/htpasswd", #{ content: htpasswd("me", s) + "\n" });
            here.run(["sh", "DIR/sh"], #{ reads: true, secret_output: true });
        "#,
    );
    let ran = place.mk(&["run", "p.rhai"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let json: serde_json::Value = serde_json::from_str(&read(&place, "json")).unwrap();
    assert_eq!(json, serde_json::json!({ "pw": CANARY, "n": 1 }));
    assert!(read(&place, "yaml").contains("canary'9c1e\\\"in<the>mine"), "{}", read(&place, "yaml"));
    let shell = Command::new("sh").arg(place.path().join("sh")).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&shell.stdout), CANARY);
    let shell = "printf 'me:%s' \"$(cat \"$0/pw\")\" | base64 -w0";
    let encoded = Command::new("sh").args(["-c", shell]).arg(place.path()).output().unwrap();
    assert_eq!(read(&place, "b64"), String::from_utf8_lossy(&encoded.stdout));
    let hashes = read(&place, "hash");
    assert!(hashes.starts_with("$6$") && hashes.contains("\n$y$j9T$"), "{hashes}");
    assert!(read(&place, "htpasswd").starts_with("me:$2y$10$"));
    let again = place.mk(&["run", "p.rhai"]);
    assert!(again.stdout.contains("nothing changed"), "{}", again.stdout);
    assert_eq!(read(&place, "hash"), hashes);
    let checked = place.mk(&["run", "p.rhai", "--check", "--exit-code"]);
    assert_eq!(checked.code, 0, "{}{}", checked.stdout, checked.stderr);
}

#[test]
fn a_changed_secret_is_an_error_and_nothing_is_written() {
    for script in
        ["s.to_upper()", "`x${s}`.to_upper()", "`${s.len()}`", "if s == \"x\" { s } else { \"no\" }", "`a${s}`[1..4]"]
    {
        let place = project(&format!("here.copy(\"DIR/out\", #{{ content: {script} }});"));
        failed(&place.mk(&["run", "p.rhai"]), &["secret", "b64encode"]);
        assert!(!place.path().join("out").exists(), "{script}");
    }
    for template in
        ["{{ pw | upper }}", "{{ pw | length }}", "{{ pw[0:4] }}", "{{ pw ~ 'x' }}", "{% if pw == 'x' %}x{% endif %}"]
    {
        let place = project("here.template(\"DIR/out\", #{ src: \"t.j2\", vars: #{ pw: s } });");
        place.file("t.j2", template);
        failed(&place.mk(&["run", "p.rhai"]), &["secret", "b64encode", "t.j2"]);
        assert!(!place.path().join("out").exists(), "{template}");
    }
}

#[test]
fn arguments_and_environment_take_no_secret_unless_the_step_says_so() {
    for step in [
        "here.run([\"echo\", s])",
        "here.run([\"true\"], #{ env: #{ PW: s } })",
        "here.shell(`echo '${s}'`)",
        "here.run([\"true\"], #{ unless: [\"test\", \"-n\", s] })",
        "here.wait(#{ command: [\"test\", \"-n\", s] })",
    ] {
        let place = project(&format!("{step};"));
        failed(&place.mk(&["run", "p.rhai"]), &["holds a secret", "0600", "secret_argv"]);
    }
    let place = project("here.run([\"sh\", \"-c\", \"printf %s \\\"$0\\\" > DIR/out\", s], #{ secret_argv: true });");
    let ran = place.mk(&["run", "p.rhai"]);
    assert_eq!((ran.code, read(&place, "out").as_str()), (0, CANARY), "{}", ran.stderr);
    let lint = place.mk(&["lint", "p.rhai"]);
    assert!(
        format!("{}{}", lint.stdout, lint.stderr).contains("every user of the host can read"),
        "{}{}",
        lint.stdout,
        lint.stderr
    );
}

#[test]
fn what_a_program_prints_in_secret_is_shown_nowhere_even_when_it_fails_or_takes_too_long() {
    let steps = [
        ("prints", "here.shell(\"cat DIR/other; cat DIR/other >&2\", #{ secret_output: true });", 0),
        ("fails", "here.shell(\"cat DIR/other; cat DIR/other >&2; exit 3\", #{ secret_output: true });", 1),
        (
            "is too slow",
            "here.shell(\"cat DIR/other; cat DIR/other >&2; sleep 20\", #{ secret_output: true, timeout: \"300ms\" });",
            1,
        ),
        ("judged", "here.shell(\"cat DIR/other >&2\", #{ secret_output: true, failed: |o| o.code == 0 });", 1),
        (
            "is short",
            r#"
                let o = here.run(["printf", "no"], #{ secret_output: true });
                here.copy("DIR/out", #{ content: o.stdout });
            "#,
            0,
        ),
        (
            "is retried",
            "here.shell(\"cat DIR/other; exit 3\", #{ secret_output: true, retry: #{ attempts: 2, delay: \"10ms\" } });",
            1,
        ),
    ];
    for (about, step, code) in steps {
        let place = Place::new();
        place.file("other", "canary 9c1e");
        let step = step.replace("DIR", &place.path().display().to_string());
        place.file("p.rhai", &format!("let here = local();\n{step}"));
        let (codes, shown) = everything(&place, &[]);
        assert_eq!(codes, [code; 3], "{about}: {shown:?}");
        quiet(&shown, about);
        for (sink, text) in &shown {
            let digest = "9390298f3fb0c5b160498935d79cb139aef28e1c47358b4bbba61862b9c26e59";
            assert!(!text.contains(digest), "{about}: the digest of `no` in {sink}");
        }
        if about == "is short" {
            assert_eq!(read(&place, "out"), "no");
        }
    }
}

#[test]
fn a_digest_by_which_a_secret_could_be_guessed_is_one_itself() {
    let place = project(
        "let r = here.copy(\"DIR/out\", #{ content: s }); here.copy(\"DIR/kept\", #{ content: r.digest }); log(r.digest);",
    );
    let ran = place.mk(&["run", "--json", "p.rhai"]);
    let digest = read(&place, "kept");
    assert!(ran.code == 0 && digest.len() == 64 && !ran.stdout.contains(&digest), "{digest}: {}", ran.stdout);
}

#[test]
fn what_a_host_says_is_never_filled_in_and_a_secret_in_it_is_not_learned() {
    let place = project(
        r#"
            let said = here.run(["cat", "DIR/pw"], #{ reads: true }).stdout;
            let refused = false;
            try {
                here.learn("x", said);
            } catch (e) {
                refused = e.message.contains("secret");
            }
            assert(refused, "it was learned");
        "#,
    );
    let ran = place.mk(&["run", "p.rhai"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
}

#[test]
fn a_secret_of_the_environment_is_not_in_that_of_local_programs() {
    let place = Place::new();
    let folder = place.path().display();
    place.file(
        "p.rhai",
        &format!(
            r#"
                let here = local();
                here.shell("env > {folder}/before");
                let s = secret("env:MK_TEST_PW");
                here.shell("env > {folder}/after");
                here.copy("{folder}/out", #{{ content: s }});
            "#
        ),
    );
    let output =
        place.command(&["run", "p.rhai"]).env("MK_TEST_PW", CANARY).env("MK_TEST_OTHER", "x").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(read(&place, "out"), CANARY);
    for name in ["before", "after"] {
        let environment = read(&place, name);
        assert!(
            !environment.contains("MK_TEST_PW") && environment.contains("MK_TEST_OTHER=x"),
            "{name}: {environment}"
        );
    }
}

#[test]
fn the_password_of_an_address_is_shown_nowhere() {
    let place = Place::new();
    place.file(
        "p.rhai",
        r#"
            let here = local();
            try {
                here.wait(#{ http: "http://me:canary-9c1e@127.0.0.1:9/x", timeout: "200ms" });
            } catch (e) {
                log(e.message);
            }
            here.download("/no/such", #{ url: "https://me:canary-9c1e@127.0.0.1:9/x", insecure: true });
        "#,
    );
    let (codes, shown) = everything(&place, &[]);
    assert!(codes.iter().all(|code| *code != 0), "{codes:?}");
    quiet(&shown, "an address");
}

#[test]
fn a_secret_on_standard_input_is_in_no_argument_and_no_environment_of_either_side() {
    // Its own text: what other tests start meanwhile has theirs in its environment.
    let canary = format!("only-here-{}", std::process::id());
    let place = Place::new();
    place.file("word", &canary);
    script_of(
        &place,
        "let word = secret(\"file:word\");\n\
         here.shell(\"cat > DIR/out; cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\\\0' '\\\\n' > DIR/seen; true\", #{ stdin: word });\n",
    );
    place.file("pw", CANARY);
    let ran = place.mk(&["run", "p.rhai"]);
    assert_eq!((ran.code, read(&place, "out")), (0, canary.clone()), "{}", ran.stderr);
    let seen = String::from_utf8_lossy(&std::fs::read(place.path().join("seen")).unwrap()).into_owned();
    assert!(seen.contains("p.rhai") && !seen.contains(&canary), "{seen}");
}

#[test]
fn a_password_that_was_asked_for_is_masked() {
    let place = Place::new();
    place.file(
        "p.rhai",
        r#"
            log("it is typed-canary-9c1e");
            local().run(["echo", "typed-canary-9c1e"]);
        "#,
    );
    let mut script = place.command(&[]);
    let mk = script.get_program().to_string_lossy().into_owned();
    let mut command = Command::new("script");
    command.args(["-qec", &format!("{mk} run p.rhai -vv -K"), "/dev/null"]).current_dir(place.path()).env_clear();
    for (name, value) in script.env("TERM", "dumb").get_envs() {
        command.env(name, value.unwrap());
    }
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = child.unwrap_or_else(|e| panic!("`script` of util-linux is needed: {e}"));
    let (mut keyboard, mut screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let (mut shown, mut typed, mut piece) = (String::new(), false, [0; 4096]);
    while let Ok(count @ 1..) = screen.read(&mut piece) {
        shown += &String::from_utf8_lossy(&piece[..count]);
        if !typed && shown.contains("password for sudo: ") {
            keyboard.write_all(b"typed-canary-9c1e\n").unwrap();
            typed = true;
        }
    }
    child.wait().unwrap();
    // The terminal may show what is typed when it is not yet told to leave that.
    let (_, after) = shown.split_once("password for sudo: ").and_then(|(_, rest)| rest.split_once('\n')).unwrap();
    assert!(after.contains("it is [secret]") && !after.contains("typed-canary"), "{shown}");
}

#[test]
fn a_list_that_is_written_out_holds_the_secret_and_not_what_stands_for_it() {
    let place = project(
        r#"
            here.copy("DIR/out", #{ content: `${[s]} ${#{ a: `x${s}` }} ${s.to_debug()}`, mode: "0600" });
            log([s, `x${s}`]);
            log(`${[s]}`);
        "#,
    );
    let ran = place.mk(&["run", "p.rhai"]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert_eq!(read(&place, "out"), format!("[\"{CANARY}\"] #{{\"a\": \"x{CANARY}\"}} \"{CANARY}\""));
    assert!(!format!("{}{}", ran.stdout, ran.stderr).contains("10f1"), "{}", ran.stdout);
}

#[test]
fn no_digest_of_a_secret_is_told() {
    let place = project("here.copy(\"DIR/out\", #{ content: s, mode: \"0600\" });\n");
    let (_, shown) = everything(&place, &[]);
    for (place, text) in shown.iter().filter(|(place, _)| place.starts_with("stdout")) {
        assert!(!text.contains("\"digest\""), "{place}: {text}");
    }
}

#[test]
fn what_would_tell_something_of_a_token_in_a_list_or_in_bytes_is_an_error() {
    for script in [
        "[`a${s}`, `b${s}`].sort();",
        r#"
            let b = blob();
            b += `${s}`;
            log(b.len());
        "#,
    ] {
        let place = project(script);
        failed(&place.mk(&["run", "p.rhai"]), &["cannot be told of a secret"]);
    }
}
