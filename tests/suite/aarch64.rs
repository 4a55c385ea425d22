//! The agent for aarch64 at work, under qemu's emulation of that processor, alone and beside one of this machine's.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use mk::change::{Outcome, Status};
use mk::wire::{Frame, FromAgent, Hello, Mode, Request, ToAgent, from_body, read_frame, to_frame, write_frame};
use serde_json::{Value, json};

use crate::sshd::{Sshd, keys, tool};
use crate::support::Place;

/// An agent under emulation, and what it said first.
struct Emulated {
    child: Child,
    hello: Hello,
    last: u64,
}

/// The agent for an architecture.
fn built(arch: &str) -> PathBuf {
    let agent = Path::new(env!("CARGO_BIN_EXE_mk")).with_file_name(format!("agents/mk-agent-{arch}"));
    assert!(agent.exists(), "`.ci/build` has not made {}", agent.display());
    agent
}

impl Emulated {
    fn start() -> Self {
        let agent = built("aarch64");
        let mut command = Command::new("qemu-aarch64-static");
        command.arg(agent).stdin(Stdio::piped()).stdout(Stdio::piped());
        let child = command.spawn().expect("qemu-aarch64-static is needed: install qemu-user-static");
        let mut started = Self { child, hello: Hello::default(), last: 0 };
        let FromAgent::Hello(hello) = started.next() else { panic!("an agent says hello first") };
        started.hello = hello;
        started
    }

