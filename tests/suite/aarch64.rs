//! The agent for aarch64 at work, under qemu's emulation of that processor.

use std::process::{Child, Command, Stdio};

use mk::change::{Outcome, Status};
use mk::wire::{Frame, FromAgent, Hello, Mode, Request, ToAgent, from_body, read_frame, to_frame, write_frame};
use serde_json::{Value, json};

/// An agent under emulation, and what it said first.
struct Emulated {
    child: Child,
    hello: Hello,
    last: u64,
}

impl Emulated {
    fn start() -> Self {
        let agent = std::path::Path::new(env!("CARGO_BIN_EXE_mk")).with_file_name("agents/mk-agent-aarch64");
        assert!(agent.exists(), "`.ci/build` has not made {}", agent.display());
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
