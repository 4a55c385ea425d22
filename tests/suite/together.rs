//! Steps that travel together: nobody can tell but by the clock and the wire.

use std::fmt::Write;

use serde_json::Value;

use crate::sshd::{Sshd, hosts, tool};
use crate::support::Place;

/// A script's text, from a number: every shape that a step can stand in, and faults of every kind between them.
struct Writer {
    seed: u64,
    steps: u64,
    text: String,
}

impl Writer {
    fn pick(&mut self, count: u64) -> u64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) % count
    }

    fn block(&mut self, depth: usize, statements: u64) {
        for _ in 0..=self.pick(statements) {
            self.statement(depth);
        }
    }

    fn inside(&mut self, depth: usize, open: &str, close: &str) {
        let _ = writeln!(self.text, "{open}");
        self.block(depth + 1, 3);
        let _ = writeln!(self.text, "{close}");
    }

    fn statement(&mut self, depth: usize) {
        self.steps += 1;
        let n = self.steps;
        let among = if depth > 3 { 14 } else { 25 };
        let line = match self.pick(among) {
            0 | 1 => format!("host.file(\"DIR/x/f{}\");", n % 4),
            2 | 3 => format!("host.shell(\"echo {n} >> DIR/x/said\");"),
            4 => format!("host.copy(\"DIR/x/c{}\", #{{ content: `{n} ${{host.name}}`, backup: true }});", n % 3),
            5 if self.pick(4) == 0 => format!("host.run([\"test\", \"-e\", \"DIR/x/f{}\"]);", n % 4),
            5 => format!("let v{n} = host.file(\"DIR/x/f{}\"); log(`${{v{n}.changed}}`);", n % 4),
            // The language makes a text of a value whatever comes of looking at it.
            6 if n.is_multiple_of(2) => format!("let v{n} = host.file(\"DIR/x/f{}\"); log(`${{v{n}}}`);", n % 4),
            6 => format!(
                "let v{n} = host.file(\"DIR/x/f{}\"); host.copy(\"DIR/x/c\", #{{ content: \"it \" + v{n} }});",
                n % 4
            ),
            7 => match self.pick(4) {
                2 => format!(
                    "let z{n} = |x| {{ try {{ host.run([\"test\", \"-e\", \"DIR/x/f2\"]); }} catch {{ log(\"none\"); }} x }}; host.run([\"test\", \"-e\", \"DIR/x/f1\"]); let q{n} = [1].map(z{n});"
                ),
                0 => format!("host.raw(\"echo raw {n} >> DIR/x/said\");"),
                1 => "run_once([], |host| host.file(\"DIR/x/nobody\"));".to_owned(),
                _ => format!("log(\"line {n}\");"),
            },
            8 => format!(
                "host.line(\"DIR/x/l\", #{{ line: \"a{n}\", create: true, notify: later(\"shell\", \"echo told {n} >> DIR/x/said\") }});"
            ),
            9 if self.pick(3) == 0 => format!("host.copy(\"DIR/x/c\", #{{ content: host.vars.nothing{n} }});"),
            9 => format!("let w{n} = [1, 2]; host.file(`DIR/x/w${{w{n}[{}]}}`);", self.pick(3)),
            10 => match self.pick(8) {
                0 => format!("throw \"thrown {n}\";"),
                1 => format!("assert(1 + 1 == 3, \"wrong {n}\");"),
                2 => format!("host.file(\"DIR/x/never\", #{{ nonsense: {n} }});"),
                3 => "return 1;".to_owned(),
                _ => format!("host.shell(\"cat DIR/x/f{}\", #{{ reads: true }});", n % 4),
            },
            11 => format!(
                "let u{n} = host.file(\"DIR/x/f{}\"); host.copy(\"DIR/x/c\", #{{ content: seen(u{n}) }});",
                n % 4
            ),
            12 => format!("host.copy(\"DIR/x/c{}\", #{{ content: word({n}) }});", n % 3),
            13 => format!(
                "let y{n} = host.run([\"test\", \"-e\", \"DIR/x/f{}\"]); host.copy(\"DIR/x/c\", #{{ content: seen(y{n}) }});",
                n % 4
            ),
            14 | 15 => {
                return self.inside(
                    depth,
                    "try {",
                    "} catch (e) { log(`caught ${e}`); host.shell(\"echo caught >> DIR/x/said\"); }",
                );
            }
            16 => return self.inside(depth, &format!("for i{n} in 0..2 {{"), "}"),
            17 => return self.inside(depth, &format!("for i{n} in [3, 4] {{ host.file(`DIR/x/i${{i{n}}}`);"), "}"),
            18 => {
                return self.inside(
                    depth,
                    &format!("if host.name == \"{}\" {{", ["a", "b"][usize::try_from(n % 2).unwrap()]),
                    "} else { host.file(\"DIR/x/else\"); }",
                );
            }
            19 => return self.inside(depth, &format!("task(\"t{n}\", || {{"), "});"),
            20 => return self.inside(depth, "attempt(|| {", "});"),
            21 => return self.inside(depth, "always(|| {", "}, || { host.shell(\"echo at last >> DIR/x/said\"); });"),
            22 => return self.inside(depth, "[1, 2].for_each(|| {", "});"),
            _ => {
                ["helper(host);", "careful(host);", "guarded(host);"][usize::try_from(self.pick(3)).unwrap()].to_owned()
            }
        };
        let _ = writeln!(self.text, "{line}");
    }
}

