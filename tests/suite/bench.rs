//! The benchmark's table beside its programs is what its committed results say.

use std::path::PathBuf;
use std::process::Command;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_table_of_the_benchmark_is_made_of_its_committed_results() {
    let results = std::fs::read_dir(root().join("tests/bench/results")).unwrap().count();
    let made =
        Command::new(root().join("tests/bench/table")).output().expect("tests/bench/table runs; it needs python3");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let made = String::from_utf8(made.stdout).unwrap();
    let notes = made.lines().filter(|line| line.starts_with("- ")).count();
    assert_eq!(notes, results, "each result has a place in the table: SCENARIOS in tests/bench/table");
    let readme = std::fs::read_to_string(root().join("tests/bench/README.md")).unwrap();
    let (_, rest) = readme.split_once("<!-- benchmark -->\n").unwrap();
    let (shown, _) = rest.split_once("<!-- /benchmark -->").unwrap();
    assert_eq!(shown, made, "tests/bench/README.md is stale: tests/bench/table --write");
}

#[test]
fn the_playbook_of_the_benchmark_has_fifteen_steps() {
    let text = std::fs::read_to_string(root().join("tests/bench/steps/mk.rhai")).unwrap();
    assert_eq!(text.lines().filter(|line| line.starts_with("    host.")).count(), 15);
}
