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
