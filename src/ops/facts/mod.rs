//! `facts`: what a host is.

mod net;
mod parse;

use std::path::Path;

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::error::{Context, Result};
use crate::op::{Danger, Example, Fact, Operation, Shows};
use crate::sys::{Command, Probe};

/// The longest file read for a fact, in bytes.
const LONGEST: u64 = 1024 * 1024;

/// Reads what a host is: its system, its machine, its network, its file systems, its clock.
///
/// Each fact is a field of the outcome, named as in `only`; what a host does not tell is `()`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "control", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct Facts {
    /// Read only these. All by default.
    #[serde(default = "all")]
    pub only: Vec<Section>,
}

/// One fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "control", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(super) enum Section {
    /// The distribution: `id`, `version_id`, `codename`, `pretty_name`, and `family`, such as `"debian"`.
    Os,
    /// The kernel's release.
    Kernel,
    /// The machine's architecture, such as `"x86_64"`.
    Arch,
    /// The name the kernel has for the host.
    Hostname,
    /// The host's name with its domain, as its hosts file gives it; otherwise its name.
    Fqdn,
    /// How many processors are in use.
    Cpus,
    /// Memory in MiB.
    MemoryMb,
    /// Swap space in MiB.
    SwapMb,
    /// What it runs in, as `systemd-detect-virt` says: `"kvm"`, `"lxc"`, …; `"none"` on bare metal.
    Virtualization,
    /// The name of process 1, such as `"systemd"`.
    Init,
    /// The version of control groups in use: 1 or 2.
    Cgroup,
    /// The machine id.
    MachineId,
    /// The network interfaces: `name`, `mac`, `mtu`, `up` and `addresses`, each with its prefix length.
    Interfaces,
    /// Where other networks are reached through: `interface`, `gateway` and the host's own `address` there.
    DefaultIpv4,
    /// The local file systems: `path`, `device`, `type`, `size_mb`, `free_mb`. Network mounts are left alone.
    Mounts,
    /// The clock: seconds since 1970, with a fraction.
    Time,
    /// Seconds since the host was started.
    Uptime,
    /// The program that installs packages, such as `"apt"`.
    PackageManager,
}

const ALL: [Section; 18] = [
    Section::Os,
    Section::Kernel,
    Section::Arch,
    Section::Hostname,
    Section::Fqdn,
    Section::Cpus,
    Section::MemoryMb,
    Section::SwapMb,
    Section::Virtualization,
    Section::Init,
    Section::Cgroup,
    Section::MachineId,
    Section::Interfaces,
    Section::DefaultIpv4,
    Section::Mounts,
    Section::Time,
    Section::Uptime,
    Section::PackageManager,
];

/// What is read when nothing is said.
fn all() -> Vec<Section> {
    ALL.to_vec()
}

/// A file's text; empty where there is none or it cannot be read: then a fact is not known, which is no fault.
fn text(probe: &Probe, path: &str) -> String {
    let bytes = probe.read(Path::new(path), LONGEST).ok().flatten().unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The first line of a file, if there is one.
fn line(probe: &Probe, path: &str) -> Option<String> {
    text(probe, path).lines().next().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty())
}

/// What a command prints when it is there and has something to say, whatever its exit status.
fn said(probe: &Probe, words: &[&str]) -> Option<String> {
    probe.program(words.first()?)?;
    let ran = probe.observe(&Command::parsed(words.iter().copied())).ok()?;
    Some(ran.text()).filter(|text| !text.is_empty())
}

fn seconds(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    let fraction = f64::from(u32::try_from(time.tv_nsec).unwrap_or(0)) / 1e9;
    // Exact to well below a microsecond for as long as clocks count from 1970.
    #[allow(clippy::cast_precision_loss)]
    let whole = time.tv_sec as f64;
    whole + fraction
}

impl Section {
    fn name(self) -> Result<String> {
        let name = serde_json::to_value(self).or_step(|| "a fact without a name".to_owned())?;
        Ok(name.as_str().unwrap_or_default().to_owned())
    }

