//! What mk says of bad input, to the letter.

use crate::support::{Place, Ran};

/// Three hosts at a port where nobody listens.
const CLOSED: &str = "groups:\n  web: { hosts: ['web-[1..3]'] }\nhosts:\n  'web-[1..3]':\n    ways: [{ ssh: { address: 127.0.0.1, port: 1, user: nobody } }]\n    vars: { role: front }\n";

fn run(script: &str) -> Ran {
    let place = Place::new();
    place.file("inventory.yml", CLOSED);
    place.file("t.j2", "first\nname = {{ nmae }}\n");
    place.file("p.rhai", script);
    // What is found before a run is said in the same way, but for the host and the calls.
    place.mk(&["run", "p.rhai", "--no-lint", "-i", "inventory.yml"])
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
    let ran = run(r#"
        let size = 644;
        local().copy("/tmp/mk-never", #{
            content: "x",
            mode: size,
        });
    "#);
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

#[test]
fn a_property_that_is_not_there_is_underlined_with_the_nearest_name() {
    let ran = run("on(\"web-1\", |host| host.factz);");
    assert_eq!(ran.code, 2, "{}{}", ran.stdout, ran.stderr);
    insta::assert_snapshot!(ran.stderr, @r#"
    error: a host has no `factz`
     --> p.rhai:1:25 on web-1
      |
    1 | on("web-1", |host| host.factz);
      |                         ^^^^^
         called as `closure` at p.rhai:1:1
     hint: did you mean `facts`?
    "#);
    let ran = run("on(\"web-1\", |host| host.vars.rol);");
    assert_eq!(ran.code, 2, "{}{}", ran.stdout, ran.stderr);
    insta::assert_snapshot!(ran.stderr, @r#"
    error: there is no property `rol`
     --> p.rhai:1:30 on web-1
      |
    1 | on("web-1", |host| host.vars.rol);
      |                              ^^^
         called as `closure` at p.rhai:1:1
     hint: did you mean `role`?
    "#);
    let ran = run(r#"
        let h = host("web-1");
        log(h
            .vars.rol);
    "#);
    assert_eq!(ran.code, 2, "{}{}", ran.stdout, ran.stderr);
    insta::assert_snapshot!(ran.stderr, @r#"
    error: there is no property `rol`
     --> p.rhai:3:11
      |
    3 |     .vars.rol);
      |           ^^^
     hint: did you mean `role`?
    "#);
    let ran = run(r#"
        let nodes = 1;
        log(node);
    "#);
    assert_eq!(ran.code, 2, "{}{}", ran.stdout, ran.stderr);
    insta::assert_snapshot!(ran.stderr, @r#"
    error: there is no variable `node`
     --> p.rhai:2:5
      |
    2 | log(node);
      |     ^^^^
     hint: did you mean `nodes`?
    "#);
}

#[test]
fn an_agent_of_another_build_is_named_where_it_does_not_understand() {
    let place = Place::new();
    let real = std::env::var("MK_AGENT_DIR").map_or_else(
        |_| std::path::Path::new(env!("CARGO_BIN_EXE_mk")).parent().unwrap().join("agents"),
        std::path::PathBuf::from,
    );
    let agents = place.path().join("agents");
    std::fs::create_dir_all(&agents).unwrap();
    let name = format!("mk-agent-{}", std::env::consts::ARCH);
    let mut bytes = std::fs::read(real.join(&name)).unwrap();
    // The same agent, but of another build, and with an operation fewer.
    let replace = |bytes: &mut Vec<u8>, from: &str, to: &str| {
        assert_eq!(from.len(), to.len());
        let at: Vec<usize> =
            bytes.windows(from.len()).enumerate().filter(|(_, w)| *w == from.as_bytes()).map(|(i, _)| i).collect();
        assert!(!at.is_empty(), "`{from}` is not in the agent");
        at.iter().for_each(|at| bytes[*at..at + from.len()].copy_from_slice(to.as_bytes()));
    };
    replace(&mut bytes, mk::wire::BUILD, &format!("9.{}", &mk::wire::BUILD[2..]));
    replace(&mut bytes, "authorized_key", "authorised_key");
    std::fs::write(agents.join(&name), bytes).unwrap();
    place.file("p.rhai", "local().authorized_key(\"root\", #{ key: \"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJrZ1ZzYgUqjFBYOpB2hyiUMK4Yj5KgI2gQcbJY7Jb0q me\" });");
    let output = place.command(&["run", "--check", "p.rhai"]).env("MK_AGENT_DIR", &agents).output().unwrap();
    let ran = place.shown(&output);
    let all = format!("{}{}", ran.stdout, ran.stderr).replace(&mk::wire::BUILD[2..], "X");
    // A host cannot say that the playbook is wrong: the step failed there.
    assert_eq!(ran.code, 1, "{all}");
    assert!(
        all.contains("there is no operation `authorized_key`\n  because: the agent's build is 9.X, and mk's is 0.X"),
        "{all}"
    );
    assert!(all.contains("hint: build the agents and mk from the same sources: `.ci/build`"), "{all}");
}

#[test]
fn a_name_that_nobody_has_is_explained_where_there_are_no_hosts_at_all() {
    let place = Place::new();
    place.file("p.rhai", "on(\"web\", |host| host.name);");
    let none = place.mk(&["run", "p.rhai"]);
    assert!(
        none.stderr.contains("hint: no inventory was given, so there is only this machine: name one with `-i`"),
        "{}",
        none.stderr
    );
    place.file("empty.yml", "vars: { a: 1 }");
    let empty = place.mk(&["run", "p.rhai", "-i", "empty.yml"]);
    assert!(empty.stderr.contains("hint: `DIR/empty.yml` names no hosts"), "{}", empty.stderr);
}
