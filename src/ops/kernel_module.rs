//! `kernel_module`: a module of the kernel.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::change::Change;
use crate::error::{Error, Result};
use crate::op::{Danger, Example, Operation, Resource, Shows};
use crate::sys::{Command, Hands, Placement, Probe};

/// Loads a module of the kernel, now and at every boot.
///
/// One that is built into the kernel counts as loaded. What loads it at boot is `/etc/modules-load.d/mk-NAME.conf`,
/// and its options are in `/etc/modprobe.d/mk-NAME.conf`; options that change take effect when it is loaded the
/// next time. Absent removes both files and unloads it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "control", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct KernelModule {
    /// The module's name, such as `"br_netfilter"`.
    pub name: String,
    /// `"present"` or `"absent"`.
    #[serde(default)]
    pub state: ModuleState,
    /// Its options as one text, such as `"numdummies=2"`. Without it, options are not managed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<String>,
}

/// Whether the module is to be there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "control", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(super) enum ModuleState {
    /// It is to be loaded, now and at every boot.
    #[default]
    Present,
    /// It is not to be loaded.
    Absent,
}

/// A module as it is or should be.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Found {
    loaded: bool,
    at_boot: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    options: Option<String>,
}

/// The longest list of built-in modules that is read, in bytes.
const LONGEST: u64 = 4 * 1024 * 1024;

/// The lines of a configuration file that say something.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', ';']))
}

/// What only these modules bring with them: a built-in one may show in no other way.
const TRACES: &[(&str, &str)] =
    &[("br_netfilter", "/proc/sys/net/bridge"), ("nf_conntrack", "/proc/sys/net/netfilter"), ("tun", "/dev/net/tun")];

/// Names are equal whether they are written with dashes or with underscores.
fn same(a: &str, b: &str) -> bool {
    a.replace('-', "_") == b.replace('-', "_")
}

/// Whether a list of built-in modules, one path a line, has this one.
fn is_listed(list: &str, name: &str) -> bool {
    let stem = |line: &str| line.rsplit('/').next().and_then(|file| file.split(".ko").next()).map(str::to_owned);
    list.lines().filter_map(stem).any(|module| same(&module, name))
}

/// The options that a file of `modprobe` gives a module.
fn options(text: &str, name: &str) -> String {
    let of = lines(text).filter_map(|line| {
        let rest = line.strip_prefix("options")?.trim_start();
        let (module, options) = rest.split_once(char::is_whitespace)?;
        same(module, name).then(|| options.split_whitespace().collect::<Vec<_>>().join(" "))
    });
    of.collect::<Vec<_>>().join(" ")
}

/// Writes a file of ours, in a directory that a minimal system may lack.
fn write(hands: &Hands, file: &Path, text: &str) -> Result {
    if let Some(folder) = file.parent().filter(|folder| !folder.exists()) {
        hands.make_dir(folder, Placement::default(), true)?;
    }
    hands.write(file, text.as_bytes(), Placement { mode: Some(0o644), ..Placement::default() })
}

impl KernelModule {
    fn boot_file(&self) -> PathBuf {
        format!("/etc/modules-load.d/mk-{}.conf", self.name).into()
    }

    fn options_file(&self) -> PathBuf {
        format!("/etc/modprobe.d/mk-{}.conf", self.name).into()
    }