    fn read(self, probe: &Probe) -> Value {
        let system = rustix::system::uname();
        let word = |text: &std::ffi::CStr| Value::from(text.to_string_lossy());
        match self {
            Self::Os => {
                let own = text(probe, "/etc/os-release");
                parse::os(&if own.is_empty() { text(probe, "/usr/lib/os-release") } else { own })
            }
            Self::Kernel => word(system.release()),
            Self::Arch => word(system.machine()),
            Self::Hostname => word(system.nodename()),
            Self::Fqdn => {
                let name = system.nodename().to_string_lossy().into_owned();
                parse::fqdn(&text(probe, "/etc/hosts"), &name).unwrap_or(name).into()
            }
            Self::Cpus => {
                let online = line(probe, "/sys/devices/system/cpu/online").and_then(|list| parse::count(&list));
                online.or_else(|| std::thread::available_parallelism().ok().map(usize::from)).into()
            }
            Self::MemoryMb => parse::meminfo(&text(probe, "/proc/meminfo"), "MemTotal").into(),
            Self::SwapMb => parse::meminfo(&text(probe, "/proc/meminfo"), "SwapTotal").into(),
            Self::Virtualization => virtualization(probe).into(),
            Self::Init => line(probe, "/proc/1/comm").into(),
            Self::Cgroup => if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() { 2 } else { 1 }.into(),
            Self::MachineId => line(probe, "/etc/machine-id").into(),
            Self::Interfaces => net::interfaces(probe),
            Self::DefaultIpv4 => net::default_ipv4(probe),
            Self::Mounts => mounts(probe),
            Self::Time => seconds(ClockId::Realtime).into(),
            Self::Uptime => seconds(ClockId::Boottime).into(),
            Self::PackageManager => {
                let known = [
                    ("apt-get", "apt"),
                    ("dnf", "dnf"),
                    ("yum", "yum"),
                    ("zypper", "zypper"),
                    ("pacman", "pacman"),
                    ("apk", "apk"),
                ];
                known.into_iter().find(|(program, _)| probe.program(program).is_some()).map(|(_, name)| name).into()
            }
        }
    }
}

fn virtualization(probe: &Probe) -> Option<String> {
    let told = said(probe, &["systemd-detect-virt"]);
    told.or_else(|| line(probe, "/run/systemd/container")).or_else(|| {
        let hypervisor =
            text(probe, "/proc/cpuinfo").lines().any(|line| line.starts_with("flags") && line.contains(" hypervisor"));
        hypervisor.then(|| "vm-other".to_owned())
    })
}

fn mounts(probe: &Probe) -> Value {
    let mounted = parse::mounts(&text(probe, "/proc/self/mounts"));
    let describe = |mount: parse::Mount| {
        // Only local file systems are asked: a server that is gone would not let the question return.
        let space = rustix::fs::statvfs(mount.path.as_str()).ok();
        let mb = |blocks: u64, size: u64| blocks.saturating_mul(size) / (1024 * 1024);
        json!({
            "path": mount.path,
            "device": mount.device,
            "type": mount.kind,
            "size_mb": space.as_ref().map(|space| mb(space.f_blocks, space.f_frsize)),
            "free_mb": space.as_ref().map(|space| mb(space.f_bavail, space.f_frsize)),
        })
    };
    mounted.into_iter().map(describe).collect()
}

impl Operation for Facts {
    const NAME: &'static str = "facts";
    const SUBJECT: &'static str = "only";
    const VALUES: &'static [&'static str] = &[
        "os",
        "kernel",
        "arch",
        "hostname",
        "fqdn",
        "cpus",
        "memory_mb",
        "swap_mb",
        "virtualization",
        "init",
        "cgroup",
        "machine_id",
        "interfaces",
        "default_ipv4",
        "mounts",
        "time",
        "uptime",
        "package_manager",
    ];
    const DANGER: Danger = Danger::Read;
    const SHOWS: Shows = Shows::All;
    const EXAMPLES: &'static [Example] = &[
        Example { title: "Everything.", code: "let system = host.facts().os.pretty_name;" },
        Example { title: "Only what is needed.", code: r#"let memory = host.facts(["memory_mb"]).memory_mb;"# },
    ];
}

impl Fact for Facts {
    fn read(&self, probe: &Probe) -> Result<Map<String, Value>> {
        self.only.iter().map(|section| Ok((section.name()?, section.read(probe)))).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::ALL;
    use crate::change::Status;
    use crate::op::contract::{Host, refusal};

    #[test]
    fn this_machine_tells_all_of_itself() {
        let read = Host::new().apply("facts", json!({}));
        assert_eq!((read.status, read.values.len()), (Status::Read, ALL.len()));
        assert!(read.values["cpus"].as_u64().unwrap() > 0 && read.values["memory_mb"].as_u64().unwrap() > 0);
        assert!(read.values["time"].as_f64().unwrap() > 1.7e9 && read.values["uptime"].as_f64().unwrap() > 0.0);
        let interfaces = read.values["interfaces"].as_array().unwrap();
        let lo = interfaces.iter().find(|interface| interface["name"] == "lo").unwrap();
        assert!(lo["addresses"].as_array().unwrap().contains(&json!("127.0.0.1/8")), "{lo}");
        assert!(
            read.values["mounts"].as_array().unwrap().iter().any(|mount| mount["path"] == "/"),
            "{:?}",
            read.values["mounts"]
        );
    }

    #[test]
    fn only_what_is_asked_for_is_read_and_all_are_known() {
        let read = Host::new().check("facts", json!({ "only": ["kernel", "arch"] }));
        assert_eq!(read.values.keys().collect::<Vec<_>>(), ["kernel", "arch"]);
        assert!(refusal("facts", json!({ "only": ["kernle"] })).contains("`package_manager`"));
    }
}