    fn next(&mut self) -> FromAgent {
        let out = self.child.stdout.as_mut().unwrap();
        match read_frame(out).unwrap() {
            Some(Frame::Message(body)) => from_body(&body).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn step(&mut self, mode: Mode, op: &str, args: &Value) -> Outcome {
        self.last += 1;
        let step: Request =
            serde_json::from_value(json!({ "id": self.last, "op": op, "args": args, "mode": mode })).unwrap();
        let words = to_frame(&ToAgent::Do { steps: vec![step] });
        write_frame(self.child.stdin.as_mut().unwrap(), &words).unwrap();
        match self.next() {
            FromAgent::Done { id, result, .. } if id == self.last => result.unwrap(),
            other => panic!("{other:?}"),
        }
    }
}

impl Drop for Emulated {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

#[test]
fn the_agent_for_aarch64_does_what_it_is_told() {
    let mut agent = Emulated::start();
    assert_eq!(agent.hello.arch, "aarch64");
    assert_eq!(agent.hello.protocol, mk::wire::PROTOCOL);

    let said = agent.step(Mode::Check, "run", &json!({ "argv": ["printf", "%s", "a b"], "reads": true }));
    assert_eq!(said.values["stdout"], "a b");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("etc/motd");
    let dir = json!({ "path": folder.path().join("etc"), "mode": "0750" });
    let line = json!({ "path": file, "line": "PS1 = $", "create": true });
    assert_eq!(agent.step(Mode::Check, "dir", &dir).status, Status::WouldChange);
    assert_eq!(agent.step(Mode::Apply, "dir", &dir).status, Status::Changed);
    assert_eq!(agent.step(Mode::Apply, "line", &line).status, Status::Changed);
    assert_eq!(agent.step(Mode::Apply, "line", &line).status, Status::Ok);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "PS1 = $\n");
}

/// A program that anybody may start.
fn program(place: &Place, name: &str, text: &str) {
    tool("chmod", &["755", &place.file(name, text).display().to_string()]);
}

/// Two hosts, `arm` and `intel`, whose kernels say so, and a project with artifacts for both.
fn mixed() -> (Place, Vec<Sshd>) {
    let place = Place::new();
    let dir = place.path().display().to_string();
    keys(place.path());
    let x86 = std::fs::read(built("x86_64")).unwrap();
    std::fs::create_dir(place.path().join("agents")).unwrap();
    std::fs::write(place.path().join("agents/mk-agent-x86_64"), x86).unwrap();
    // The kernel of this machine starts no program of the other architecture.
    let emulated = format!("#!/bin/sh\nexec qemu-aarch64-static {}\n", built("aarch64").display());
    program(&place, "agents/mk-agent-aarch64", &emulated);
    let key = std::fs::read_to_string(place.path().join("host.pub")).unwrap();
    let mut inventory = "hosts:\n".to_owned();
    let mut hosts = Vec::new();
    for (name, machine) in [("arm", "aarch64"), ("intel", "x86_64")] {
        program(&place, &format!("{machine}/uname"), &format!("#!/bin/sh\n[ \"$*\" = -m ] && echo {machine}\n"));
        let path = std::env::var("PATH").unwrap();
        let host = Sshd::start_with(place.path(), &format!("PATH={dir}/{machine}:{path}"));
        inventory += &format!(
            "  {name}: {{ ways: [{{ ssh: {{ address: 127.0.0.1, port: {}, keys: [{dir}/user], host_keys: [\"{}\"] }} }}] }}\n",
            host.port,
            key.trim()
        );
        hosts.push(host);
    }
    inventory += "groups: { workers: { hosts: [arm, intel] } }\n";
    place.file("inventory.yml", &inventory);
    let mut lock = String::new();
    let mut entry = |name: &str, arch: &str, file: &str| {
        let sum = tool("sha256sum", &[&format!("{dir}/{file}")])[..64].to_owned();
        lock += &format!("- {{name: {name}, version: '1.0', arch: {arch}, url: {file}, sha256: {sum}}}\n");
    };
    for arch in ["amd64", "arm64"] {
        place.file(&format!("{arch}/bin/tool"), &format!("a tool for {arch}\n"));
        tool("tar", &["-C", &format!("{dir}/{arch}"), "-czf", &format!("{dir}/tool-{arch}.tgz"), "bin"]);
        place.file(&format!("one-{arch}"), &format!("one file for {arch}\n"));
        entry("tool", arch, &format!("tool-{arch}.tgz"));
        entry("one", arch, &format!("one-{arch}"));
    }
    place.file("everywhere", "the same\n");
    entry("everywhere", "any", "everywhere");
    entry("rare", "amd64", "one-amd64");
    place.file("artifacts.lock.yaml", &lock);
    (place, hosts)
}

#[test]
fn hosts_of_two_architectures_are_each_given_their_own_artifacts_and_agents() {
    let (place, _hosts) = mixed();
    let dir = place.path().display().to_string();
    let run = |script: &str, flags: &[&str]| {
        place.file("p.rhai", &script.replace("DIR", &dir));
        let mut command = place.command(&["run", "p.rhai", "-i", "inventory.yml"]);
        place.shown(&command.args(flags).env("MK_AGENT_DIR", format!("{dir}/agents")).output().unwrap())
    };
    let script = r#"
        on("all", |host| {
            let at = `DIR/of-${host.name}`;
            host.dir(at);
            host.unpack(at, #{ artifact: "tool", only: ["tool"] });
            host.download(at + "/one", #{ artifact: "one" });
            host.download(at + "/same", #{ artifact: "everywhere" });
            log(`is ${host.facts.arch}`);
        });
    "#;
    let first = run(script, &[]);
    assert_eq!(first.code, 0, "{}{}", first.stdout, first.stderr);
    for (host, machine, arch) in [("arm", "aarch64", "arm64"), ("intel", "x86_64", "amd64")] {
        let said = first.stdout.lines().any(|line| line.contains(host) && line.ends_with(&format!("is {machine}")));
        assert!(said, "{host}: {}", first.stdout);
        let holds = |file: &str| std::fs::read_to_string(place.path().join(format!("of-{host}/{file}"))).unwrap();
        assert_eq!(
            [holds("tool"), holds("one"), holds("same")],
            [format!("a tool for {arch}\n"), format!("one file for {arch}\n"), "the same\n".to_owned()]
        );
    }
    let again = run(script, &[]);
    assert!(again.stdout.contains("nothing changed on 2 hosts"), "{}{}", again.stdout, again.stderr);
    // What is there for one of them only is a fault of the other alone.
    let rare = "on(\"all\", |host| { host.download(`DIR/of-${host.name}/rare`, #{ artifact: \"rare\" }); });";
    let missing = run(rare, &[]);
    assert!(missing.code != 0 && place.path().join("of-intel/rare").exists(), "{}{}", missing.stdout, missing.stderr);
    let said = format!("{}{}", missing.stdout, missing.stderr);
    assert!(said.contains("there is no artifact `rare` for arm64"), "{said}");
    assert!(said.contains("there is 1.0 (amd64)"), "{said}");
}

#[test]
fn workers_that_could_not_run_the_images_made_here_are_told_before_anything_is_touched() {
    let (place, _hosts) = mixed();
    place.file(
        "p.rhai",
        r#"
            import "preflight" as preflight;
            let least = #{ memory_mb: 1, free_mb: 1 };
            on("workers", |host| {
                for one in preflight::machine(host, now(), least) {
                    log(one);
                }
            });
        "#,
    );
    let told = |images: &str| {
        let mut command = place.command(&["run", "p.rhai", "-i", "inventory.yml", "-e", &format!("images={images}")]);
        let ran = place.shown(&command.env("MK_AGENT_DIR", place.path().join("agents")).output().unwrap());
        assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
        let lines = ran.stdout.lines().filter(|line| line.contains("its architecture is"));
        lines.map(|line| line.trim().to_owned()).collect::<Vec<_>>()
    };
    let made = told("local");
    assert_eq!(made.len(), 1, "{made:?}");
    let fault = "its architecture is aarch64, and the images that mk makes here are for x86_64";
    assert!(made[0].starts_with("arm ") && made[0].contains(fault), "{made:?}");
    assert_eq!(told("pull"), Vec::<String>::new());
}