fn script(seed: u64) -> String {
    let mut writer = Writer { seed, steps: 0, text: String::new() };
    writer.pick(2);
    for (open, close) in [
        (
            "fn seen(outcome) { if outcome.changed { \"changed\" } else { \"as it was\" } }\nfn word(n) { if n % 7 == 0 { throw `no word ${n}`; } let word = \"w\" + n; word }\nfn helper(host) {",
            "}",
        ),
        ("fn careful(host) {", "}"),
        ("fn guarded(host) { try {", "} catch { log(\"guarded\"); } }"),
        ("fn attempt(work) { try { work.call(); } catch (e) { log(`failed ${e}`); } }\non(\"all\", |host| {", "});"),
        (
            "on(\"all\", #{ keep_going: true }, |host| { try { careful(host); } catch (e) { log(`not careful: ${e}`); }",
            "});",
        ),
    ] {
        // A function that calls itself would not end.
        let depth = if open.ends_with("(host) {") || open.contains("guarded") { 4 } else { 0 };
        let _ = writeln!(writer.text, "{open}");
        writer.block(depth, 6);
        let _ = writeln!(writer.text, "{close}");
    }
    writer.text
}

/// What a run told and what it left, in a form that is the same however the steps travelled.
fn came(place: &Place, script: &str, how: &[&str]) -> (Vec<Value>, i32, String) {
    let dir = place.path().display().to_string();
    let folder = place.path().join("x");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir(&folder).unwrap();
    place.file("p.rhai", &script.replace("DIR", &dir));
    let output = place.command(&[&["run", "p.rhai", "-i", "inventory.yml", "--json"], how].concat()).output().unwrap();
    // The language gives closures other names in every process.
    let closures = regex_lite::Regex::new(r"anon\$[0-9a-f]+").unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let text = closures.replace_all(&text, "closure");
    let events = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["event"].take());
    let mut events: Vec<Value> = events.filter(|event| event.get("connected").is_none()).collect();
    // A step that was never begun, because one before it failed, has its number all the same.
    let mut numbers = Vec::new();
    for event in &mut events {
        timeless(event);
        numbered(event, &mut numbers);
    }
    // In how many pieces a program's output comes is up to the machine.
    events.dedup_by(|next, last| {
        let (Some(next), Some(last)) = (next.get("output"), last.get_mut("output")) else { return false };
        let same = next["id"] == last["id"] && next["stderr"] == last["stderr"];
        if same {
            let text = format!("{}{}", last["text"].as_str().unwrap(), next["text"].as_str().unwrap());
            last["text"] = text.into();
        }
        same
    });
    let left = "cd \"$1\" && find . -type f | sort | xargs -r grep -H '' | sed -E 's/\\.[0-9]{8}[^:]*~/~/'";
    let left = tool("sh", &["-c", left, "sh", &folder.display().to_string()]);
    (events, output.status.code().unwrap(), left)
}

/// Takes out what depends on the clock.
fn timeless(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for name in ["took", "micros", "ms", "backup"] {
                fields.remove(name);
            }
            fields.values_mut().for_each(timeless);
        }
        Value::Array(items) => items.iter_mut().for_each(timeless),
        _ => {}
    }
}

/// Counts the steps through in the order in which they are begun.
fn numbered(value: &mut Value, numbers: &mut Vec<u64>) {
    let Value::Object(fields) = value else { return };
    if let Some(id) = fields.get("id").and_then(Value::as_u64) {
        let known = numbers.iter().position(|number| *number == id).unwrap_or_else(|| {
            numbers.push(id);
            numbers.len() - 1
        });
        fields.insert("id".to_owned(), known.into());
    }
    fields.values_mut().for_each(|value| numbered(value, numbers));
}

fn same(place: &Place, script: &str) {
    let (together, alone) = (came(place, script, &[]), came(place, script, &["--one-by-one"]));
    for (index, (one, other)) in together.0.iter().zip(&alone.0).enumerate() {
        assert_eq!(one, other, "event {index} of\n{script}");
    }
    assert_eq!((together.0.len(), together.1, together.2), (alone.0.len(), alone.1, alone.2), "{script}");
}

fn place() -> (Place, Vec<Sshd>) {
    let place = Place::new();
    let hosts = hosts(&place, &["a"]);
    (place, hosts)
}

