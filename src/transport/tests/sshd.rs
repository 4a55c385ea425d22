//! The fixture: an `sshd` with its own configuration and keys, in a directory of its own.

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::text;
use crate::inventory::SshWay;
use crate::transport::Options;

pub(super) struct Sshd {
    child: Child,
    pub port: u16,
    pub dir: TempDir,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a program the tests need, naming the package when it is missing.
pub(super) fn tool(program: &str, package: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|e| panic!("cannot run `{program}`: {e}; install `{package}`"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "`{program} {}` failed: {said}", arguments.join(" "));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Makes a key pair.
pub(super) fn keygen(path: &Path, kind: &str, passphrase: &str) {
    let path = path.to_string_lossy();
    let bits = if kind == "rsa" { vec!["-b", "2048"] } else { vec![] };
    let arguments = [vec!["-q", "-t", kind, "-N", passphrase, "-C", "test", "-f", &path], bits].concat();
    tool("ssh-keygen", "openssh-client", &arguments);
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Sshd {
    /// Starts with an ed25519 host key, known to the client, and an ed25519 user key, allowed in.
    pub(super) fn start() -> Self {
        Self::with("")
    }

    /// The same with more lines in its configuration. `DIR` in them is the fixture's directory.
    pub(super) fn with(more: &str) -> Self {
        Self::prepared(more, |_| {})
    }

    /// The same after `prepare` has put more files into the directory.
    pub(super) fn prepared(more: &str, prepare: impl FnOnce(&Path)) -> Self {
        let dir = tempfile::Builder::new().prefix("mk-sshd-").tempdir().unwrap();
        let path = dir.path();
        // sshd insists on the mode of the directory it separates its privileges in.
        if rustix::process::getuid().is_root() {
            let _ = std::fs::create_dir_all("/run/sshd");
        }
        keygen(&path.join("host_ed25519"), "ed25519", "");
        keygen(&path.join("user_ed25519"), "ed25519", "");
        std::fs::copy(path.join("user_ed25519.pub"), path.join("authorized_keys")).unwrap();
        std::fs::write(path.join("ssh_config"), "Host *\n  IdentityAgent none\n  IdentityFile /nonexistent\n").unwrap();
        prepare(path);
        let more = more.replace("DIR", &path.to_string_lossy());
        // A port that was free a moment ago may be taken by now.
        for _ in 0..5 {
            let port = free_port();
            if let Some(child) = start(path, port, &more) {
                let sshd = Self { child, port, dir };
                sshd.know("host_ed25519.pub");
                return sshd;
            }
        }
        panic!("sshd did not start: {}", text(&path.join("log")));
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Makes the client know a host key of the fixture as this server's.
    pub(super) fn know(&self, public: &str) {
        let key = text(&self.path(public));
        self.known_hosts(&format!("[127.0.0.1]:{} {key}", self.port));
    }

    pub(super) fn known_hosts(&self, lines: &str) {
        std::fs::write(self.path("known_hosts"), lines).unwrap();
    }

    pub(super) fn ssh_config(&self, lines: &str) {
        std::fs::write(self.path("ssh_config"), lines).unwrap();
    }

    pub(super) fn public(&self, name: &str) -> String {
        text(&self.path(name)).trim().to_owned()
    }

    /// Options that see nothing of this machine's user.
    pub(super) fn options(&self) -> Options {
        Options {
            known_hosts: vec![self.path("known_hosts")],
            ssh_config: Some(self.path("ssh_config")),
            connect_timeout: Some(Duration::from_secs(20)),
            ..Options::default()
        }
    }

    pub(super) fn way(&self) -> SshWay {
        SshWay {
            address: Some("127.0.0.1".into()),
            port: Some(self.port),
            keys: vec![self.path("user_ed25519")],
            ..SshWay::default()
        }
    }

    /// How many logins the server has seen.
    pub(super) fn logins(&self) -> usize {
        text(&self.path("log")).matches("Accepted publickey for").count()
    }
}

fn start(dir: &Path, port: u16, more: &str) -> Option<Child> {
    let path = dir.to_string_lossy();
    let config = format!(
        "ListenAddress 127.0.0.1\nPort {port}\nHostKey {path}/host_ed25519\nAuthorizedKeysFile {path}/authorized_keys\n\
         StrictModes no\nUsePAM no\nPidFile none\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
         MaxStartups 100\nLogLevel VERBOSE\n{more}\n"
    );
    std::fs::write(dir.join("sshd_config"), config).unwrap();
    let log = std::fs::File::create(dir.join("log")).unwrap();
    let mut child = Command::new("/usr/sbin/sshd")
        .arg("-D")
        .arg("-e")
        .arg("-f")
        .arg(dir.join("sshd_config"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap_or_else(|e| panic!("cannot start `/usr/sbin/sshd`: {e}; install `openssh-server`"));
    let until = Instant::now() + Duration::from_secs(20);
    while Instant::now() < until {
        if child.try_wait().unwrap().is_some() {
            return None;
        }
        if greets(port) {
            return Some(child);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}

fn greets(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut greeting = [0; 4];
    stream.read_exact(&mut greeting).is_ok() && &greeting == b"SSH-"
}

/// Makes a file readable by its owner alone, as SSH wants private keys.
pub(super) fn private(path: &Path) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}
