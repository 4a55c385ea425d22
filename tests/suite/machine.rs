//! A host that can lose its power: an sshd with processes, mounts and boots of its own.
//!
//! `/run` is in memory and gone with each boot, as the processes and the kernel's boot id are; `/var/lib/mk` stays. What
//! the disk has of that is what was written, not only what was synced: nothing here forgets the kernel's cache. `/root`
//! is empty: a login that is killed in its middle must leave nothing in that of this machine, such as the lock of what a
//! shell starts there.

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::sshd::{keys, tool};
use crate::support::Place;

/// Makes the machine's own what is its own, and becomes its sshd.
const BOOT: &str = "set -e
mkdir -p /var/lib/mk
mount -t proc proc /proc
mount -t tmpfs run /run
mkdir -p /run/sshd
mount --bind \"$0/var\" /var/lib/mk
mount --bind \"$0/home\" /root
mount --bind \"$0/boot\" /proc/sys/kernel/random/boot_id
exec /usr/sbin/sshd -D -e -f \"$0/sshd_config\"";

pub(crate) struct Machine {
    folder: PathBuf,
    port: u16,
    boots: u32,
    child: Option<Child>,
}

impl Machine {
    /// The machine `h`, the only one of the inventory that is written beside it. Programs in `bin` of its folder stand
    /// before all others there.
    pub(crate) fn start(place: &Place) -> Self {
        let folder = place.path().join("h");
        for name in ["var", "bin", "home"] {
            std::fs::create_dir_all(folder.join(name)).unwrap();
        }
        keys(place.path());
        let (dir, own) = (place.path().display(), folder.display());
        // Not one that the kernel gives out: it must be free again after each boot.
        let begin = 20_000 + std::process::id() % 5_000;
        let mut ports = (begin..begin + 5_000).filter_map(|port| u16::try_from(port).ok());
        let port = ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap();
        let config = format!(
            "ListenAddress 127.0.0.1\nPort {port}\nHostKey {dir}/host\nAuthorizedKeysFile {dir}/user.pub\nStrictModes no\n\
             UsePAM no\nPidFile none\nPasswordAuthentication no\n\
             SetEnv PATH={own}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
        );
        std::fs::write(folder.join("sshd_config"), config).unwrap();
        let key = std::fs::read_to_string(place.path().join("host.pub")).unwrap();
        let way = format!(
            "address: 127.0.0.1, port: {port}, keys: [{dir}/user], host_keys: [\"{}\"], connect_attempts: 5",
            key.trim()
        );
        place.file("inventory.yml", &format!("hosts:\n  h: {{ ways: [{{ ssh: {{ {way} }} }}] }}\n"));
        let mut machine = Self { folder, port, boots: 0, child: None };
        machine.power_on();
        machine
    }

    /// What the agent keeps there over boots.
    pub(crate) fn state(&self) -> PathBuf {
        self.folder.join("var/agent")
    }

    /// A program of the machine's own.
    pub(crate) fn program(&self, name: &str, text: &str) {
        let path = self.folder.join("bin").join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Ends all its processes at once, without a word, and with them what it has in memory.
    pub(crate) fn power_off(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        // The kernel ends a namespace with its first process, and waits until the last one is gone.
        if let Some(init) = init(&child) {
            let _ = Command::new("kill").args(["-KILL", &init.to_string()]).stderr(Stdio::null()).status();
        }
        let _ = child.wait();
    }

    /// Boots it, and waits until it answers.
    pub(crate) fn power_on(&mut self) {
        self.boots += 1;
        std::fs::write(self.folder.join("boot"), format!("{:08x}-0000-4000-8000-000000000000\n", self.boots)).unwrap();
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", BOOT]).arg(&self.folder);
        let log = std::fs::File::create(self.folder.join("sshd.log")).unwrap();
        self.child = Some(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap());
        let until = Instant::now() + Duration::from_secs(20);
        while !greets(self.port) {
            let said = || std::fs::read_to_string(self.folder.join("sshd.log")).unwrap_or_default();
            assert!(Instant::now() < until, "no sshd; it needs root and `openssh-server`: {}", said());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The power goes away, and comes back.
    pub(crate) fn power_cut(&mut self) {
        self.power_off();
        self.power_on();
    }

    /// Kills the agents that serve a control side there now.
    pub(crate) fn kill_agents(&self) {
        signal("-KILL", &self.processes(|pid, _| words(pid).contains("/agent-")));
    }

    /// Signals the processes of sshd that serve connections, not the one that accepts new ones.
    pub(crate) fn signal_sessions(&self, which: &str) {
        let init = self.child.as_ref().and_then(init);
        signal(which, &self.processes(|pid, name| name.starts_with("sshd") && Some(pid) != init));
    }

    fn processes(&self, wanted: impl Fn(u32, &str) -> bool) -> Vec<u32> {
        let space = |pid: u32| std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
        let Some(own) = self.child.as_ref().and_then(init).and_then(space) else { return Vec::new() };
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let name = |pid: u32| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        pids.filter(|pid| space(*pid).as_ref() == Some(&own) && wanted(*pid, &name(*pid))).collect()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.power_off();
    }
}

/// The first process of a machine, as this one numbers it.
fn init(child: &Child) -> Option<u32> {
    let pid = child.id();
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

fn words(pid: u32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default().replace('\0', " ")
}

/// Some of them may be gone by now.
fn signal(which: &str, pids: &[u32]) {
    let pids = pids.iter().map(ToString::to_string);
    let _ = Command::new("kill").arg(which).args(pids).stderr(Stdio::null()).status();
}

fn greets(port: u16) -> bool {
    let mut greeting = [0; 4];
    TcpStream::connect(("127.0.0.1", port)).is_ok_and(|mut stream| {
        let _ = stream.set_read_timeout(Some(Duration::from_secs(2)));
        stream.read_exact(&mut greeting).is_ok() && &greeting == b"SSH-"
    })
}

#[test]
fn a_machine_without_power_forgets_what_is_in_memory_and_nothing_else() {
    let place = Place::new();
    let mut machine = Machine::start(&place);
    let key = place.path().join("user").display().to_string();
    let port = machine.port.to_string();
    let ssh = |command: &str| {
        let options = ["-p", &port, "-i", &key, "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"];
        tool("ssh", &[&options[..], &["-o", "LogLevel=ERROR", "127.0.0.1", command]].concat())
    };
    let boot = "cat /proc/sys/kernel/random/boot_id";
    let first = ssh(&format!("echo x > /run/memory; echo x > /var/lib/mk/disk; setsid sleep 600 >&- 2>&- & {boot}"));
    machine.power_cut();
    let second = ssh(&format!("ls /run/memory /var/lib/mk/disk 2>/dev/null; pgrep -x sleep; {boot}"));
    assert_eq!(second.trim().lines().collect::<Vec<_>>().len(), 2, "{second}");
    assert!(second.starts_with("/var/lib/mk/disk") && !second.contains(first.trim()), "{first}{second}");
}
