//! A host whose agent lies in every field: it gets nothing that the script did not name, and fails alone.
//!
//! The liar is `hostile.py`, which speaks the frames. A minute of random lies is part of the suite;
//! `MK_HOSTILE_SECONDS=3600 cargo test --test suite random_lies` is an hour of them.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::sshd::{Sshd, hosts};
use crate::support::{Place, Ran};

/// Every operation that has a half on the control side, and some that have none. Only `b` is given the content.
const SCRIPT: &str = r#"ca("demo", #{ cn: "demo-ca" });
fn step(host, number) {
    switch number {
        0 => host.run(["echo", `only-${host.name}`]),
        1 => host.fetch("/etc/hostname", #{ dest: "fetched/{name}" }),
        2 => host.cert("DIR/x", #{ ca: "demo", cn: "asked-for" }),
        3 => host.copy("DIR/x", #{ content: "x" }),
        4 => if host.name == "b" { host.copy("DIR/big", #{ src: "big" }) } else { host.copy("DIR/own", #{ src: "own" }) },
        5 => host.template("DIR/x", #{ src: "t.j2" }),
        6 => host.tree("DIR/x", #{ src: "folder" }),
        7 => host.file("DIR/x"),
        8 => host.facts,
        9 => host.service("x", #{ state: "restarted" }),
        10 => host.copy("DIR/n", #{ content: "x", notify: later("shell", "touch DIR/notified") }),
    }
}
let results = on("all", #{ keep_going: true }, |host| {
    for number in 0..11 {
        try { step(host, number); } catch (e) { log(`${host.name}: ${e}`); }
    }
    "went on"
});
log(results.values);
"#;

struct Lab {
    place: Place,
    _hosts: Vec<Sshd>,
    agent: String,
}

impl Lab {
    fn new() -> Self {
        let place = Place::new();
        let hosts = hosts(&place, &["a", "b"]);
        let dir = place.path().display().to_string();
        let text = include_str!("hostile.py").replace("@STATE@", &dir);
        let agent = mk::change::digest(text.as_bytes());
        let file = place.file(&format!("agents/mk-agent-{}", std::env::consts::ARCH), &text);
        crate::sshd::tool("chmod", &["+x", &file.display().to_string()]);
        place.file("p.rhai", &SCRIPT.replace("DIR", &dir));
        place.file("big", &"canary-of-b ".repeat(10_000));
        place.file("own", &"content of a ".repeat(10_000));
        place.file("t.j2", "x\n");
        place.file("folder/f", "x\n");
        Self { place, _hosts: hosts, agent }
    }

    /// Runs the playbook against agents that lie so. It must end, in whatever way, and not by a panic.
    fn run(&self, scenario: &Value) -> Ran {
        self.command(scenario, &["run", "--no-lint", "p.rhai", "-i", "inventory.yml"])
    }

    fn command(&self, scenario: &Value, args: &[&str]) -> Ran {
        self.say(scenario);
        let mut command = self.place.command(args);
        command.env("MK_AGENT_DIR", self.place.path().join("agents"));
        let ran = self.place.shown(&command.output().unwrap());
        assert!((0..=4).contains(&ran.code), "{scenario}: exit code {}\n{}{}", ran.code, ran.stdout, ran.stderr);
        assert!(!ran.stderr.contains("panicked"), "{scenario}\n{}", ran.stderr);
        self.nothing_was_taken(scenario);
        ran
    }

    /// Tells the agents how to lie from now on.
    fn say(&self, scenario: &Value) {
        for heard in self.heard_files() {
            std::fs::remove_file(heard).unwrap();
        }
        let mut all = json!({ "protocol": mk::wire::PROTOCOL, "build": mk::wire::BUILD });
        all.as_object_mut().unwrap().extend(scenario.as_object().unwrap().clone());
        self.place.file("scenario.json", &all.to_string());
    }

    fn heard_files(&self) -> Vec<PathBuf> {
        let files = std::fs::read_dir(self.place.path()).unwrap().flatten().map(|entry| entry.path());
        files.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("heard-")).collect()
    }

    /// All that an agent was told, by host.
    fn heard(&self, host: &str) -> String {
        let texts = self
            .heard_files()
            .into_iter()
            .map(|file| String::from_utf8_lossy(&std::fs::read(file).unwrap()).into_owned());
        texts.filter(|text| text.contains(&format!("only-{host}"))).collect()
    }

    fn nothing_was_taken(&self, scenario: &Value) {
        for name in ["stolen", "notified"] {
            assert!(!self.place.path().join(name).exists(), "{scenario}: `{name}` was made on the control side");
        }
        let fetched = walkdir::WalkDir::new(self.place.path().join("fetched")).min_depth(1).into_iter().flatten();
        for entry in fetched {
            let name = entry.file_name().to_str().unwrap().to_owned();
            assert!(["a", "b"].contains(&name.as_str()), "{scenario}: {name}");
        }
        let of_a = self.heard("a");
        assert!(!of_a.contains("canary-of-b"), "{scenario}: `a` was given what is for `b`");
        for line in of_a.lines().filter(|line| line.contains("BEGIN CERTIFICATE")) {
            assert!(line.contains(r#""to":"answer""#), "{scenario}");
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for folder in ["/var/lib/mk/bin", "/run/mk/bin", "/root/.cache/mk"] {
            let _ = std::fs::remove_file(format!("{folder}/agent-{}", self.agent));
        }
    }
}

fn ask(ask: Value) -> Value {
    json!({ "lies": [["ask", ask]] })
}

fn sha(text: &str) -> String {
    mk::change::digest(text.as_bytes())
}

#[test]
fn a_host_that_lies_gets_nothing_that_the_script_did_not_name() {
    let lab = Lab::new();
    let stolen = lab.place.path().join("stolen").display().to_string();
    let content = sha(&"canary-of-b ".repeat(10_000));
    // A key of its own, for a certificate that nobody asked for.
    let key = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEuLlVgqG2XbY2mTMYx2Yxv8xJXn6iXr7wq4uXvJXlQG0mFjT7\
               yQy2w1n3p4xw3q0n8k0v3g2y2m0c2uQ1Jb9m3g==";
    let fetch =
        json!({ "op": "fetch", "subject": "/x", "args": { "src": "/etc/hostname", "@path": stolen }, "user": null });
    let made = json!({ "made": { "op": "fetch", "subject": "x", "args": { "src": "/x", "@path": stolen } } });
    let lies = [
        ask(json!({ "ask": "blob", "sha256": content })),
        ask(json!({ "ask": "blobs", "sha256": [content, content] })),
        ask(json!({ "ask": "blob", "sha256": "../../../etc/passwd" })),
        ask(json!({ "ask": "other", "question": { "sign": key, "cn": "admin", "o": "system:masters" } })),
        ask(json!({ "ask": "other", "question": { "inspect": "x".repeat(100_000), "@path": stolen } })),
        json!({ "lies": [["give", sha("x"), "x"]] }),
        json!({ "lies": [["give", sha("x"), "another"]] }),
        json!({ "locked": { "pending": [fetch, { "id": "a", "name": "shell x", "op": "fetch" }] } }),
        json!({ "locked": { "records": [{ "run": "x", "list": 1, "id": 1, "result": { "Ok": { "status": "ok" } } }] } }),
        json!({ "locked": { "left": [{ "trace": made, "maker": {} }] } }),
        json!({ "done": { "made": [made] } }),
        json!({ "done": { "due": ["aaaaaaaa", "../../x"] } }),
        json!({ "done": { "id": 99 } }),
        json!({ "done": { "result": { "Ok": { "status": "would_change" } } } }),
        json!({ "lies": [["output", 1, "flood", 100_000]] }),
        json!({ "lies": [["raw", 3, "x", 9]] }),
        json!({ "lies": [["raw", 1, "{", 1000]] }),
        json!({ "hello": { "arch": "../../x", "boot": "x".repeat(100_000), "machine": "\u{1b}[2J" } }),
    ];
    for lie in lies {
        let ran = lab.run(&lie);
        let ledger = lab.place.mk(&["ledger", "-i", "inventory.yml"]);
        assert!(!ledger.stdout.contains("fetch"), "{lie}: {}", ledger.stdout);
        drop(ran);
    }
}

#[test]
fn what_a_host_cannot_have_made_is_not_in_the_ledger_and_that_is_said() {
    let lab = Lab::new();
    for made in [
        json!({ "op": "shell", "subject": "x", "args": { "script": "id" } }),
        json!({ "op": "user", "subject": "root", "args": { "name": "root", "state": "absent" } }),
        json!({ "op": "file", "subject": "/etc/passwd", "args": { "path": "/etc/passwd", "state": "absent" } }),
    ] {
        let ran = lab.run(&json!({ "done": { "made": [{ "made": made }] } }));
        assert!(ran.stdout.contains("which no such step can have made"), "{made}: {}{}", ran.stdout, ran.stderr);
        assert_eq!(lab.place.mk(&["ledger", "-i", "inventory.yml"]).stdout, "");
    }
}

#[test]
fn a_host_cannot_end_the_run_for_the_others_nor_point_into_files_of_this_side() {
    let lab = Lab::new();
    lab.place.file(
        "p.rhai",
        r#"
            on("a", |host| {
                host.run(["true"]);
            });
            log("the others go on");
            on("b", |host| 1);
            on("a", |host| 1);
        "#,
    );
    lab.place.file("private", "the canary\n");
    let place = json!({ "file": lab.place.path().join("private"), "line": 1, "column": 1 });
    for kind in ["playbook", "usage", "inventory", "interrupted", "host_key", "auth", "locked", "unknown"] {
        let error = json!({ "kind": kind, "message": "m", "place": place, "host": "b" });
        let scenario = json!({ "done": { "result": { "Err": error } } });
        let ran = lab.command(&scenario, &["run", "--no-lint", "p.rhai", "-i", "inventory.yml"]);
        assert_eq!(ran.code, 1, "{kind}: {}{}", ran.stdout, ran.stderr);
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert!(!said.contains("the canary") && said.contains("p.rhai:2"), "{kind}: {said}");
    }
}

#[test]
fn a_host_that_does_not_forget_what_is_due_ends_the_run_for_itself_alone() {
    let lab = Lab::new();
    lab.place.file(
        "p.rhai",
        r#"
            on("all", |host| {
                if host.name == "a" {
                    host.run(["true"], #{ changed: |outcome| false, notify: later("shell", "true") });
                }
            });
            log("the others go on");
        "#,
    );
    for kind in ["playbook", "interrupted", "unknown"] {
        let refused = json!({ "Err": { "kind": kind, "message": "m" } });
        let scenario = json!({ "done": { "due": ["DUE"] }, "forgotten": refused });
        let ran = lab.command(&scenario, &["run", "--no-lint", "p.rhai", "-i", "inventory.yml"]);
        assert!(ran.code == 1 && ran.stdout.contains("the others go on"), "{kind}: {}{}", ran.stdout, ran.stderr);
    }
}

#[test]
fn a_host_does_not_fill_the_screen_with_what_it_says_is_due_or_made() {
    let lab = Lab::new();
    lab.place.file("p.rhai", "on(\"all\", |host| { host.run([\"true\"]); });\n");
    let due: Vec<Value> = (0..5000).map(|n| json!({ "id": format!("a{n}"), "name": "x" })).collect();
    let made = json!({ "made": { "op": "shell", "subject": "x", "args": { "script": "id" } } });
    for scenario in [json!({ "locked": { "pending": due } }), json!({ "done": { "made": vec![made; 5000] } })] {
        let ran = lab.command(&scenario, &["run", "--no-lint", "p.rhai", "-i", "inventory.yml"]);
        let lines = format!("{}{}", ran.stdout, ran.stderr).lines().count();
        assert!(lines < 100, "{lines} lines: {}", &ran.stdout[..2000]);
    }
}

#[test]
fn what_a_host_leaves_out_is_its_own_fault_and_not_the_playbooks() {
    let lab = Lab::new();
    lab.place.file(
        "p.rhai",
        r#"
            on("all", |host| {
                if host.name == "a" {
                    log(host.run(["x"]).stdout);
                }
            });
            log("the others go on");
        "#,
    );
    let ran = lab.command(&json!({}), &["run", "--no-lint", "p.rhai", "-i", "inventory.yml"]);
    assert!(ran.stdout.contains("the others go on"), "{}{}", ran.stdout, ran.stderr);
    assert_eq!(ran.code, 2, "{}{}", ran.stdout, ran.stderr);
}

#[test]
fn a_message_of_very_many_values_costs_little() {
    let lab = Lab::new();
    let out = costs_little(&lab, &json!({ "lies": [["raw", 1, "[],", 5_000_000]] }));
    assert!(out.contains("values, over the limit of"), "{out}");
}

#[test]
fn a_secret_of_very_many_lines_costs_little() {
    let lab = Lab::new();
    lab.place.file("p.rhai", "on(\"all\", |host| { host.run([\"x\"], #{ secret_output: true }); });\n");
    let lines = |count: u32| {
        (0..count).fold(String::new(), |mut text, n| {
            let _ = writeln!(text, "line {n:08} of a secret");
            text
        })
    };
    for (count, wanted) in [(20_000, "\"run_done\""), (300_000, "over the limit of")] {
        let result = json!({ "Ok": { "status": "changed", "values": { "stdout": lines(count) }, "micros": 1 } });
        let out = costs_little(&lab, &json!({ "done": { "result": result } }));
        assert!(out.contains(wanted), "{out}");
    }
}

/// Runs the playbook against agents that lie so, and gives what it told.
fn costs_little(lab: &Lab, scenario: &Value) -> String {
    lab.say(scenario);
    let (begun, mut most) = (Instant::now(), 0);
    let mut command = lab.place.command(&["run", "--no-lint", "p.rhai", "-i", "inventory.yml", "--json"]);
    command.env("MK_AGENT_DIR", lab.place.path().join("agents"));
    let file = std::fs::File::create(lab.place.path().join("out")).unwrap();
    let mut mk = command.stdout(file).spawn().unwrap();
    while mk.try_wait().unwrap().is_none() {
        most = most.max(peak(mk.id()));
        std::thread::sleep(Duration::from_millis(20));
    }
    // Two hosts, each with its frame of 15 MB. It took 1.8 GB before.
    assert!(most < 400 * 1024 && begun.elapsed() < Duration::from_secs(60), "{most} KiB, {:?}", begun.elapsed());
    std::fs::read_to_string(lab.place.path().join("out")).unwrap()
}

/// The most memory that a process has had, in KiB; 0 when it is over.
fn peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[test]
fn random_lies_come_to_nothing() {
    let lab = Lab::new();
    let seconds = std::env::var("MK_HOSTILE_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(20);
    let until = Instant::now() + Duration::from_secs(seconds);
    let first = another_seed();
    for seed in first.. {
        let count = seed % 6 + 1;
        lab.run(&json!({ "seed": seed, "lies": [["random", count]] }));
        if Instant::now() > until {
            println!("{} seeds from {first}", seed - first + 1);
            return;
        }
    }
}

/// Another beginning in each run; a failure names its scenario, and with it the seed.
fn another_seed() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() % 1_000_000 * 1000
}
