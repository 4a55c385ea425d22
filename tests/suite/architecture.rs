//! The invariants of the tree, held by reading it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The layers, bottom to top, as the code map of `src/lib.rs` lists them: a module imports only from those before it.
fn layers() -> Vec<String> {
    let map = std::fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let name = |line: &str| Some(line.strip_prefix("//! - [`")?.split_once("`]: ")?.0.to_owned());
    map.lines().filter_map(name).collect()
}

/// The Rust files below a folder, with their text.
fn sources(folder: &Path) -> BTreeMap<PathBuf, String> {
    walkdir::WalkDir::new(folder)
        .into_iter()
        .map(Result::unwrap)
        .filter(|entry| entry.path().extension().is_some_and(|x| x == "rs"))
        .map(|entry| (entry.path().to_owned(), std::fs::read_to_string(entry.path()).unwrap()))
        .collect()
}

/// The code of a file: no tests, no comments, no empty lines.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let own = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(text);
    own.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.trim_start().starts_with("//"))
}

fn is_test(path: &Path) -> bool {
    let text = path.display().to_string();
    text.contains("/tests") || text.ends_with("testing.rs") || text.ends_with("contract.rs")
}

/// The module of `src` that a file belongs to.
fn layer(path: &Path, layers: &[String]) -> Option<String> {
    let inside = path.strip_prefix(root().join("src")).ok()?;
    let first = inside.components().next()?.as_os_str().to_string_lossy().into_owned();
    let name = first.trim_end_matches(".rs").to_owned();
    layers.contains(&name).then_some(name)
}

#[test]
fn the_code_map_lists_every_module_and_nothing_else() {
    let map = std::fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let name = |line: &str| Some(line.split_once("mod ")?.1.strip_suffix(';')?.to_owned());
    let modules: BTreeSet<String> = map.lines().filter(|line| !line.starts_with("//")).filter_map(name).collect();
    let layers = layers();
    assert_eq!(layers.iter().cloned().collect::<BTreeSet<_>>(), modules);
    assert_eq!(layers.len(), modules.len(), "a module is one layer");
}

