//! The README's generated parts. `MK_BLESS=1 cargo test --test suite reference` writes them anew.

use std::path::PathBuf;

use crate::support::Place;

fn readme() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("README.md")
}

/// Holds the part between two marks to `wanted`, or writes it.
fn held(mark: &str, wanted: &str) {
    let text = std::fs::read_to_string(readme()).unwrap();
    let (begin, end) = (format!("<!-- {mark} -->\n"), format!("<!-- /{mark} -->"));
    let (before, rest) = text.split_once(&begin).unwrap();
    let (found, after) = rest.split_once(&end).unwrap();
    let wanted = format!("```text\n{}\n```\n", wanted.trim_end());
    if std::env::var_os("MK_BLESS").is_some() {
        std::fs::write(readme(), format!("{before}{begin}{wanted}{end}{after}")).unwrap();
        return;
    }
    assert_eq!(found, wanted, "the README is stale: MK_BLESS=1 cargo test --test suite reference -- --test-threads=1");
}

#[test]
fn the_list_of_operations_is_that_of_the_registry() {
    held("operations", &Place::new().mk(&["doc"]).stdout);
}

#[test]
fn the_command_line_is_as_the_program_tells_it() {
    let place = Place::new();
    let text = ["--help"].iter().map(|args| place.mk(&[args]).stdout).collect::<String>();
    let run = place.mk(&["run", "--help"]).stdout;
    held("command line", &format!("{}\n{run}", text.trim_end()));
}
