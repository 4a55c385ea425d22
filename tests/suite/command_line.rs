//! What mk says on the command line, to the letter.

use crate::support::Place;

#[test]
fn an_unknown_field_is_shown_at_its_place_with_the_nearest_name() {
    let place = Place::new();
    place.file(
        "p.rhai",
        r#"
            let here = local();
            here.copy("/tmp/x", #{ contents: "hi" });
        "#,
    );
    let ran = place.mk(&["run", "p.rhai"]);
    assert_eq!(ran.code, 2, "{}{}", ran.stdout, ran.stderr);
    insta::assert_snapshot!(ran.stderr, @r#"
    error: copy: unknown field `contents`, expected one of `dest`, `src`, `content`, `mode`, `owner`, `group`, `validate`, `backup`
     --> p.rhai:2:24
      |
    2 | here.copy("/tmp/x", #{ contents: "hi" });
      |                        ^^^^^^^^
     hint: did you mean `content`?
     hint: `mk doc copy` lists its parameters
    nothing was run; `--no-lint` runs it as far as it goes
    "#);
}

#[test]
fn a_syntax_error_is_shown_at_its_place() {
    let place = Place::new();
    place.file(
        "p.rhai",
        r#"
            let x = 1;
            let y = ;
        "#,
    );
    let ran = place.mk(&["run", "p.rhai"]);
    assert_eq!(ran.code, 2);
    insta::assert_snapshot!(ran.stderr, @r"
    error: unexpected ';'
     --> p.rhai:2:9
      |
    2 | let y = ;
      |         ^
    nothing was run; `--no-lint` runs it as far as it goes
    ");
}

#[test]
fn an_unknown_variable_is_found_before_anything_runs() {
    let place = Place::new();
    place.file(
        "p.rhai",
        r#"
            local().copy("/tmp/mk-never", #{ content: "x" });
            log(nowhere);
        "#,
    );
    let ran = place.mk(&["run", "p.rhai"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("there is no variable `nowhere`"), "{}", ran.stderr);
    assert!(!std::path::Path::new("/tmp/mk-never").exists());
}

#[test]
fn a_missing_playbook_names_the_nearest() {
    let place = Place::new();
    place.file("etcd.rhai", "");
    let ran = place.mk(&["run", "ectd.rhai"]);
    assert_eq!(ran.code, 2);
    insta::assert_snapshot!(ran.stderr, @r"
    error: there is no playbook `ectd.rhai`
     hint: did you mean `./etcd.rhai`?
    ");
}

#[test]
fn a_playbook_in_a_folder_that_anybody_may_write_to_is_not_run() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    place.file("open/p.rhai", "");
    std::fs::set_permissions(place.path().join("open"), std::fs::Permissions::from_mode(0o777)).unwrap();
    let ran = place.mk(&["run", "open/p.rhai"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("anybody may write to"), "{}", ran.stderr);
}

#[test]
fn an_unknown_operation_of_do_names_the_nearest() {
    let ran = Place::new().mk(&["do", "local", "coyp", "/x"]);
    assert_eq!(ran.code, 2);
    insta::assert_snapshot!(ran.stderr, @r"
    error: there is no operation `coyp`
     hint: did you mean `copy`?
    ");
}