#[test]
fn no_script_can_tell_whether_its_steps_travelled_together() {
    let (place, _hosts) = place();
    // More of them: `MK_SCRIPTS=1000 cargo test --test suite no_script_can_tell`.
    let count = std::env::var("MK_SCRIPTS").map_or(25, |count| count.parse().unwrap());
    for seed in 0..count {
        same(&place, &script(seed));
    }
}

#[test]
fn a_check_foretells_the_same_however_the_steps_travel() {
    let (place, _hosts) = place();
    for seed in 100..106 {
        let script = script(seed);
        let alone = came(&place, &script, &["--check", "--one-by-one"]);
        assert_eq!(came(&place, &script, &["--check"]), alone, "{script}");
    }
}

/// How many frames a run sent.
fn frames(place: &Place, script: &str) -> usize {
    place.file("p.rhai", &script.replace("DIR", &place.path().display().to_string()));
    let mut command = place.command(&["run", "p.rhai", "-i", "inventory.yml", "--log", "log"]);
    let output = command.env("MK_LOG", "mk::wire=trace").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    std::fs::read_to_string(place.path().join("log")).unwrap().matches("frame sent").count()
}

#[test]
fn thirty_steps_that_nobody_looks_at_are_one_frame() {
    let (place, _hosts) = place();
    let on = |body: &str| {
        frames(
            &place,
            &format!(
                r#"
                    fn name(n) {{
                        if n > 4 {{ return "a"; }}
                        `n${{n}}`
                    }}
                    fn each(host, n) {{
                        host.file(`DIR/${{n}}`);
                        host.file("DIR/x");
                    }}
                    on("all", |host| {{
                        host.file("DIR/x");
                        {body}
                    }});
                "#
            ),
        )
    };
    // The lock, the steps, and the goodbye.
    assert_eq!(on("for n in 0..30 { host.file(`DIR/${n}`); }"), 3);
    assert_eq!(on(&"host.file(\"DIR/x\");\n".repeat(30)), 3);
    assert_eq!(on("for n in 0..30 { if n % 2 == 0 { host.file(\"DIR/a\"); } else { host.file(\"DIR/b\"); } }"), 3);
    assert_eq!(on("task(\"a\", || { host.file(\"DIR/a\"); host.file(\"DIR/b\"); });"), 4);
    // What is looked at is waited for; so is what a function ends with.
    assert_eq!(on("for n in 0..30 { if host.file(\"DIR/a\").changed { log(\"x\"); } }"), 3 + 30);
    assert_eq!(on("for n in 0..30 { each(host, n); }"), 3 + 30);
    // What is kept to be compared later is not looked at yet, and what parameters are made of does nothing else.
    let pure = "for n in 0..30 { let was = host.file(\"DIR/x\"); host.copy(\"DIR/c\", #{ content: name(3) }); }";
    assert_eq!(on(pure), 3);
}

#[test]
fn what_waits_goes_before_a_task() {
    let (place, _hosts) = place();
    let script = r#"
        on("all", |host| {
            host.shell("exit 3");
            task("other", || ());
            log("after");
        });
    "#;
    let (events, code, _) = came(&place, script, &[]);
    let said = events.iter().any(|event| event["said"]["text"] == "after");
    assert!(code == 1 && !said, "{events:#?}");
}

#[test]
fn steps_that_carry_much_do_not_travel_in_one_frame() {
    let (place, _hosts) = place();
    place.file("much", &"a secret of half a megabyte\n".repeat(20_000));
    let script = r#"
        let much = secret("file:much");
        on("all", |host| {
            for n in 0..40 {
                host.copy(`DIR/x/${n}`, #{ content: much, mode: "0600" });
            }
        });
    "#;
    let (events, code, left) = came(&place, script, &[]);
    assert_eq!(code, 0, "{events:#?}");
    assert_eq!(left.lines().count(), 40 * 20_000);
}

#[test]
fn a_connection_lost_in_the_middle_of_many_steps_loses_none_and_repeats_none() {
    let (place, hosts) = place();
    let dir = place.path().display().to_string();
    let mut steps = String::new();
    for n in 0..20 {
        let _ = writeln!(steps, "    host.shell(\"echo {n} >> {dir}/said; sleep 0.1\");");
    }
    place.file("p.rhai", &format!("on(\"all\", |host| {{\n{steps}}});\n"));
    let mk = place.command(&["run", "p.rhai", "-i", "inventory.yml"]).spawn().unwrap();
    let said = || std::fs::read_to_string(place.path().join("said")).unwrap_or_default();
    while said().lines().count() < 5 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    hosts[0].signal_sessions("-KILL");
    let output = mk.wait_with_output().unwrap();
    let lines: Vec<usize> = said().lines().map(|line| line.parse().unwrap()).collect();
    // The step in whose middle it was may have been stopped; then the run says so and nothing follows.
    let whole = output.status.success();
    assert_eq!(lines, (0..lines.len()).collect::<Vec<_>>());
    assert!(if whole { lines.len() == 20 } else { lines.len() < 8 }, "{} steps of 20", lines.len());
}
