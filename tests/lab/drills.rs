//! Drills on a host of their own, in a lab of its own beside the others: it is killed, filled and locked up here, and
//! nobody else works on it. The lab goes down with the last test, whichever that is.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::needs::{Own, OwnTurn};
use crate::support::root;

const LAB: &str = "/var/lib/mk/drill";

/// The inventory of the drills: one host, with what else stands in its way in.
fn inventory(more: &str) -> String {
    format!(
        "vars:\n  cluster: drill\n  lab: {{ name: drill, net: \"10.73\", sites: {{}} }}\nhosts:\n  one:\n    ways:\n      - ssh: {{ address: 10.73.1.11, {more} }}\n    vars: {{ lan_ip: 10.73.1.11, node_ip: 10.73.1.11, site: inet }}\n"
    )
}

fn usual() -> String {
    inventory(&format!("user: root, keys: [{LAB}/id_ed25519], known_hosts: {LAB}/known_hosts"))
}

/// The lab, for a test that takes its turn.
fn up() -> OwnTurn {
    static DRILL: Own = Own::of(include_str!("drills.rs"));
    DRILL.up(raise, down)
}

/// The folder with the inventory and what the drills copy.
fn drill() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("drill"))
}

fn raise() {
    let folder = drill();
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("inventory.yml"), usual()).unwrap();
    let up = root().join("playbooks/lab/up.rhai");
    let raised = mk(folder, &["run", up.to_str().unwrap()]);
    assert!(raised.status.success(), "{}", all(&raised));
    // Random, so that nothing on the way makes it smaller.
    let big = folder.join("big");
    if !big.exists() {
        let made = Command::new("head").args(["-c", "400000000", "/dev/urandom"]).output().unwrap();
        std::fs::write(&big, made.stdout).unwrap();
        let packed = Command::new("tar").args(["-cf", "big.tar", "big"]).current_dir(folder).status().unwrap();
        assert!(packed.success());
    }
}

fn down() {
    let down = root().join("playbooks/lab/down.rhai");
    let went = mk(drill(), &["run", down.to_str().unwrap()]);
    assert!(went.status.success(), "{}", all(&went));
    assert!(!Path::new(LAB).join("hosts/one").exists());
}

fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mk"));
    command.args(args).args(["-i", "inventory.yml"]).current_dir(folder).env("MK_LOCK_WAIT", "20s");
    command
}

fn mk(folder: &Path, args: &[&str]) -> Output {
    command(folder, args).output().unwrap()
}

