//! The canary matrix: each parameter of each operation that can hold a secret, with one in it; run so that the step
//! changes something, changes nothing and fails, and checked before and after; and no trace of it in anything that is
//! shown or kept, nor in what other users of either machine can see.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use mk::ops::{OPS, parameters};
use serde_json::Value;

use crate::canary_rows::{Host, ROWS, Row};
use crate::forms::{Forms, Shown, leaks};
use crate::sinks::{WAYS, kept, run};
use crate::sshd::{Sshd, inventory, keys, tool};
use crate::support::Place;

/// The operations without a parameter that can hold a secret, and why.
const NONE: [(&str, &str); 14] = [
    ("cert", "this side issues it, from what the playbook says of it"),
    ("download", "this side fetches it"),
    ("facts", "there is nothing to say but which"),
    ("fetch", "this side makes the file"),
    ("group", "its parameters become arguments of programs"),
    ("hostname", "everybody on the host sees it"),
    ("kernel_module", "its parameters become arguments of programs"),
    ("mount", "its parameters become arguments of programs"),
    ("pkg", "its parameters become arguments of programs"),
    ("reboot", "its commands are arguments"),
    ("service", "its parameters become arguments of programs"),
    ("systemd", "what it is given is kept on the host, where everybody may read it"),
    ("tree", "this side reads the folder"),
    ("unpack", "this side reads the archive"),
];

