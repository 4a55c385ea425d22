//! What a host, a file or a name may put on a terminal, into a log or into a report: text, and no more than that.

use serde_json::Value;

use crate::streams::on_a_terminal;
use crate::support::Place;

/// A title, a cleared screen, a colour, an eight-bit control, another order, what cannot be seen, and a line that looks
/// like one of mk's own.
const EVIL: &str = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{1b}[35m\u{9b}5m\u{202e}gnihton\u{2066}\u{200b}\u{61c}";

/// The same, and a further line; as a string of Rhai.
fn evil() -> String {
    format!("{EVIL}\\nforged      other          copy shadow")
}

/// What is left of what a terminal was sent without the colours that mk uses, and that this is only text.
fn only_text(written: &str, what: &str) -> String {
    let colours = regex_lite::Regex::new("\u{1b}\\[(0|1|31|32|33|34)m").unwrap();
    let bare = colours.replace_all(written, "").replace("\r\n", "\n");
    let hidden = |c: char| c.is_control() && c != '\n' || "\u{202e}\u{2066}\u{200b}\u{61c}".contains(c);
    assert!(!bare.contains(hidden), "{what}: {bare:?}");
    bare
}

fn no_line_is_forged(written: &str, what: &str) {
    let bare = only_text(written, what);
    assert!(bare.contains("forged"), "{what} shows nothing of it: {bare}");
    let forged = bare.lines().find(|line| line.starts_with("forged"));
    assert!(forged.is_none(), "{what}: {bare}");
}

/// A place in which everything that can be named is named with bad intent.
fn hostile() -> Place {
    let place = Place::new();
    let (dir, evil) = (place.path().display().to_string(), evil());
    let script = r#"let here = local();
task("TASK EVIL", || {
    here.run(["true", "SUBJECT EVIL"]);
    here.copy("DIR/file EVIL", #{ content: "DIFF EVIL\n" });
    log("SAID EVIL");
    warn("WARNED EVIL");
    here.run(["printf", "%s", "STDOUT EVIL"]);
    here.shell("cat DIR/words >&2");
    try { here.shell("cat DIR/words >&2; exit 3"); } catch (e) { log(e.message); }
});
let r = here.run(["cat", "DIR/words"], #{ reads: true });
log(r.stdout);
fail("FAILED EVIL");
"#;
    place.file("p.rhai", &script.replace("DIR", &dir).replace("EVIL", &evil));
    place.file("words", &format!("WORDS {}\n", evil.replace("\\n", "\n")));
    place
}

#[test]
fn a_terminal_is_shown_text_whatever_a_host_or_a_file_says() {
    let place = hostile();
    // Colours, and no row that is drawn anew: what is written is what is said.
    let shown = on_a_terminal(&place, "run p.rhai -vv -D", &[("TERM", "dumb")]);
    assert!(shown.contains("\u{1b}[31merror\u{1b}[0m"), "no colours: {shown:?}");
    no_line_is_forged(&shown, "run");
    for word in ["TASK", "SUBJECT", "DIFF", "SAID", "WARNED", "STDOUT", "WORDS", "FAILED"] {
        assert!(shown.contains(word), "{word}: {shown}");
    }
    // What is said in several lines keeps its columns behind a sign.
    assert!(shown.contains("\n             WORDS "), "{shown}");
    assert!(shown.contains("\n           : forged      other"), "{shown}");
    no_line_is_forged(&on_a_terminal(&place, "ledger", &[("TERM", "dumb")]), "ledger");
    only_text(&on_a_terminal(&place, "prune local --plan", &[("TERM", "dumb")]), "prune");
    let words = place.path().join("words");
    let done = on_a_terminal(&place, &format!("do local run cat {}", words.display()), &[("TERM", "dumb")]);
    assert!(only_text(&done, "do").contains("WORDS"), "{done}");
}

#[test]
fn the_names_of_an_inventory_and_the_lines_of_a_playbook_are_shown_as_text() {
    let place = Place::new();
    let evil = EVIL.replace('\u{1b}', "\\e").replace('\u{7}', "\\a").replace('\u{9b}', "\\x9b");
    let evil = format!("{evil}\\nforged");
    place.file("inventory.yml", &format!("hosts:\n  web: {{ vars: {{ \"key {evil}\": \"x\", note: \"{evil}\" }} }}\n"));
    let vars = on_a_terminal(&place, "vars web -i inventory.yml", &[("TERM", "dumb")]);
    assert!(vars.contains("key ") && vars.contains("note"), "{vars}");
    only_text(&vars, "vars");
    let why = on_a_terminal(&place, "vars web --why note -i inventory.yml", &[("TERM", "dumb")]);
    only_text(&why, "vars --why");
    place.file(
        "named.yml",
        &format!("groups:\n  \"g{evil}\": {{ hosts: [\"h{evil}\"] }}\nhosts:\n  \"h{evil}\": {{}}\n"),
    );
    only_text(&on_a_terminal(&place, "inventory -i named.yml", &[("TERM", "dumb")]), "inventory");
    place.file("wrong.rhai", &format!("lgo(1); // {EVIL}\n"));
    let lint = on_a_terminal(&place, "lint wrong.rhai", &[("TERM", "dumb")]);
    assert!(only_text(&lint, "lint").contains("there is no function `lgo`"), "{lint}");
    only_text(&on_a_terminal(&place, "run wrong.rhai", &[("TERM", "dumb")]), "run");
}

#[test]
fn a_log_and_the_reports_hold_text_and_no_line_is_forged() {
    let place = hostile();
    let ran = place.mk(&["run", "p.rhai", "-vv", "--log", "mk.log", "--junit", "j.xml", "--report", "r.html"]);
    no_line_is_forged(&ran.stdout, "a pipe");
    no_line_is_forged(&ran.stderr, "a pipe for errors");
    let read = |name: &str| std::fs::read_to_string(place.path().join(name)).unwrap();
    let log = only_text(&read("mk.log"), "log");
    assert!(log.contains("FAILED") && log.contains("forged"), "{log}");
    let line = regex_lite::Regex::new("^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z +(TRACE|DEBUG|INFO|WARN|ERROR) ").unwrap();
    assert!(log.lines().all(|entry| line.is_match(entry)), "{log}");
    only_text(&read("j.xml"), "JUnit");
    only_text(&read("r.html"), "report");
}

#[test]
fn for_machines_what_is_said_is_the_same_and_can_be_shown_all_the_same() {
    let place = hostile();
    let output = place.command(&["run", "p.rhai", "--json"]).output().unwrap();
    let written = String::from_utf8(output.stdout).unwrap();
    only_text(&written, "JSON");
    let said = written.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let said: Vec<String> =
        said.filter_map(|event| event["event"]["said"]["text"].as_str().map(str::to_owned)).collect();
    assert_eq!(said[0], format!("SAID {}", evil().replace("\\n", "\n")));
    // What a command printed is given on as it is where a program takes it.
    let words = place.path().join("words");
    let output = place.command(&["do", "local", "run", "cat", &words.display().to_string()]).output().unwrap();
    assert_eq!(output.stdout, std::fs::read(words).unwrap());
}

/// How much memory a process has, in KiB.
fn memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn a_command_that_prints_without_end_takes_no_memory_without_end() {
    let place = Place::new();
    place.file("p.rhai", "local().shell(\"exec yes 'a line that is printed again and again and again'\");\n");
    let mut command = place.command(&["run", "p.rhai", "-vv"]);
    // Nobody reads what is printed.
    let mut mk = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null()).spawn().unwrap();
    let wait = |seconds| std::thread::sleep(std::time::Duration::from_secs(seconds));
    // By then what the agent keeps of the output, and each buffer on the way, is full.
    wait(5);
    let before = memory(mk.id());
    wait(5);
    let grown = memory(mk.id()).saturating_sub(before);
    for _ in 0..2 {
        crate::sshd::tool("kill", &["-INT", &mk.id().to_string()]);
        wait(1);
    }
    assert_eq!(mk.wait().unwrap().code(), Some(130));
    assert!(grown < 4096, "{grown} KiB more than the {before} KiB before");
}