    fn options(&self) -> Option<String> {
        self.options.as_ref().map(|options| options.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    /// Whether it is part of the kernel itself. A built-in module without parameters is not in `/sys/module`, so
    /// the kernel's own list is asked, and for file systems, what the kernel can mount.
    fn is_built_in(&self, probe: &Probe) -> Result<bool> {
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        for root in ["/lib/modules", "/usr/lib/modules"] {
            let list = probe.read(&Path::new(root).join(&release).join("modules.builtin"), LONGEST)?;
            if list.is_some_and(|list| is_listed(&String::from_utf8_lossy(&list), &self.name)) {
                return Ok(true);
            }
        }
        // `/proc/modules` is there only where the kernel can load any.
        let loadable = probe.look(Path::new("/proc/modules"))?.is_some();
        let systems = probe.read(Path::new("/proc/filesystems"), LONGEST)?.unwrap_or_default();
        let systems = String::from_utf8_lossy(&systems).into_owned();
        let is_system = systems.lines().filter_map(|line| line.split_whitespace().last()).any(|fs| fs == self.name);
        Ok(!loadable && (is_system || self.is_in_sys(probe)? || self.has_trace(probe)?))
    }

    fn has_trace(&self, probe: &Probe) -> Result<bool> {
        let trace = TRACES.iter().find(|(module, _)| same(module, &self.name));
        trace.map_or(Ok(false), |(_, path)| Ok(probe.look(Path::new(path))?.is_some()))
    }

    fn is_in_sys(&self, probe: &Probe) -> Result<bool> {
        Ok(probe.look(&Path::new("/sys/module").join(self.name.replace('-', "_")))?.is_some())
    }

    fn load(&self, hands: &Hands) -> Result {
        let name = &self.name;
        if hands.program("modprobe").is_none() {
            let error =
                Error::step(format!("the module `{name}` is not loaded, and there is no `modprobe` to load it"));
            return Err(error.hint("the package `kmod` has it"));
        }
        let ran = hands.run(&Command::parsed(["modprobe", "--", name.as_str()]))?;
        if ran.success() {
            return Ok(());
        }
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        let error = Error::step(format!("the module `{name}` cannot be loaded into the kernel {release}"));
        let error = ran.tail().lines().fold(error, Error::because);
        let contained = Path::new("/run/systemd/container").exists() || Path::new("/.dockerenv").exists();
        Err(match contained {
            true => error.hint("this host is a container and shares its machine's kernel: load the module there"),
            false => error.hint(format!("`modinfo {name}` says whether this kernel has it")),
        })
    }
}

impl Operation for KernelModule {
    const NAME: &'static str = "kernel_module";
    const SUBJECT: &'static str = "name";
    const DANGER: Danger = Danger::Write;
    const SHOWS: Shows = Shows::All;
    const PLACES: &'static [&'static str] = &["/etc/modules-load.d", "/etc/modprobe.d"];
    const EXAMPLES: &'static [Example] = &[
        Example { title: "What container runtimes need.", code: r#"host.kernel_module("overlay");"# },
        Example { title: "Not any more.", code: r#"host.kernel_module("nfsv3", #{ state: "absent" });"# },
    ];

    fn validate(&self) -> Result {
        let odd = |c: char| !(c.is_ascii_alphanumeric() || "_-".contains(c));
        if self.name.is_empty() || self.name.starts_with('-') || self.name.contains(odd) {
            return Err(Error::playbook(format!("`{}` cannot be the name of a module", self.name)));
        }
        match &self.options {
            Some(_) if self.state == ModuleState::Absent => {
                Err(Error::parameter("options", "make no sense with absent"))
            }
            Some(text) if text.trim().is_empty() || text.contains('\n') => {
                Err(Error::parameter("options", "must be one line of text"))
            }
            _ => Ok(()),
        }
    }
}

impl Resource for KernelModule {
    type State = Found;

    fn actual(&self, probe: &Probe) -> Result<Option<Found>> {
        let text = |path: &Path| -> Result<Option<String>> {
            Ok(probe.read(path, LONGEST)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
        };
        let (boot, modprobe) = (text(&self.boot_file())?, text(&self.options_file())?);
        let built_in = self.is_built_in(probe)?;
        let loaded = built_in || self.is_in_sys(probe)?;
        if self.state == ModuleState::Absent {
            if built_in {
                let error = Error::step(format!("the module `{}` is built into the kernel", self.name));
                return Err(error.because("it cannot be unloaded"));
            }
            let anything = loaded || boot.is_some() || modprobe.is_some();
            let options = modprobe.map(|text| options(&text, &self.name));
            return Ok(anything.then_some(Found { loaded, at_boot: boot.is_some(), options }));
        }
        let at_boot = boot.is_some_and(|text| lines(&text).any(|line| same(line, &self.name)));
        Ok(Some(Found { loaded, at_boot, options: modprobe.map(|text| options(&text, &self.name)) }))
    }

    fn desired(&self, _actual: Option<&Found>) -> Result<Option<Found>> {
        let found = Found { loaded: true, at_boot: true, options: self.options() };
        Ok((self.state == ModuleState::Present).then_some(found))
    }

    fn fix(&self, hands: &Hands, change: &Change<Found>) -> Result {
        let Some(desired) = &change.desired else {
            hands.remove(&self.boot_file())?;
            hands.remove(&self.options_file())?;
            if change.actual.as_ref().is_some_and(|found| found.loaded) {
                hands.must(&Command::parsed(["modprobe", "-r", "--", self.name.as_str()]))?;
            }
            return Ok(());
        };
        if let Some(options) = desired.options.as_ref().filter(|_| change.has("options")) {
            write(hands, &self.options_file(), &format!("options {} {options}\n", self.name))?;
        }
        // With the options that it is to have, and before it is promised for the next boot.
        if change.has("loaded") {
            self.load(hands)?;
        }
        if change.has("at_boot") {
            write(hands, &self.boot_file(), &format!("{}\n", self.name))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::op::alone::alone;
    use crate::op::contract::{Host, refusal};

    #[test]
    fn loading_now_and_at_every_boot_holds_the_contract() {
        let modprobe = r#"[ "$*" = "-- mk_demo" ] && [ "$(cat /etc/modprobe.d/mk-mk_demo.conf)" = "options mk_demo a=1" ] || unexpected "$@"
mkdir /sys/module/mk_demo"#;
        alone(&[("modprobe", modprobe)], |folder| {
            let host = Host::new();
            let wish = |options: &str| json!({ "name": "mk_demo", "options": options });
            // Other options are for the next time that it is loaded.
            host.contract("kernel_module", &[wish("a=1"), wish("a=1 b=2")]);
            // A kernel that was booted without it.
            std::fs::remove_dir(folder.join("modules/mk_demo")).unwrap();
            host.contract("kernel_module", &[json!({ "name": "mk_demo", "state": "absent" })]);
            assert!(!Path::new("/etc/modprobe.d/mk-mk_demo.conf").exists());
        });
    }

    #[test]
    fn built_in_modules_are_found_in_the_kernels_list() {
        let list = "kernel/fs/overlayfs/overlay.ko\nkernel/net/bridge/br-netfilter.ko.xz\n";
        assert!(is_listed(list, "overlay") && is_listed(list, "br_netfilter") && !is_listed(list, "bridge"));
    }

    #[test]
    fn options_are_read_as_modprobe_reads_them() {
        let text = "# x\noptions  dummy numdummies=2   a=b\noptions other c=d\noptions dummy e=f\n";
        assert_eq!(options(text, "dummy"), "numdummies=2 a=b e=f");
        assert_eq!(options(text, "none"), "");
    }

    #[test]
    fn a_module_that_no_kernel_has_is_a_fault_that_says_so_and_leaves_nothing() {
        let wish = json!({ "name": "mk_no_such_module" });
        let error = Host::new().try_apply("kernel_module", wish).unwrap_err();
        assert!(error.message().starts_with("the module `mk_no_such_module` "), "{error}");
        assert!(!Path::new("/etc/modules-load.d/mk-mk_no_such_module.conf").exists());
    }

    #[test]
    fn a_check_foresees_what_is_to_be_loaded() {
        let diff = Host::new().check("kernel_module", json!({ "name": "mk_no_such_module" })).diff.unwrap();
        let names: Vec<_> = diff.fields.iter().map(|field| field.name.as_str()).collect();
        assert_eq!(names, ["loaded", "at_boot"]);
    }

    #[test]
    fn names_that_are_none_are_refused() {
        assert!(refusal("kernel_module", json!({ "name": "../x" })).contains("cannot be the name"));
        assert!(refusal("kernel_module", json!({ "name": "-r" })).contains("cannot be the name"));
        assert!(refusal("kernel_module", json!({ "name": "x", "options": "a\nb" })).contains("one line"));
    }
}