/// What each operation needs to be given, besides the parameter in question.
const LEAST: [(&str, &str); 28] = [
    ("authorized_key", r#"user: "root", key: "ssh-ed25519 AAAA""#),
    ("block", r#"path: "/no/f", name: "b", content: "x""#),
    ("cert", r#"path: "/no/c", ca: "none", cn: "x""#),
    ("copy", r#"dest: "/no/f", content: "x""#),
    ("dir", r#"path: "/no/d""#),
    ("download", r#"dest: "/no/f", url: "http://127.0.0.1:1/x", insecure: true"#),
    ("etc_hosts", r#"name: "e", entries: []"#),
    ("facts", ""),
    ("fetch", r#"src: "/no/f""#),
    ("file", r#"path: "/no/f""#),
    ("group", r#"name: "g""#),
    ("hostname", r#"name: "h""#),
    ("kernel_module", r#"name: "m""#),
    ("line", r#"path: "/no/f", line: "x""#),
    ("mount", r#"path: "/no/d", src: "tmpfs", fstype: "tmpfs""#),
    ("pkg", r#"names: "p""#),
    ("raw", r#"command: "true""#),
    ("reboot", ""),
    ("run", r#"argv: ["true"]"#),
    ("service", r#"unit: "u", action: "start""#),
    ("shell", r#"script: "true""#),
    ("sysctl", r#"name: "net.none", value: 1"#),
    ("systemd", r#"unit: "u", state: "started""#),
    ("template", r#"dest: "/no/f", src: "t.j2""#),
    ("tree", r#"dest: "/no/d", src: "texts""#),
    ("unpack", r#"dest: "/no/d", src: "none.tar""#),
    ("user", r#"name: "u""#),
    ("wait", r#"file: "/no/f", timeout: 0"#),
];

/// What mk's own processes on the host have in their environment: who looks at them and finds this has seen them.
const WITNESS: &str = "MK_TEST_WITNESS=canary-matrix-looked-here";

/// A host that may be changed in any way: this machine, with accounts, settings, devices and a name of its own.
const MACHINE: &str = r#"
mount -t tmpfs mk /run
mkdir -p /run/mk /run/sshd
for name in null zero full random urandom tty; do
    mount --bind "/dev/$name" "HOST/dev/$name"
done
mount --rbind /dev/pts HOST/dev/pts
mount --bind HOST/etc /etc
mount --bind HOST/log /var/log
mount --bind HOST/home /home
mount --rbind HOST/dev /dev
"#;

/// What stands before the program that sets passwords: it looks around, and fails as a bad one would, with what it read.
const CHPASSWD: &str = r#"
IFS= read -r line
sh TOP/dump
case "$line" in mkfails:*) echo "chpasswd: cannot set '$line'" >&2; exit 1 ;; esac
printf '%s\n' "$line" | /usr/sbin/chpasswd "$@"
"#;

/// A place with such a host, `h`, and the rows' secrets.
struct Matrix {
    place: Place,
    top: String,
    port: u16,
    texts: Vec<String>,
    forms: Forms,
    sshd: Sshd,
    /// What its programs say to the system's log.
    log: Arc<Mutex<Shown>>,
}

impl Matrix {
    fn new() -> Self {
        let (place, port) = (Place::new(), answers());
        let folder = place.path().display().to_string();
        let top = format!("{folder}/top");
        for (number, text) in (Host { name: "h", top: &top, port }).texts().iter().enumerate() {
            place.file(&format!("texts/{number:02}"), text);
        }
        let texts = Host { name: "h", top: &top, port }.texts();
        let whole = texts.iter().map(String::as_str).filter(|text| !text.contains("canary"));
        // Each has its number after the word, which nothing else has.
        let numbered: Vec<String> = (0..10).map(|digit| format!("canary{digit}")).collect();
        let pieces: Vec<&str> = whole.chain(numbered.iter().map(String::as_str)).collect();
        let forms = Forms::of(&pieces).and_digests(&texts);
        place.file("t.j2", "pw={{ pw }}\n{{ pw | b64encode }}\n");
        let program = |name: &str, text: &str| {
            let text = text.replace("HOST", &format!("{folder}/machine")).replace("TOP", &top);
            let path = place.file(name, &format!("#!/bin/sh\n{text}"));
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        };
        program("bin/chpasswd", CHPASSWD);
        program("bin/getent", "sh TOP/dump\nexit 2\n");
        // What it looks for is in a file, since its own arguments are among what it reads.
        place.file("needles", &[&pieces[..], &[WITNESS]].concat().join("\n"));
        let look = format!("grep -aoFh -f {folder}/needles /proc/[0-9]*/cmdline /proc/[0-9]*/environ");
        program("top/dump", &format!("{{ {look} 2>/dev/null; echo; }} | sort -u >>{folder}/seen\nexit 0\n"));
        for name in ["machine/etc", "machine/log", "machine/home", "machine/dev/pts"] {
            fs::create_dir_all(place.path().join(name)).unwrap();
        }
        tool("cp", &["-a", "/etc/.", &format!("{folder}/machine/etc")]);
        for name in ["null", "zero", "full", "random", "urandom", "tty"] {
            place.file(&format!("machine/dev/{name}"), "");
        }
        let log = listens(&place.path().join("machine/dev/log"));
        keys(place.path());
        let path = std::env::var("PATH").unwrap();
        let sshd = Sshd::start_in(
            place.path(),
            &format!("PATH={folder}/bin:{path} {WITNESS}"),
            &MACHINE.replace("HOST", &format!("{folder}/machine")),
        );
        let hosts = [sshd];
        inventory(&place, &["h"], &hosts);
        let [sshd] = hosts;
        Self { place, top, port, texts, forms, sshd, log }
    }

    fn host(&self) -> Host<'_> {
        Host { name: "h", top: &self.top, port: self.port }
    }

    /// Runs a playbook, and sees that it comes to its end.
    fn run(&self, playbook: &str, more: &[&str], all: &mut Shown) -> Shown {
        let (code, shown) = run(&self.place, playbook, &[&["-i", "inventory.yml"], more].concat());
        assert_eq!(code, 0, "{playbook} {more:?}: {}{}", shown[0].1, shown[1].1);
        all.extend(shown.clone());
        shown
    }

    /// What mk keeps on both sides, and what the host's programs said to its log.
    fn kept(&self) -> Shown {
        let mut shown = Shown::new();
        for words in [["ledger", "-i", "inventory.yml"].as_slice(), &["pending", "list", "-i", "inventory.yml"]] {
            let ran = self.place.mk(words);
            shown.push((words.join(" "), format!("{}{}", ran.stdout, ran.stderr)));
        }
        for folder in ["state", "cache", "home", "agent"] {
            shown.extend(kept(&self.place.path().join(folder)));
        }
        shown.extend(kept(&self.place.path().join(format!("agent-{}", self.sshd.port))));
        shown.extend(kept(&self.sshd.inside("/run")));
        shown.extend(kept(&self.sshd.inside("/var/log")));
        shown.extend(self.log.lock().unwrap().clone());
        shown
    }
}

/// Answers everything with a plain yes, as long as the test runs.
fn answers() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    port
}

/// Takes what is said to a log's socket, as long as the test runs.
fn listens(path: &Path) -> Arc<Mutex<Shown>> {
    let (socket, log) = (UnixDatagram::bind(path).unwrap(), Arc::new(Mutex::new(Shown::new())));
    let kept = Arc::clone(&log);
    std::thread::spawn(move || {
        let mut message = [0; 8192];
        while let Ok(size) = socket.recv(&mut message) {
            let text = String::from_utf8_lossy(&message[..size]).into_owned();
            kept.lock().unwrap().push(("the host's log".to_owned(), text));
        }
    });
    log
}

/// Reads the arguments and the environment of every process again and again, as anybody may who has the rights of one.
struct Watch {
    over: Arc<AtomicBool>,
    thread: JoinHandle<Vec<String>>,
}

impl Watch {
    fn begin(pieces: Vec<String>) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&over);
        let forms = Forms::of(&pieces.iter().map(String::as_str).collect::<Vec<_>>());
        let thread = std::thread::spawn(move || {
            let mut found = BTreeSet::new();
            while !until.load(Ordering::Relaxed) {
                for process in fs::read_dir("/proc").unwrap().flatten() {
                    for name in ["cmdline", "environ"] {
                        let Ok(bytes) = fs::read(process.path().join(name)) else { continue };
                        let text = String::from_utf8_lossy(&bytes);
                        if text.contains(WITNESS) {
                            found.insert(WITNESS.to_owned());
                        }
                        found.extend(forms.found(&text));
                    }
                }
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            found.into_iter().collect()
        });
        Self { over, thread }
    }

    fn end(self) -> Vec<String> {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// How the rows' steps ended, as the events of a run tell: by the number of the row, those of its operation.
fn ends(events: &str) -> Vec<Vec<String>> {
    let mut ends = vec![Vec::new(); ROWS.len()];
    for event in events.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let (done, failed) = (&event["event"]["step_done"], &event["event"]["step_failed"]);
        let about = if done.is_null() { failed } else { done };
        let Some(task) = about["step"]["task"].as_str() else { continue };
        let words: Vec<&str> = task.split(' ').collect();
        if about["step"]["op"] == words[0] {
            let status = done["outcome"]["status"].as_str().unwrap_or("failed");
            ends[words[2].parse::<usize>().unwrap()].push(status.to_owned());
        }
    }
    ends
}

#[test]
fn a_secret_in_any_parameter_of_any_operation_is_in_no_sink_but_the_place_that_the_playbook_names() {
    let matrix = Matrix::new();
    let host = matrix.host();
    matrix.place.file("before.rhai", &host.before());
    matrix.place.file("step.rhai", &host.playbook(|row: &Row| row.step.to_owned()));
    matrix.place.file("fails.rhai", &host.playbook(|row: &Row| row.fails.to_owned()));
    let unique = matrix.texts.iter().filter(|text| !text.contains("canary")).cloned();
    let watch = Watch::begin(unique.chain((0..10).map(|digit| format!("canary{digit}"))).collect());
    let mut all = Shown::new();
    let mut wrong = Vec::new();
    for way in WAYS {
        let made = matrix.run("before.rhai", way, &mut all);
        let steps = [&["--check"][..], &[], &[], &["--check"]];
        let ran = steps.map(|how| matrix.run("step.rhai", &[way, how].concat(), &mut all));
        let failed = [&["--check"][..], &[]].map(|how| matrix.run("fails.rhai", &[way, how].concat(), &mut all));
        if way != ["--json"] {
            continue;
        }
        let came = ran.each_ref().map(|shown| ends(&shown[0].1));
        for (number, row) in ROWS.iter().enumerate() {
            let own: Vec<_> = came.iter().map(|run| run[number].join(" then ")).collect();
            let name = format!("{number:02}: {} {}", row.op, row.parameter);
            if own != row.ends {
                wrong.push(format!("{name} gives {own:?}, not {:?}", row.ends));
            }
            let well = format!("{number:02} came well");
            if !made[0].1.contains(&well) {
                wrong.push(format!("{name}: what is to be before does not come about"));
            }
            if failed[1][0].1.contains(&well) {
                wrong.push(format!("{name}: the step that fails does not"));
            }
        }
    }
    let seen = watch.end();
    assert!(seen.iter().any(|text| text == WITNESS), "nobody looked at the host's processes");
    wrong.extend(seen.into_iter().filter(|text| text != WITNESS).map(|text| format!("a process shows {text}")));
    let seen = fs::read_to_string(matrix.place.path().join("seen")).unwrap();
    let looked = seen.lines().filter(|line| *line == WITNESS).count();
    assert!(looked > 3 * 10, "the programs of the steps looked {looked} times only");
    all.push(("what programs of the steps saw".to_owned(), seen));
    all.extend(matrix.kept());
    let said = all.iter().filter(|(place, _)| place == "the host's log").count();
    assert!(said > 0, "nothing came to the host's log: is it looked at?");
    wrong.extend(leaks(&all, &matrix.forms));
    assert!(wrong.is_empty(), "{} faults:\n{}", wrong.len(), wrong.join("\n----\n"));
    places_have_it(&matrix);
}

/// The places that the playbooks name have what is meant for them.
fn places_have_it(matrix: &Matrix) {
    for (number, row) in ROWS.iter().enumerate() {
        let (text, folder) = (&matrix.texts[number], Path::new(&matrix.top).join(format!("{number:02}")));
        let has = |name: &str| fs::read_to_string(folder.join(name)).is_ok_and(|there| there.contains(text));
        let there = match (row.op, row.parameter) {
            ("sysctl", _) | ("wait", "port" | "http") => continue,
            ("user", _) => fs::read_to_string(matrix.place.path().join("machine/etc/shadow")).unwrap().contains(text),
            ("authorized_key", _) => has("home/.ssh/authorized_keys"),
            (_, "dest" | "path") | ("wait", "file") => folder.join(text).exists(),
            ("etc_hosts", _) => has("hosts"),
            ("file", _) => fs::read_link(folder.join("l")).is_ok_and(|target| target.as_os_str() == text.as_str()),
            (_, "stdin") => has("out") || has("told"),
            ("line", "matching") => !has("f"),
            _ => has("f"),
        };
        assert!(there, "{number:02}: {} {}: nothing of the secret in its place", row.op, row.parameter);
    }
}

#[test]
fn a_parameter_that_is_in_no_row_of_the_matrix_refuses_every_secret() {
    let place = Place::new();
    let text = "canary00'9c1e\"in<the>mine";
    place.file("texts/00", text);
    place.file("t.j2", "x");
    let rows: BTreeSet<(&str, &str)> = ROWS.iter().map(|row| (row.op, row.parameter)).collect();
    let mut script = "let s = secret(\"file:texts/00\");\nlet host = local();\n".to_owned();
    let mut asked = 0;
    for spec in OPS {
        let names: Vec<String> = parameters(spec).into_iter().map(|parameter| parameter.name).collect();
        for (op, parameter) in rows.iter().filter(|(op, _)| *op == spec.name) {
            assert!(names.iter().any(|name| name == parameter), "{op} has no `{parameter}`");
        }
        let in_rows = names.iter().filter(|name| rows.contains(&(spec.name, name))).count();
        let none = NONE.iter().any(|(op, _)| *op == spec.name);
        assert_ne!(
            in_rows > 0,
            none,
            "{} is in a row of the matrix, or in the list of those that need none",
            spec.name
        );
        let least = LEAST.iter().find(|(op, _)| *op == spec.name);
        let (_, least) = least.unwrap_or_else(|| panic!("what does {} need to be given?", spec.name));
        let mut ask = |name: &str, value: &str| {
            let own = format!("{name}:");
            let rest = split(least).into_iter().filter(|field| !field.starts_with(&own));
            let given = rest.chain([format!("{name}: {value}").as_str()]).collect::<Vec<_>>().join(", ");
            script += &format!(
                r#"
                    try {{
                        host.{0}(#{{ {given} }});
                        log("taken: {0} {name}: {value}");
                    }} catch (e) {{
                        log(`{0} {name}: ${{e.kind}} ${{e.message}}`);
                    }}
                "#,
                spec.name
            );
            asked += 1;
        };
        for name in &names {
            if !rows.contains(&(spec.name, name)) {
                // Whatever type it has, the secret is in it: as it is, in a list, in a map.
                for value in ["s", "[s]", "#{ a: s }"] {
                    ask(name, value);
                }
            } else if ["dest", "path"].contains(&name.as_str()) && names.iter().any(|name| name == "validate") {
                // A path can hold one, but not where a program is told of it.
                ask(name, "`/no/${s}`, validate: [`true`, `%s`]");
            }
        }
    }
    place.file("p.rhai", &script);
    let forms = Forms::of(&["canary0"]).and_digests(&[text.to_owned()]);
    for way in &WAYS[..2] {
        // A check changes nothing, and looks at parameters as every run does.
        let (code, shown) = run(&place, "p.rhai", &[*way, &["--check"]].concat());
        assert_eq!(code, 0, "{}{}", shown[0].1, shown[1].1);
        assert_eq!(leaks(&shown, &forms), Vec::<String>::new());
        if *way == ["--json"] {
            let said: Vec<&str> = shown[0].1.lines().filter(|line| line.contains("\"said\"")).collect();
            let taken: Vec<&&str> = said.iter().filter(|line| !line.contains(": playbook ")).collect();
            assert!(taken.is_empty(), "not refused as a fault of the playbook: {taken:#?}");
            assert_eq!(said.len(), asked);
        }
    }
}

/// The fields of a map's text; a comma inside of one of them is in brackets or braces.
fn split(fields: &str) -> Vec<&str> {
    let mut depth = 0;
    let apart = move |c: char| {
        depth += i32::from("[{".contains(c)) - i32::from("]}".contains(c));
        c == ',' && depth == 0
    };
    fields.split(apart).map(str::trim).filter(|field| !field.is_empty()).collect()
}
