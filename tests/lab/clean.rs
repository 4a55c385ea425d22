//! What mk made is taken away again, and nothing else: hosts before they become a cluster and after it is gone, compared
//! path by path. In a lab of its own, with an overlay; it goes down with the last test, whichever that is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use crate::needs::{Own, OwnTurn};
use crate::support::root;

const LAB: &str = "/var/lib/mk/clean";
const HOSTS: [(&str, &str); 3] =
    [("jumpbox", "10.79.1.10"), ("controller-1", "10.79.10.11"), ("worker-1", "10.79.21.11")];

/// What may differ afterwards, and why. A folder stands for all in it.
const EXCEPTIONS: [(&str, &str); 11] = [
    ("/var/log", "logs"),
    ("/var/cache/apt", "packages that were fetched"),
    ("/var/lib/apt", "the lists of packages"),
    ("/var/lib/dpkg/status-old", "dpkg's own copy of what was before its last change"),
    ("/var/cache/ldconfig", "made anew whenever a library comes or goes"),
    ("/etc/passwd-", "the system's own copy of what was before the last change"),
    ("/etc/group-", "the same"),
    ("/etc/shadow-", "the same"),
    ("/etc/gshadow-", "the same"),
    ("/var/lib/systemd", "its clock, and when its timers last ran"),
    ("/var/lib/containerd", "a mount of the lab's: containerd closes it to others, and mk only empties it"),
];

/// The lab, for a test that takes its turn.
fn up() -> OwnTurn {
    static CLEAN: Own = Own::of(include_str!("clean.rs"));
    CLEAN.up(raise, down)
}

fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("clean"))
}

/// Bare hosts, whatever an earlier run of these tests left.
fn raise() {
    std::fs::create_dir_all(folder()).unwrap();
    std::fs::copy(root().join("tests/lab/clean/inventory.yml"), folder().join("inventory.yml")).unwrap();
    for playbook in ["lab/down.rhai", "lab/up.rhai"] {
        well(&["run", &playbook_path(playbook)]);
    }
}

fn down() {
    well(&["run", &playbook_path("lab/down.rhai")]);
    assert!(!Path::new(LAB).join("hosts/worker-1").exists());
}

fn playbook_path(name: &str) -> String {
    root().join("playbooks").join(name).display().to_string()
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mk"));
    command.args(args).arg("-i").arg(folder()).current_dir(root()).env("MK_LOCK_WAIT", "60s");
    command
}

