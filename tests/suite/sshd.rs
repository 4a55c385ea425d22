//! An sshd of a test's own, whose processes can be stopped and killed.

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::Place;

/// One host: an sshd at a port of its own, in a mount namespace of its own.
pub(crate) struct Sshd {
    child: Child,
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
}

/// Runs a program that the tests need.
pub(crate) fn tool(program: &str, words: &[&str]) -> String {
    let output = Command::new(program).args(words).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|e| panic!("cannot run `{program}`: {e}; install openssh and procps"));
    assert!(output.status.success(), "{program} {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The keys of a folder's sshds: one that they show, one that may log in.
pub(crate) fn keys(folder: &Path) {
    for name in ["host", "user"] {
        let path = folder.join(name);
        tool("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &path.display().to_string()]);
    }
    // sshd insists on the folder in which it separates its privileges.
    let _ = std::fs::create_dir_all("/run/sshd");
}

/// Hosts of a place, each with an sshd, and the inventory that names them.
pub(crate) fn hosts(place: &Place, names: &[&str]) -> Vec<Sshd> {
    keys(place.path());
    let hosts: Vec<Sshd> = names.iter().map(|_| Sshd::start(place.path())).collect();
    inventory(place, names, &hosts);
    hosts
}

/// Writes the inventory that names these hosts.
pub(crate) fn inventory(place: &Place, names: &[&str], hosts: &[Sshd]) {
    let dir = place.path().display();
    let key = std::fs::read_to_string(place.path().join("host.pub")).unwrap();
    let mut inventory = "hosts:\n".to_owned();
    for (name, sshd) in names.iter().zip(hosts) {
        inventory += &format!(
            "  {name}: {{ ways: [{{ ssh: {{ address: 127.0.0.1, port: {}, keys: [{dir}/user], host_keys: [\"{}\"] }} }}] }}\n",
            sshd.port,
            key.trim()
        );
    }
    place.file("inventory.yml", &inventory);
}

impl Sshd {
    /// Starts one with the keys of a folder.
    pub(crate) fn start(folder: &Path) -> Self {
        Self::start_with(folder, "")
    }

    /// The same, with more variables of what runs there, as `NAME=VALUE`.
    pub(crate) fn start_with(folder: &Path, environment: &str) -> Self {
        // What keeps runs apart on a host is in /run/mk, and what one leaves to the next in the agent's state; these are
        // several hosts.
        Self::start_in(folder, environment, "mkdir -p /run/mk && mount -t tmpfs mk /run/mk")
    }

    /// The same, with this script to make the machine that it is: it has mounts and a name of its own.
    pub(crate) fn start_in(folder: &Path, environment: &str, machine: &str) -> Self {
        let own = format!("set -e\n{machine}\nexec /usr/sbin/sshd -D -e -f \"$0\"");
        let dir = folder.display();
        // A port that was free a moment ago may be taken by now.
        for _ in 0..5 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let config = folder.join(format!("sshd-{port}"));
            let text = format!(
                "ListenAddress 127.0.0.1\nPort {port}\nHostKey {dir}/host\nAuthorizedKeysFile {dir}/user.pub\n\
                 StrictModes no\nUsePAM no\nPidFile none\nPasswordAuthentication no\n\
                 SetEnv MK_AGENT_STATE={dir}/agent-{port} {environment}\n"
            );
            std::fs::write(&config, text).unwrap();
            let child = Command::new("unshare")
                .args(["--mount", "--uts", "sh", "-c", &own, &config.display().to_string()])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap_or_else(|e| panic!("cannot run `unshare`: {e}; install `util-linux`"));
            let mut sshd = Self { child, port };
            if sshd.greets() {
                return sshd;
            }
        }
        panic!("sshd did not start; these tests need root and `openssh-server`");
    }

    /// A path of the machine that it is, as it is found from outside.
    pub(crate) fn inside(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.child.id()))
    }

    fn greets(&mut self) -> bool {
        let until = Instant::now() + Duration::from_secs(20);
        while Instant::now() < until && self.child.try_wait().unwrap().is_none() {
            let mut greeting = [0; 4];
            if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port))
                && stream.read_exact(&mut greeting).is_ok()
            {
                return &greeting == b"SSH-";
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }

    /// Sends a signal to the processes that serve connections, not to the one that accepts new ones.
    pub(crate) fn signal_sessions(&self, signal: &str) {
        let sessions: Vec<String> = sessions_under(self.child.id()).iter().map(ToString::to_string).collect();
        assert!(!sessions.is_empty(), "nobody is connected to the sshd at {}", self.port);
        let words: Vec<&str> = [signal].into_iter().chain(sessions.iter().map(String::as_str)).collect();
        tool("kill", &words);
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        // One that was stopped would not end with the others.
        for pid in sessions_under(self.child.id()) {
            let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).stderr(Stdio::null()).status();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The processes of sshd that a process started, and those that they started.
fn sessions_under(parent: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        // PID (NAME) STATE PARENT …, and the name may hold anything.
        let Some((before, after)) = stat.rsplit_once(')') else { continue };
        let of = after.split_whitespace().nth(1).and_then(|word| word.parse().ok());
        if of == Some(parent) && before.contains("(sshd") {
            found.push(pid);
            found.extend(sessions_under(pid));
        }
    }
    found
}
