//! More hosts than there may be open files.

use std::process::Command;

use crate::support::Place;

#[test]
fn mk_may_have_more_files_open_than_it_was_given_and_its_programs_may_not() {
    let place = Place::new();
    // Each host here is this machine, and costs three files: the pipes to its agent.
    place.file("inventory.yml", "hosts:\n  'h-[1..40]': { ways: [local: ] }\n");
    place.file(
        "p.rhai",
        r#"
            let seen = on("all", |host| host.shell("ulimit -S -n", #{ reads: true }).stdout);
            on("all", |host| assert(seen[host.name] == "64", `${host.name} may have ${seen[host.name]}`));
        "#,
    );
    let mk = place.command(&["run", "p.rhai", "-i", "inventory.yml"]);
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -S -n 64; exec \"$0\" \"$@\""]).arg(mk.get_program()).args(mk.get_args());
    limited.current_dir(place.path()).env_clear();
    for (name, value) in mk.get_envs() {
        limited.env(name, value.unwrap());
    }
    let ran = place.shown(&limited.output().unwrap());
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("nothing changed on 40 hosts"), "{}", ran.stdout);
}
