//! The agents that mk sends: held to the same rule of trust as scripts.

use std::io::Read;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::Place;
use crate::trust::{give, mode};

/// The agents beside mk, or those that a test run names.
fn agent() -> PathBuf {
    let own = Path::new(env!("CARGO_BIN_EXE_mk")).with_file_name("agents");
    let folder = std::env::var_os("MK_AGENT_DIR").map_or(own, PathBuf::from);
    folder.join(format!("mk-agent-{}", std::env::consts::ARCH))
}

#[test]
fn the_memory_of_an_agent_is_in_no_core_dump() {
    let place = Place::new();
    let copy = place.file("agent", "");
    std::fs::copy(agent(), &copy).unwrap();
    for path in [&copy, place.path()] {
        mode(path, 0o755);
    }
    let nobody = 65534;
    let mut command = Command::new(&copy);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).uid(nobody).gid(nobody);
    let mut running = command.spawn().unwrap();
    // It has begun when it says who it is.
    running.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    // What the kernel keeps of a process that must not be dumped belongs to root.
    let owner = std::fs::metadata(format!("/proc/{}/maps", running.id())).unwrap().uid();
    drop(running.stdin.take());
    running.wait().unwrap();
    assert_eq!(owner, 0);
}

#[test]
fn an_agent_that_others_may_have_written_is_not_sent_to_hosts() {
    let own = agent();
    let name = own.file_name().unwrap().to_str().unwrap();
    let place = Place::new();
    let agent = place.file(&format!("agents/{name}"), "");
    let folder = place.path().join("agents");
    let run = |args: &[&str]| {
        let mut command = place.command(args);
        place.shown(&command.env("MK_AGENT_DIR", &folder).output().unwrap())
    };
    let words = ["do", "local", "run", "true"];
    for (what, spoil) in [
        ("as it should be", (|_, _| ()) as fn(&Path, &Path)),
        ("open", |agent, _| mode(agent, 0o777)),
        ("given", |agent, _| give(agent)),
        ("in an open folder", |_, folder| mode(folder, 0o777)),
        ("in somebody else's folder", |_, folder| give(folder)),
    ] {
        let _ = std::fs::remove_file(&agent);
        std::fs::copy(&own, &agent).unwrap();
        mode(&folder, 0o755);
        chown(&folder, Some(0), Some(0)).unwrap();
        spoil(&agent, &folder);
        let ran = run(&words);
        let is_wrong = what != "as it should be";
        assert_eq!(ran.code, if is_wrong { 2 } else { 0 }, "{what}: {}{}", ran.stdout, ran.stderr);
        assert_eq!(
            ran.stderr.contains("`DIR/agents") && ran.stderr.contains("owner "),
            is_wrong,
            "{what}: {}",
            ran.stderr
        );
    }
    // There is a way out.
    let _ = run(&["trust", &folder.display().to_string()]);
    assert_eq!(run(&words).code, 0);
}