#[test]
fn a_module_imports_only_from_those_below_it() {
    let layers = layers();
    let mut wrong = Vec::new();
    for (path, text) in sources(&root().join("src")) {
        let Some(own) = layer(&path, &layers).filter(|_| !is_test(&path)) else { continue };
        let height = layers.iter().position(|name| *name == own).unwrap();
        for (number, line) in code(&text) {
            for above in &layers[height + 1..] {
                let used = line.contains(&format!("crate::{above}::")) || line.contains(&format!("crate::{above};"));
                if used && !line.trim_start().starts_with("mod ") {
                    wrong.push(format!("{}:{}: {own} uses {above}", path.display(), number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn operations_do_not_know_each_other() {
    let ops = root().join("src/ops");
    let mut wrong = Vec::new();
    for (path, text) in sources(&ops) {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if name == "mod" || name == "tests" {
            continue;
        }
        for (number, line) in code(&text) {
            if line.contains("crate::ops::") || line.trim_start().starts_with("use super::super") {
                wrong.push(format!("{}:{}: {line}", path.display(), number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn foreign_names_stay_in_their_modules() {
    let homes: &[(&str, &[&str])] = &[
        ("rhai::", &["script"]),
        ("russh::", &["transport"]),
        // They panic when the reader goes away, and what is printed is not looked at; there is the sink instead.
        ("println!(", &[]),
        ("print!(", &[]),
        ("eprintln!(", &["mk-agent.rs"]),
        ("eprint!(", &[]),
        ("std::io::stdout(", &["sink.rs", "mk-agent.rs"]),
        ("std::io::stderr(", &["sink.rs", "mk-agent.rs"]),
        ("io::stdout(", &["sink.rs", "mk-agent.rs"]),
        ("io::stderr(", &["sink.rs", "mk-agent.rs"]),
        ("Hands::new(", &["op"]),
        ("\"/bin/sh\"", &["command.rs", "transport", "bootstrap.rs"]),
    ];
    let mut wrong = Vec::new();
    for (path, text) in sources(&root().join("src")) {
        if is_test(&path) {
            continue;
        }
        for (word, allowed) in homes {
            let home = allowed.iter().any(|home| path.components().any(|part| part.as_os_str() == *home));
            for (number, line) in code(&text).filter(|_| !home) {
                let whole =
                    line.find(word).is_some_and(|at| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'));
                if whole {
                    wrong.push(format!("{}:{}: {word}", path.display(), number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What the code decides by is data: the class of a fault and its `Detail`. Words are for readers, and may change; and
/// what a host says must not decide anything here. What a library says only in words is read in one place.
#[test]
fn nothing_decides_by_the_text_of_a_message() {
    // What serde says, and what the language and the system say, without the place and the number that stand elsewhere.
    let homes = ["src/error/detail.rs", "src/script/fault.rs", "src/transport/stream.rs"];
    let looks = "(contains|starts_with|ends_with|strip_prefix|strip_suffix|r?split_once|r?split|r?find|matches|eq)\\(";
    let said = r"(\.message\(\)|\b(e|err\(\)\?|error|fault|inner|cause)\.to_string\(\))";
    let at_once = regex_lite::Regex::new(&format!(r"{said}(\.{looks}| [=!]= )")).unwrap();
    let kept = regex_lite::Regex::new(&format!(r"let (\w+) = [^;|]*{said}")).unwrap();
    let mut wrong = Vec::new();
    for (path, text) in sources(&root().join("src")) {
        if is_test(&path) || homes.iter().any(|home| path.ends_with(home)) {
            continue;
        }
        let text = code(&text).map(|(_, line)| line.trim()).collect::<Vec<_>>().join(" ").replace(" .", ".");
        let mut found: Vec<String> = at_once.find_iter(&text).map(|found| found.as_str().to_owned()).collect();
        for name in kept.captures_iter(&text).map(|kept| kept[1].to_owned()) {
            let later = regex_lite::Regex::new(&format!(r"\b{name}(\.{looks}|[^;]*\| {name}\.{looks})")).unwrap();
            found.extend(later.find_iter(&text).map(|found| found.as_str().to_owned()));
        }
        // Two faults that say the same are shown as one.
        found.retain(|found| !(found == ".message() == " && path.ends_with("src/report/failures.rs")));
        wrong.extend(found.iter().map(|found| format!("{}: {found}", path.display())));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A terminal, a log and a report take text that was made fit to be shown, and there is one way to them: nothing in
/// `report` and `cli` can write to a stream or a file around it.
#[test]
fn only_the_sink_writes_what_is_shown() {
    let homes: &[(&str, &[&str])] = &[
        // What is between a sink and its stream, and between the log's library and a sink.
        ("Write for", &["report/sink.rs", "report/live.rs", "report/log.rs", "report/text.rs"]),
        ("io::Write", &["report/sink.rs", "report/live.rs", "report/log.rs"]),
        ("Write,", &["report/sink.rs", "report/live.rs", "report/log.rs"]),
        ("Write}", &["report/sink.rs", "report/live.rs", "report/log.rs"]),
        ("write_all(", &["report/sink.rs", "report/live.rs"]),
        ("fs::write(", &[]),
        ("File::create(", &[]),
        ("OpenOptions", &["report/sink.rs"]),
        ("stdout(", &["report/sink.rs", "report/live.rs"]),
        ("stderr(", &["report/sink.rs"]),
        ("/dev/tty", &[]),
        // They draw, and ask, on a terminal of their own accord.
        ("ProgressBar", &["report/live.rs"]),
        ("prompt_password", &["cli/prompt.rs"]),
        // Nobody else begins a sequence that a terminal obeys, or looks into what may be shown.
        ("\\x1b", &["report/text.rs"]),
        ("\\u{1b}", &[]),
        ("Text(", &["report/text.rs"]),
    ];
    let mut wrong = Vec::new();
    for folder in ["src/report", "src/cli"] {
        for (path, text) in sources(&root().join(folder)) {
            for (word, allowed) in homes {
                let home = allowed.iter().any(|home| path.ends_with(Path::new("src").join(home)));
                for (number, line) in code(&text).filter(|_| !home && !is_test(&path)) {
                    // A sink's own names for its streams are not the streams.
                    let line = line.replace("Sink::stdout(", "").replace("Sink::stderr(", "");
                    let before = line.find(word).map(|at| line[..at].chars().next_back());
                    if before.is_some_and(|c| !c.is_some_and(|c| c.is_alphanumeric() || c == '_')) {
                        wrong.push(format!("{}:{}: {word}", path.display(), number + 1));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_file_is_longer_than_400_lines_of_code() {
    let mut wrong = Vec::new();
    for folder in ["src", "tests"] {
        for (path, text) in sources(&root().join(folder)) {
            let length = code(&text).count();
            if length > 400 {
                wrong.push(format!("{}: {length}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_is_left_to_be_done() {
    let mut wrong = Vec::new();
    let words = [
        ["TO", "DO"].concat(),
        ["FIX", "ME"].concat(),
        ["todo", "!("].concat(),
        ["dbg", "!("].concat(),
        ["unimplemented", "!("].concat(),
    ];
    for folder in ["src", "tests", "stdlib", "playbooks"] {
        for entry in walkdir::WalkDir::new(root().join(folder)).into_iter().map(Result::unwrap) {
            let Ok(text) = std::fs::read_to_string(entry.path()) else { continue };
            for (number, line) in text.lines().enumerate() {
                if words.iter().any(|word| line.contains(word.as_str())) {
                    wrong.push(format!("{}:{}: {line}", entry.path().display(), number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_top_level_holds_what_was_agreed_and_nothing_else() {
    let allowed = [
        "Cargo.toml",
        "Cargo.lock",
        "README.md",
        "CHANGELOG.md",
        "LICENSE",
        "src",
        "playbooks",
        "stdlib",
        "inventories",
        "tests",
    ];
    let tracked = std::process::Command::new("git")
        .args(["ls-tree", "--name-only", "HEAD"])
        .current_dir(root())
        .output()
        .unwrap();
    let names = String::from_utf8(tracked.stdout).unwrap();
    let other: Vec<&str> = names.lines().filter(|name| !name.starts_with('.') && !allowed.contains(name)).collect();
    assert!(other.is_empty(), "{other:?}");
}