fn all(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Runs mk, which must succeed, and gives all it printed.
fn well(args: &[&str]) -> String {
    let output = command(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", all(&output));
    all(&output)
}

fn ssh(address: &str, stdin: Stdio, words: &[&str]) -> String {
    let key = format!("{LAB}/id_ed25519");
    let known = format!("UserKnownHostsFile={LAB}/known_hosts");
    let mut command = Command::new("ssh");
    command.args(["-i", &key, "-o", &known, "-o", "BatchMode=yes", &format!("root@{address}")]).args(words);
    let output = command.stdin(stdin).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", all(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// What is on a host, by path and kind of saying: over ssh, so that mk leaves nothing there by looking.
fn tree(address: &str) -> BTreeMap<String, Vec<String>> {
    let script = std::fs::File::open(root().join("tests/lab/clean/tree.sh")).unwrap();
    let mut tree: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in ssh(address, script.into(), &["sh", "-s"]).lines() {
        let (path, what) = line.split_once('\t').unwrap_or_else(|| panic!("`{line}` of {address}"));
        tree.entry(path.to_owned()).or_default().push(what.to_owned());
    }
    assert!(tree.len() > 10_000, "{address}: only {} paths", tree.len());
    tree
}

fn trees() -> BTreeMap<&'static str, BTreeMap<String, Vec<String>>> {
    HOSTS.map(|(name, address)| (name, tree(address))).into()
}

/// How two trees differ, but for the exceptions.
fn differences(before: &BTreeMap<String, Vec<String>>, after: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let excepted =
        |path: &str| EXCEPTIONS.iter().any(|(from, _)| path == *from || path.starts_with(&format!("{from}/")));
    let paths: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let differs = paths.into_iter().filter(|path| !excepted(path) && before.get(*path) != after.get(*path));
    differs.map(|path| format!("{path}: {:?} became {:?}", before.get(path), after.get(path))).collect()
}

fn ledger() -> String {
    well(&["ledger", "all"])
}

/// Builds the whole cluster. The smoke test may ask for a node port before kube-proxy has written it; then it is tried
/// once more.
fn built() {
    let playbook = playbook_path("all.rhai");
    if !command(&["run", &playbook]).output().unwrap().status.success() {
        well(&["run", &playbook]);
    }
}

#[test]
fn a_cluster_is_taken_away_with_all_that_mk_made_and_nothing_else() {
    let _turn = up();
    // What was there before mk came, in places where mk makes things too.
    let own = "mkdir -p /etc/containerd && echo own > /etc/containerd/own && groupadd --system own && mkdir -m 0755 /var/lib/kube-proxy";
    ssh("10.79.21.11", Stdio::null(), &[own]);
    ssh(
        "10.79.1.10",
        Stdio::null(),
        &[
            "apt-get -qq -o Dpkg::Use-Pty=0 install -y --no-install-recommends libpsl5 >/dev/null 2>&1 || { apt-get -qq update && apt-get -qq install -y --no-install-recommends libpsl5 >/dev/null; }",
        ],
    );
    well(&["agent", "remove", "all"]);
    let before = trees();
    built();
    let during = differences(&before["controller-1"], &tree("10.79.10.11"));
    assert!(during.len() > 100, "{during:?}");
    assert!(ledger().contains("systemd        kubelet.service started"), "{}", ledger());

    let cleanup = playbook_path("13-cleanup.rhai");
    let refused = command(&["run", &cleanup]).output().unwrap();
    let said = all(&refused);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    for lost in ["worker-1 with", "all data of the cluster in etcd", "the devices of the overlay", "-e confirm=clean"] {
        assert!(said.contains(lost), "no `{lost}`: {said}");
    }
    let known = ledger();
    let foretold = well(&["run", &cleanup, "-e", "confirm=clean", "--check"]);
    assert!(foretold.contains("would change worker-1       file /usr/local/bin/kubelet"), "{foretold}");
    assert_eq!(ledger(), known, "a check strikes nothing off");

    well(&["run", &cleanup, "-e", "confirm=clean"]);
    assert_eq!(ledger(), "");
    let again = well(&["run", &cleanup, "-e", "confirm=clean"]);
    assert!(again.contains("nothing changed on 3 hosts"), "{again}");
    well(&["agent", "remove", "all"]);
    let after = trees();
    for (host, _) in HOSTS {
        let left = differences(&before[host], &after[host]);
        assert!(left.is_empty(), "{host}:\n{}", left.join("\n"));
    }
}

/// Starts a script on worker-1, and gives it when its slow step runs.
fn midway(text: &str) -> std::process::Child {
    let script = folder().join("midway.rhai");
    std::fs::write(&script, text).unwrap();
    let child =
        command(&["run", script.to_str().unwrap()]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let begun = (0..200).any(|_| {
        std::thread::sleep(Duration::from_millis(50));
        ssh("10.79.21.11", Stdio::null(), &["test -e /srv/m/two && echo yes || echo no"]).trim() == "yes"
    });
    assert!(begun, "the slow step has not begun");
    child
}

#[test]
fn what_a_run_made_before_it_or_its_agent_was_killed_is_in_the_ledger() {
    let _turn = up();
    let text = r#"
        on("worker-1", |host| {
            host.dir("/srv/m/one");
            host.run(["sh", "-c", "mkdir /srv/m/two && sleep 30"], #{ creates: "/srv/m/two" });
        });
    "#;
    for (kill_agent, code) in [(false, None), (true, Some(1))] {
        let mut run = midway(text);
        if kill_agent {
            // All of them: the one that runs the step, and whatever it has started.
            ssh("10.79.21.11", Stdio::null(), &["kill -9 $(pgrep -f '[m]k/bin/agent-')"]);
        } else {
            run.kill().unwrap();
        }
        let ended = run.wait().unwrap();
        assert!(!ended.success() && (code.is_none() || ended.code().is_some()), "{ended}");
        // Any step that changes something takes the lock, and with it what could not be told.
        std::thread::sleep(Duration::from_secs(1));
        well(&["do", "worker-1", "run", "true"]);
        let made = well(&["ledger", "worker-1", "--by", "midway.rhai"]);
        for path in ["/srv/m ", "/srv/m/one ", "/srv/m/two "] {
            assert!(made.contains(&format!("dir            {path}")), "no `{path}` in {made}");
        }
        assert_eq!(made.lines().count(), 3, "{made}");
        well(&["prune", "worker-1", "--by", "midway.rhai", "--yes"]);
        assert_eq!(well(&["ledger", "worker-1", "--by", "midway.rhai"]), "");
        ssh("10.79.21.11", Stdio::null(), &["test ! -e /srv/m"]);
    }
}
