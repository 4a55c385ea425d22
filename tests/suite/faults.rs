//! What mk says of bad input, to the letter.

use crate::support::{Place, Ran};

/// Three hosts at a port where nobody listens.
const CLOSED: &str = "groups:\n  web: { hosts: ['web-[1..3]'] }\nhosts:\n  'web-[1..3]':\n    ways: [{ ssh: { address: 127.0.0.1, port: 1, user: nobody } }]\n    vars: { role: front }\n";

fn run(script: &str) -> Ran {
    let place = Place::new();
    place.file("inventory.yml", CLOSED);
    place.file("t.j2", "first\nname = {{ nmae }}\n");
    place.file("p.rhai", script);
    place.mk(&["run", "p.rhai", "-i", "inventory.yml"])
}

#[test]
fn an_unknown_group_in_on() {
    let ran = run("on(\"wbe\", |host| host.name);");
    assert_eq!(ran.code, 2);
    insta::assert_snapshot!(ran.stderr, @r#"
    error: no host or group is called `wbe`
     --> p.rhai:1:1
      |
    1 | on("wbe", |host| host.name);
      | ^^
     hint: did you mean `web`?
    "#);
}

#[test]
fn an_unknown_host() {
    let ran = run("let one = host(\"web-4\");");
    assert_eq!(ran.code, 2);
    insta::assert_snapshot!(ran.stderr, @r#"
    error: no host is called `web-4`
     --> p.rhai:1:11
      |
    1 | let one = host("web-4");
      |           ^^^^
     hint: did you mean `web-1`?
    "#);
}

#[test]
fn an_unknown_variable_of_a_host() {
    let ran = run("on(\"web-1\", |host| host.get(\"rloe\"));");
    assert_eq!(ran.code, 2);
    insta::assert_snapshot!(ran.stderr, @r#"
    error: `web-1` has no variable `rloe`
     --> p.rhai:1:25 on web-1
      |
    1 | on("web-1", |host| host.get("rloe"));
      |                         ^^^
         called as `closure` at p.rhai:1:1
     hint: did you mean `role`?
    "#);
}

#[test]
fn a_value_of_the_wrong_type() {
    let ran = run("let size = 644;\nlocal().copy(\"/tmp/mk-never\", #{\n    content: \"x\",\n    mode: size,\n});");
    assert_eq!(ran.code, 2);
    insta::assert_snapshot!(ran.stderr, @r#"
    error: copy: `mode`: invalid type: integer `644`, expected permission bits as an octal string such as "0644"
     --> p.rhai:4:5
      |
    4 |     mode: size,
      |     ^^^^
    "#);
}

#[test]
fn a_missing_source() {
    let ran = run("local().copy(\"/tmp/mk-never\", #{ src: \"t.j\" });");
    assert_eq!(ran.code, 2);
    insta::assert_snapshot!(ran.stderr, @r#"
    error: there is no file `t.j`
     --> p.rhai:1:9
      |
    1 | local().copy("/tmp/mk-never", #{ src: "t.j" });
      |         ^^^^
     hint: did you mean `t.j2`?
     hint: looked for in `DIR/p`, `DIR`, `DIR/files`, `DIR/templates`
    "#);
}

#[test]
fn an_undefined_name_in_a_template() {
    let ran = run("local().template(\"/tmp/mk-never\", #{ src: \"t.j2\", vars: #{ name: \"x\" } });");
    assert_eq!(ran.code, 2);
    insta::assert_snapshot!(ran.stderr, @r"
    error: `nmae` is not defined
     --> DIR/t.j2:2:11
      |
    2 | name = {{ nmae }}
      |           ^^^^
     hint: did you mean `name`?
    ");
    assert!(!std::path::Path::new("/tmp/mk-never").exists());
}

#[test]
fn an_unknown_method() {
    let ran = run("local().coyp(\"/tmp/mk-never\");");
    assert_eq!(ran.code, 2);
    insta::assert_snapshot!(ran.stderr, @r#"
    error: there is no function `coyp`
     --> p.rhai:1:9
      |
    1 | local().coyp("/tmp/mk-never");
      |         ^^^^
     hint: did you mean `copy`?
    "#);
}

#[test]
fn hosts_that_cannot_be_reached() {
    let ran = run("on(\"web-1\", |host| host.run([\"true\"]));");
    assert_eq!(ran.code, 4, "{}", ran.stderr);
    insta::assert_snapshot!(ran.stderr, @"");
    insta::assert_snapshot!(ran.stdout, @r#"
    failed       web-1          run true
    error: cannot reach `web-1` at 127.0.0.1:1
      because: connection refused
     --> p.rhai:1:25 on web-1
      |
    1 | on("web-1", |host| host.run(["true"]));
      |                         ^^^
    recap of 1 host, 1 steps in TIME
      web-1          ok 0  failed 1  out: cannot reach `web-1` at 127.0.0.1:1: connection refused
    "#);
}

#[test]
fn a_fault_is_told_once() {
    for script in ["local().run([\"false\"]);", "on(local(), |host| host.run([\"false\"]));", "fail(\"false\");"] {
        let ran = run(script);
        let all = format!("{}{}", ran.stdout, ran.stderr);
        assert_eq!((ran.code, all.matches("error: ").count()), (1, 1), "{script}\n{all}");
    }
}

#[test]
fn a_scan_of_hosts_that_do_not_answer() {
    let place = Place::new();
    place.file("inventory.yml", CLOSED);
    let ran = place.mk(&["hostkeys", "scan", "web-1", "-i", "inventory.yml", "--yes"]);
    assert_eq!(ran.code, 4, "{}", ran.stderr);
    insta::assert_snapshot!(ran.stderr, @r"
    error: cannot reach `web-1` at 127.0.0.1:1
      because: connection refused
     --> on web-1
    ");
}
