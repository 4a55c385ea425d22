//! The reference, as the program prints it. `MK_BLESS=1 cargo test --test suite reference` writes it anew.

use std::path::PathBuf;

use crate::support::Place;

/// Holds a page of the reference to `wanted`, or writes it.
fn held(page: &str, wanted: &str) {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/reference").join(page);
    let wanted = format!("{}\n", wanted.trim_end());
    if std::env::var_os("MK_BLESS").is_some() {
        std::fs::write(file, wanted).unwrap();
        return;
    }
    let found = std::fs::read_to_string(file).unwrap();
    assert_eq!(found, wanted, "the reference is stale: MK_BLESS=1 cargo test --test suite reference");
}

#[test]
fn the_list_of_operations_is_that_of_the_registry() {
    held("operations.txt", &Place::new().mk(&["doc"]).stdout);
}

#[test]
fn the_command_line_is_as_the_program_tells_it() {
    let place = Place::new();
    let text = ["--help"].iter().map(|args| place.mk(&[args]).stdout).collect::<String>();
    let run = place.mk(&["run", "--help"]).stdout;
    held("command-line.txt", &format!("{}\n{run}", text.trim_end()));
}

#[test]
fn the_help_of_every_command() {
    let place = Place::new();
    let all = [
        &["run"][..],
        &["do"],
        &["lint"],
        &["doc"],
        &["explain"],
        &["inventory"],
        &["vars"],
        &["facts"],
        &["hostkeys", "scan"],
        &["agent", "remove"],
        &["artifacts"],
        &["ledger"],
        &["prune"],
        &["pending", "list"],
        &["pending", "run"],
        &["pending", "forget"],
        &["trust"],
        &["completions"],
    ];
    let help = |command: &&[&str]| {
        let ran = place.mk(&[command, &["-h"][..]].concat());
        assert_eq!(ran.code, 0);
        ran.stdout
    };
    held("help.txt", &all.iter().map(help).collect::<Vec<_>>().join("\n---\n"));
}

#[test]
fn the_readme_is_short() {
    let readme = std::fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    assert!(readme.lines().count() <= 200, "{} lines: reference belongs to `mk doc`", readme.lines().count());
}