fn all(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Runs a script that must succeed, and gives all it printed.
fn script(text: &str) -> String {
    std::fs::write(drill().join("p.rhai"), text).unwrap();
    let output = mk(drill(), &["run", "p.rhai", "-v"]);
    assert!(output.status.success(), "{text}\n{}", all(&output));
    all(&output)
}

/// Starts a script, and gives it when the step with this text has run for a while.
fn midway(text: &str, step: &str) -> std::process::Child {
    std::fs::write(drill().join("midway.rhai"), text).unwrap();
    let mut child = command(drill(), &["run", "midway.rhai", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| {
        let line = line.unwrap();
        line.contains("step_started") && line.contains(step)
    }));
    std::thread::sleep(Duration::from_millis(700));
    std::thread::spawn(move || lines.count());
    child
}

/// Kills everything on the host at once, as a loss of power does, and starts it again.
fn power_cycle() {
    // The first process of its namespace of processes, started by what was told to start this host.
    let inside = |pid: &str| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
        let parent = std::fs::read_to_string(format!("/proc/{}/cmdline", field("PPid:"))).unwrap_or_default();
        field("NSpid:").split_whitespace().skip(1).collect::<Vec<_>>() == ["1"]
            && parent.contains(&format!("{LAB}/hosts/one"))
    };
    let pids =
        std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let init: Vec<String> = pids.filter(|pid| pid.parse::<u32>().is_ok() && inside(pid)).collect();
    assert_eq!(init.len(), 1, "{init:?}");
    let pid = rustix::process::Pid::from_raw(init[0].parse().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let tool = |words: &[&str]| {
        let output = Command::new(format!("{LAB}/bin/lab-host")).args(words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", all(&output));
    };
    tool(&["stop", "one"]);
    tool(&["start", "one:inet"]);
    answers();
}

/// Waits until the host lets us in.
fn answers() {
    let begun = Instant::now();
    while !mk(drill(), &["do", "one", "run", "true"]).status.success() {
        assert!(begun.elapsed() < Duration::from_secs(60), "the host does not come up");
        std::thread::sleep(Duration::from_millis(500));
    }
}

const OLD: &str = r#"
    on("one", |host| {
        host.dir("/srv/d");
        host.dir("/srv/u", #{ state: "absent" });
        host.copy("/srv/d/f", #{ content: "old" });
    });
"#;
const COPY: &str = "on(\"one\", |host| { host.copy(\"/srv/d/f\", #{ src: \"big\" }); });";
const WHOLE: &str = r#"
    on("one", |host| {
        assert(host.run(["cat", "/srv/d/f"], #{ reads: true }).stdout == "old", "not the old content");
        assert(host.run(["ls", "-A", "/srv/d"], #{ reads: true }).stdout == "f", "something was left behind");
    });
"#;

/// Runs it twice: what is missing is done, and then nothing is.
fn converges(text: &str) {
    script(text);
    assert!(script(text).contains("nothing changed on 1 host"), "{text}");
}

#[test]
fn a_host_killed_in_the_middle_of_a_copy_has_the_old_content_and_the_next_run_converges() {
    let _turn = up();
    script(OLD);
    let mut run = midway(COPY, "/srv/d/f");
    assert!(run.try_wait().unwrap().is_none(), "the copy was over before the host was killed");
    power_cycle();
    assert_eq!(run.wait().unwrap().code(), Some(4));
    script(WHOLE);
    converges(COPY);
}

#[test]
fn mk_killed_in_the_middle_of_a_copy_leaves_the_old_content_no_files_and_no_lock() {
    let _turn = up();
    script(OLD);
    let mut run = midway(COPY, "/srv/d/f");
    run.kill().unwrap();
    run.wait().unwrap();
    // Its lock goes with it, at once.
    script(WHOLE);
    converges(COPY);
}

#[test]
fn mk_killed_in_the_middle_of_an_unpack_and_of_a_package_is_made_up_for_by_the_next_run() {
    let _turn = up();
    script(OLD);
    let unpack = r#"
        on("one", |host| {
            host.dir("/srv/u");
            host.unpack("/srv/u", #{ src: "big.tar" });
        });
    "#;
    let mut run = midway(unpack, "unpack");
    run.kill().unwrap();
    run.wait().unwrap();
    script(
        r#"
            on("one", |host| {
                let left = host.run(["ls", "-A", "/srv/u"], #{ reads: true }).stdout;
                assert(left == "" || left == "big", left);
            });
        "#,
    );
    converges(unpack);
    script("on(\"one\", |host| { host.pkg(\"tree\", #{ state: \"absent\" }); });");
    let install = "on(\"one\", |host| { host.pkg(\"tree\"); });";
    let mut run = midway(install, "tree");
    run.kill().unwrap();
    run.wait().unwrap();
    converges(install);
    script(
        r#"
            on("one", |host| {
                assert(host.run(["dpkg", "--audit"], #{ reads: true }).stdout == "", "half installed");
            });
        "#,
    );
}

#[test]
fn an_agent_that_may_run_nowhere_is_told_with_the_folders_and_raw_still_works() {
    let _turn = up();
    script(
        r#"
            on("one", |host| {
                host.raw("for d in /var/lib/mk/bin /run/mk/bin /root/.cache/mk; do mkdir -p $d; mount -t tmpfs -o noexec tmpfs $d; done");
            });
        "#,
    );
    let refused = mk(drill(), &["do", "one", "run", "true"]);
    let said = all(&refused);
    assert_eq!(refused.status.code(), Some(4), "{said}");
    assert!(
        said.contains("no folder for the agent allows programs to run: /var/lib/mk/bin /run/mk/bin /root/.cache/mk"),
        "{said}"
    );
    assert!(said.contains("hint: `host.raw(…)` works without an agent"), "{said}");
    // Where one folder will do, it is taken.
    script(
        r#"
            on("one", |host| {
                assert(host.raw("umount /root/.cache/mk && echo there").stdout == "there\n", "raw");
            });
        "#,
    );
    script("on(\"one\", |host| { host.run([\"true\"]); });");
    script("on(\"one\", |host| { host.raw(\"umount /var/lib/mk/bin /run/mk/bin\"); });");
    answers();
}

/// The drill with another way in, in a folder of its own.
fn otherwise(inventory: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("inventory.yml"), inventory).unwrap();
    folder
}

#[test]
fn sudo_that_is_missing_or_refuses_is_named_and_nothing_is_run() {
    let _turn = up();
    let key = std::fs::read_to_string(format!("{LAB}/id_ed25519.pub")).unwrap();
    script(&format!(
        r#"
            on("one", |host| {{
                host.user("plain", #{{ shell: "/bin/sh" }});
                host.authorized_key("plain", #{{ key: "{}" }});
                host.pkg("sudo", #{{ state: "absent" }});
            }});
        "#,
        key.trim()
    ));
    let way = format!("user: plain, keys: [{LAB}/id_ed25519], known_hosts: {LAB}/known_hosts");
    let plain = otherwise(&inventory(&way).replace("  one:\n", "  one:\n    become: root\n"));
    let missing = mk(plain.path(), &["do", "one", "run", "true"]);
    let said = all(&missing);
    assert_eq!(missing.status.code(), Some(4), "{said}");
    assert!(said.contains("sudo") && said.contains("not found"), "{said}");
    script(
        r#"
            on("one", |host| {
                host.pkg("sudo");
                host.copy("/etc/sudoers.d/plain", #{ content: "plain ALL=(ALL) ALL\n", mode: "0440" });
                host.run(["chpasswd"], #{ stdin: "plain:right-one\n" });
            });
        "#,
    );
    let none = mk(plain.path(), &["do", "one", "run", "true"]);
    assert_eq!(none.status.code(), Some(4), "{}", all(&none));
    assert!(all(&none).contains("sudo refused") && all(&none).contains("`-K` asks for the password"), "{}", all(&none));
    let asked = |password: &str| {
        let words = format!("{} do one run id -K -i inventory.yml", env!("CARGO_BIN_EXE_mk"));
        on_a_terminal(plain.path(), &words, &format!("{password}\n"))
    };
    let (code, said) = asked("wrong-one");
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("sudo refused the password"), "{said}");
    let (code, said) = asked("right-one");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("uid=0(root)") && !said.contains("right-one"), "{said}");
}

/// Runs a command line on a terminal of its own, answering what it asks.
fn on_a_terminal(folder: &Path, words: &str, answer: &str) -> (Option<i32>, String) {
    let mut child = Command::new("script")
        .args(["-qec", words, "/dev/null"])
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut said = Vec::new();
    let mut byte = [0];
    while !said.ends_with(b"password for sudo: ")
        && !said.ends_with(b"(yes/no) ")
        && stdout.read(&mut byte).unwrap() > 0
    {
        said.push(byte[0]);
    }
    // What is typed before the echo is off, just behind the question, would be shown, and may be thrown away.
    std::thread::sleep(Duration::from_millis(500));
    stdin.write_all(answer.as_bytes()).unwrap();
    stdout.read_to_end(&mut said).unwrap();
    (child.wait().unwrap().code(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn a_key_that_is_refused_and_a_host_key_that_changed_end_before_anything_is_run() {
    let _turn = up();
    let folder = otherwise("");
    let keygen = |name: &str| {
        let path = folder.path().join(name);
        let made =
            Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&path).status().unwrap();
        assert!(made.success());
        std::fs::read_to_string(path.with_extension("pub")).unwrap()
    };
    keygen("stranger");
    let other = keygen("other");
    let with = |key: &str, pins: &str| {
        let way = format!("user: root, keys: [{key}], known_hosts: {pins}");
        std::fs::write(folder.path().join("inventory.yml"), inventory(&way)).unwrap();
        let ran = mk(folder.path(), &["do", "one", "run", "touch", "/srv/never"]);
        (ran.status.code(), all(&ran))
    };
    let (code, said) = with("stranger", &format!("{LAB}/known_hosts"));
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("stranger"), "the refused key is not named: {said}");
    std::fs::write(folder.path().join("pins"), format!("10.73.1.11 {other}")).unwrap();
    let (code, said) = with(&format!("{LAB}/id_ed25519"), "pins");
    assert_eq!(code, Some(4), "{said}");
    for shown in ["expected ssh-ed25519 SHA256:", "got ssh-ed25519 SHA256:"] {
        assert!(said.contains(shown), "no `{shown}`: {said}");
    }
    script("on(\"one\", |host| { host.shell(\"test ! -e /srv/never\", #{ reads: true }); });");
    // Nothing known: the scan shows the keys and asks; `no` records nothing, `yes` does.
    let scan = format!("{} hostkeys scan one -i inventory.yml", env!("CARGO_BIN_EXE_mk"));
    std::fs::write(folder.path().join("pins"), "").unwrap();
    let pins = || std::fs::read_to_string(folder.path().join("pins")).unwrap();
    let (_, said) = on_a_terminal(folder.path(), &scan, "no\n");
    assert!(said.contains("SHA256:") && said.contains("(yes/no)") && said.contains("nothing was recorded"), "{said}");
    assert_eq!(pins(), "");
    let (code, said) = on_a_terminal(folder.path(), &scan, "yes\n");
    assert_eq!(code, Some(0), "{said}");
    // Names are recorded as digests; that it is the right one shows in the next run.
    assert_eq!(pins().lines().count(), said.matches("SHA256:").count(), "{said}");
    assert_eq!(with(&format!("{LAB}/id_ed25519"), "pins").0, Some(0));
    script("on(\"one\", |host| { host.file(\"/srv/never\", #{ state: \"absent\" }); });");
}

#[test]
fn removing_the_agent_refuses_to_lose_a_notified_step_and_then_leaves_nothing() {
    let _turn = up();
    script(
        r#"
            on("one", |host| {
                host.dir("/srv/d");
                host.run(["rm", "-f", "/srv/d/n", "/srv/d/ran"]);
            });
        "#,
    );
    let notified = r#"
        on("one", |host| {
            host.copy("/srv/d/n", #{ content: "x", notify: later("shell", "echo ran >> /srv/d/ran") });
            host.run(["sleep", "60"]);
        });
    "#;
    let mut run = midway(notified, "sleep 60");
    run.kill().unwrap();
    run.wait().unwrap();
    std::thread::sleep(Duration::from_secs(1));
    let refused = mk(drill(), &["agent", "remove", "one"]);
    assert_eq!(refused.status.code(), Some(1), "{}", all(&refused));
    assert!(all(&refused).contains("`shell echo ran >> /srv/d/ran`"), "{}", all(&refused));
    assert!(mk(drill(), &["do", "one", "run", "true"]).status.success());
    script(
        r#"
            on("one", |host| {
                assert(host.run(["cat", "/srv/d/ran"], #{ reads: true }).stdout == "ran", "not once");
            });
        "#,
    );
    let removed = mk(drill(), &["agent", "remove", "one"]);
    assert!(removed.status.success() && all(&removed).contains("removed"), "{}", all(&removed));
    std::fs::write(drill().join("p.rhai"), r#"
        on("one", |host| {
            log(host.raw("ls -d /var/lib/mk /run/mk /root/.cache/mk 2>/dev/null; pgrep -l mk-agent; echo end", #{ reads: true }).stdout);
        });
    "#).unwrap();
    let left = mk(drill(), &["run", "p.rhai"]);
    assert!(all(&left).lines().next().is_some_and(|line| line.trim().ends_with("end")), "{}", all(&left));
}
