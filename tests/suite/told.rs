//! That a run tells what happened: warnings of the connections, what could not be written, failures that were caught,
//! and that it was asked to stop.

use std::io::Read as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::sshd::{Sshd, hosts, keys, tool};
use crate::support::Place;

#[test]
fn what_the_connections_remark_is_a_warning_of_the_run_once_each() {
    let place = Place::new();
    keys(place.path());
    let sshd = Sshd::start(place.path());
    let dir = place.path().display();
    place.file("known", "nonsense\n");
    let closed = format!("{{ ssh: {{ address: 127.0.0.1, port: 1, keys: [{dir}/user], known_hosts: {dir}/known }} }}");
    let open = format!(
        "{{ ssh: {{ address: 127.0.0.1, port: {}, keys: [{dir}/user], known_hosts: {dir}/known }} }}",
        sshd.port
    );
    place.file(
        "inventory.yml",
        &format!("hosts:\n  one: {{ ways: [{closed}, {open}] }}\n  two: {{ ways: [{open}] }}\n"),
    );
    place.file("p.rhai", "on(\"all\", |host| { host.run([\"true\"], #{ reads: true }); });\n");
    let ran = place.mk(&["run", "p.rhai", "-i", "inventory.yml", "--hostkeys", "accept-new", "-f", "1"]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    let warnings: Vec<&str> = ran.stdout.lines().filter(|line| line.starts_with("warning ")).collect();
    let count = |text: &str| warnings.iter().filter(|line| line.contains(text)).count();
    assert_eq!(count("`one` was not reached by ssh to `127.0.0.1`"), 1, "{}", ran.stdout);
    assert_eq!(count("ignored a line of known_hosts at DIR/known:1: no key type"), 1, "{}", ran.stdout);
    assert_eq!(count("recorded the host key of `one`"), 1, "{}", ran.stdout);
    assert_eq!(warnings.len(), 3, "{}", ran.stdout);
}

#[test]
fn output_that_cannot_be_written_is_a_fault() {
    let place = Place::new();
    place.file(
        "p.rhai",
        r#"
            local().run(["true"], #{ reads: true });
            log("done");
        "#,
    );
    place.file("inventory.yml", "hosts: { web: {} }\n");
    let full = || Stdio::from(std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
    let cases: &[(&[&str], bool, &str)] = &[
        (&["run", "p.rhai", "--json"], true, "standard output"),
        (&["run", "p.rhai"], true, "standard output"),
        (&["run", "p.rhai", "--junit", "/dev/full"], false, "`/dev/full`"),
        (&["run", "p.rhai", "--report", "/dev/full"], false, "`/dev/full`"),
        (&["run", "p.rhai", "--log", "/dev/full"], false, "`/dev/full`"),
        (&["run", "p.rhai", "--profile=/dev/full"], false, "`/dev/full`"),
        (&["inventory", "-i", "inventory.yml", "--json"], true, "standard output"),
        (&["do", "local", "run", "id"], true, "standard output"),
        (&["doc"], true, "standard output"),
    ];
    for (args, to_full, name) in cases {
        let mut command = place.command(args);
        command.stdout(if *to_full { full() } else { Stdio::piped() }).stderr(Stdio::piped());
        let ran = place.shown(&command.spawn().unwrap().wait_with_output().unwrap());
        assert_eq!(ran.code, 2, "{args:?}: {}", ran.stderr);
        let said = format!("error: cannot write {name}\n  because: No space left on device");
        assert_eq!(ran.stderr.matches(&said).count(), 1, "{args:?}: {}", ran.stderr);
    }
}

#[test]
fn a_failure_that_the_script_catches_is_not_one_of_the_run() {
    let place = Place::new();
    let script = r#"
        let here = local();
        try {
            here.run(["false"]);
        } catch (e) {
            log("went on");
        }
        here.run(["true"], #{ reads: true });
    "#;
    place.file("p.rhai", script);
    let ran = place.mk(&["run", "p.rhai", "--junit", "j.xml", "--report", "r.html"]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("nothing changed on 1 host, 2 steps in TIME"), "{}", ran.stdout);
    assert!(ran.stdout.contains("  local          ok 1  caught 1\n"), "{}", ran.stdout);
    let read = |name: &str| std::fs::read_to_string(place.path().join(name)).unwrap();
    let junit = read("j.xml");
    assert!(junit.contains("tests=\"2\" failures=\"0\"") && !junit.contains("<failure"), "{junit}");
    assert!(junit.contains("<system-out>caught by the script: error: `false` exited with status 1"), "{junit}");
    let page = read("r.html");
    assert!(page.contains("failed 0, caught 1") && page.contains(">caught"), "{page}");
    // The same failure, not caught, is one.
    place.file(
        "q.rhai",
        r#"
            let here = local();
            try {
                here.run(["false"]);
            } catch (e) {}
            here.run(["false"]);
        "#,
    );
    let ran = place.mk(&["run", "q.rhai", "--junit", "j.xml"]);
    assert_eq!(ran.code, 1, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("  local          ok 0  failed 1  caught 1\n"), "{}", ran.stdout);
    assert!(read("j.xml").contains("tests=\"2\" failures=\"1\""), "{}", read("j.xml"));
}

#[test]
fn a_check_that_finds_changes_fails_its_cases() {
    let place = Place::new();
    let folder = place.path().display();
    place.file("p.rhai", &format!("local().copy(\"{folder}/made\", #{{ content: \"new\\n\" }});\n"));
    let read = || std::fs::read_to_string(place.path().join("j.xml")).unwrap();
    assert_eq!(place.mk(&["run", "p.rhai", "--check", "--junit", "j.xml"]).code, 0);
    let junit = read();
    assert!(junit.contains("tests=\"1\" failures=\"1\""), "{junit}");
    assert!(junit.contains("<failure type=\"drift\" message=\"would change\">") && junit.contains("+new"), "{junit}");
    for args in [["run", "p.rhai", "--junit", "j.xml"].as_slice(), &["run", "p.rhai", "--check", "--junit", "j.xml"]] {
        assert_eq!(place.mk(args).code, 0);
        assert!(read().contains("tests=\"1\" failures=\"0\""), "{args:?}: {}", read());
    }
}

#[test]
fn the_first_interrupt_is_answered_at_once_also_while_a_host_is_silent() {
    let place = Place::new();
    let hosts = hosts(&place, &["one"]);
    let now = place.path().join("now");
    place.file("p.rhai", &format!("on(\"one\", |host| {{ host.shell(\"touch {}; sleep 30\"); }});\n", now.display()));
    let mut command = place.command(&["run", "p.rhai", "-i", "inventory.yml"]);
    let mut mk = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    while !now.exists() {
        std::thread::sleep(Duration::from_millis(10));
    }
    hosts[0].signal_sessions("-STOP");
    tool("kill", &["-INT", &mk.id().to_string()]);
    let begun = Instant::now();
    let mut out = mk.stdout.take().unwrap();
    let (mut said, mut byte) = (Vec::new(), [0]);
    while !said.ends_with(b"\n") && out.read(&mut byte).unwrap() > 0 {
        said.push(byte[0]);
    }
    let said = String::from_utf8(said).unwrap();
    assert!(said.contains("stopping") && said.contains("Ctrl-C once more"), "{said:?}");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    tool("kill", &["-INT", &mk.id().to_string()]);
    assert_eq!(mk.wait().unwrap().code(), Some(130));
}
