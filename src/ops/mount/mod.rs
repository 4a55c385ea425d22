//! `mount`: a file system, in `/etc/fstab` and mounted.

mod source;
mod table;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::json;

use self::table::{Entry, Mounted, mounted, place};
use crate::change::{Change, Thing};
use crate::error::{Error, Result};
use crate::op::{Danger, Effects, Example, Operation, Removal, Resource, Shows};
use crate::sys::{Command, Effect, Hands, Kind, Lines, Placement, Planned, Probe};

/// Keeps a file system in `/etc/fstab`, and mounts or unmounts it.
///
/// The file is replaced whole and all its other lines stay as they are. A mounted file system whose options have
/// changed is remounted; of those, the kernel's own flags (`ro`, `nosuid`, `nodev`, `noexec`, `noatime`, `nodiratime`) are
/// also compared with what is mounted. Such a flag goes where the options name its opposite, or no longer name it and
/// the old line of fstab did; one that neither names stays. Something else that is mounted there, of another type or
/// from another source, is never taken away: that stops the step. Another name of the same device is the same source.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "control", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct Mount {
    /// Absolute path of the directory to mount on. It is made when it is missing.
    pub path: PathBuf,
    /// `"mounted"` (in fstab and mounted), `"present"` (in fstab), `"unmounted"` (not mounted, fstab as it is) or
    /// `"absent"` (neither; the directory stays).
    #[serde(default)]
    pub state: MountState,
    /// What is mounted: a device, `UUID=…`, `LABEL=…`, or what the file system takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub src: Option<String>,
    /// The type of the file system, such as `"ext4"`; `"none"` with the option `bind` for a bind mount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fstype: Option<String>,
    /// The options, parted by commas. `"defaults"` by default.
    #[serde(default = "defaults")]
    pub options: String,
    /// Whether `dump` saves it: the fifth field of fstab. 0 by default.
    #[serde(default)]
    pub dump: u32,
    /// When it is checked at boot: the sixth field of fstab. 0 by default, which is never.
    #[serde(default)]
    pub pass: u32,
    /// The table. `/etc/fstab` by default.
    #[serde(default = "fstab")]
    pub fstab: PathBuf,
}

/// What is to be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "control", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(super) enum MountState {
    /// In fstab, and mounted.
    #[default]
    Mounted,
    /// Not mounted; fstab stays as it is.
    Unmounted,
    /// In fstab; mounted or not.
    Present,
    /// Neither in fstab nor mounted.
    Absent,
}

fn defaults() -> String {
    "defaults".to_owned()
}

fn fstab() -> PathBuf {
    "/etc/fstab".into()
}

/// A file system as it is or should be.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Found {
    /// Its line in fstab.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fstab: Option<String>,
    /// With which options it is mounted; its type where only that it is mounted matters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mounted: Option<String>,
}

/// The longest table that is read, in bytes.
const LONGEST: u64 = 4 * 1024 * 1024;

impl Mount {
    fn place(&self) -> String {
        place(&self.path.to_string_lossy()).to_owned()
    }

    fn wants_entry(&self) -> bool {
        matches!(self.state, MountState::Mounted | MountState::Present)
    }

    fn entry(&self) -> Entry {
        Entry {
            src: self.src.clone().unwrap_or_default(),
            path: self.place(),
            fstype: self.fstype.clone().unwrap_or_default(),
            options: self.options.clone(),
            dump: self.dump,
            pass: self.pass,
        }
    }

    fn table(&self, probe: &Probe) -> Result<Lines> {
        let bytes = probe.read(&self.fstab, LONGEST)?.unwrap_or_default();
        let text = String::from_utf8(bytes);
        let text = text.map_err(|_| Error::step(format!("`{}` is not a text in UTF-8", self.fstab.display())))?;
        Ok(Lines::of(&text))
    }

    fn is_own(&self, line: &str) -> bool {
        Entry::parse(line).is_some_and(|entry| entry.path == self.place())
    }

    /// The entry in the table.
    fn found_entry(&self, probe: &Probe) -> Result<Option<Entry>> {
        let table = self.table(probe)?;
        let mut own = table.bare().filter(|line| self.is_own(line)).filter_map(Entry::parse);
        let first = own.next();
        if own.next().is_some() {
            let shown = self.fstab.display();
            return Err(Error::step(format!("`{shown}` has several lines for `{}`", self.place())));
        }
        Ok(first)
    }

    /// What the kernel has there.
    fn live(&self, probe: &Probe) -> Result<Option<Mounted>> {
        let info = probe.read(Path::new("/proc/self/mountinfo"), LONGEST)?.unwrap_or_default();
        Ok(mounted(&String::from_utf8_lossy(&info), &self.place()))
    }

    fn mounted(&self, probe: &Probe, entry: Option<&Entry>) -> Result<Option<String>> {
        let Some(found) = self.live(probe)? else { return Ok(None) };
        if self.state != MountState::Mounted {
            return Ok(Some(found.fstype));
        }
        // A bind mount has the type of what is behind it, and `auto` leaves the type to the kernel.
        let wanted = self.fstype.as_deref().unwrap_or_default();
        if !matches!(wanted, "none" | "auto" | "bind") && found.fstype != wanted {
            return Err(self.in_the_way(&format!("a mounted {} already", found.fstype)));
        }
        let wanted = self.src.as_deref().unwrap_or_default();
        if !source::is_same(probe, &found, &self.place(), wanted, &self.options)? {
            let part = if found.root == "/" { String::new() } else { format!("`{}` of ", found.root) };
            return Err(self.in_the_way(&format!("{part}`{}` mounted, not `{wanted}`", found.source)));
        }
        // The table is written last, so an entry with other options means that they do not hold yet.
        let promised = entry.map(|entry| entry.options.clone()).filter(|options| found.fits(options));
        Ok(Some(promised.unwrap_or_else(|| found.options.join(","))))
    }

    /// The options of a remount, with the flags that nobody asks to go.
    fn remount(&self, probe: &Probe) -> Result<String> {
        let old = self.found_entry(probe)?.map(|entry| entry.options);
        let kept = self.live(probe)?.map(|found| found.kept(&self.options, old.as_deref())).unwrap_or_default();
        let words: Vec<&str> = ["remount"].into_iter().chain(kept).chain([self.options.as_str()]).collect();
        Ok(words.join(","))
    }

    /// The fault of something else that is mounted there.
    fn in_the_way(&self, what: &str) -> Error {
        let error = Error::step(format!("`{}` has {what}", self.place()));
        error.hint("unmount it in an earlier step: `state: \"unmounted\"`")
    }

    /// The table with this entry in the place of the old one, or without it.
    fn edited(&self, probe: &Probe, entry: Option<&Entry>) -> Result<String> {
        let mut lines = self.table(probe)?;
        let at = lines.bare().position(|line| self.is_own(line));
        match (at, entry) {
            (Some(at), Some(entry)) => lines.replace(at, &entry.line()),
            (Some(at), None) => lines.remove(at..=at),
            (None, Some(entry)) => {
                let end = lines.bare().len();
                lines.insert(end, [entry.line().as_str()]);
            }
            (None, None) => {}
        }
        Ok(lines.text())
    }

    fn write(&self, hands: &Hands, entry: Option<&Entry>) -> Result {
        let text = self.edited(hands, entry)?;
        hands.write(&self.fstab, text.as_bytes(), Placement::default())?;
        // systemd makes units of the table, and could act on old ones.
        if self.fstab == fstab() && Path::new("/run/systemd/system").exists() {
            hands.must(&Command::new(["systemctl", "daemon-reload"]))?;
        }
        Ok(())
    }
}

impl Operation for Mount {
    const NAME: &'static str = "mount";
    const SUBJECT: &'static str = "path";
    const DANGER: Danger = Danger::Destroy;
    const SHOWS: Shows = Shows::All;
    const REMOVAL: Removal = Removal::Absent;
    const PLACES: &'static [&'static str] = &["/etc/fstab"];
    const EXAMPLES: &'static [Example] = &[
        Example {
            title: "A file system in memory, now and at every boot.",
            code: r#"host.mount("/mnt/demo", #{ src: "tmpfs", fstype: "tmpfs", options: "size=1m,noexec,mode=0700" });"#,
        },
        Example {
            title: "With other options it is remounted.",
            code: r#"host.mount("/mnt/demo", #{ src: "tmpfs", fstype: "tmpfs", options: "size=2m,nosuid" });"#,
        },
        Example { title: "Not any more.", code: r#"host.mount("/mnt/demo", #{ state: "absent" });"# },
    ];

    fn validate(&self) -> Result {
        if !self.path.is_absolute() {
            return Err(Error::parameter("path", format!("must be absolute, not `{}`", self.path.display())));
        }
        if self.place() == "/" && matches!(self.state, MountState::Absent | MountState::Unmounted) {
            return Err(Error::playbook("refusing to unmount `/`"));
        }
        let given = |value: &Option<String>| value.as_ref().is_some_and(|value| !value.trim().is_empty());
        for (name, value) in [("src", &self.src), ("fstype", &self.fstype)] {
            if self.wants_entry() && !given(value) {
                return Err(Error::parameter(name, "is needed"));
            }
        }
        let odd = |text: &str| text.is_empty() || text.starts_with('-') || text.contains(char::is_whitespace);
        if odd(&self.options) || self.fstype.as_deref().is_some_and(odd) {
            return Err(Error::parameter("options", "and `fstype` are one word each"));
        }
        if self.src.as_ref().is_some_and(|src| src.starts_with(['-', '#']) || src.contains('\n')) {
            return Err(Error::parameter("src", "must be a device, or what the file system takes"));
        }
        Ok(())
    }
}

impl Resource for Mount {
    type State = Found;

    fn actual(&self, probe: &Probe) -> Result<Option<Found>> {
        let entry = self.found_entry(probe)?;
        let mounted = match self.state {
            MountState::Present => None,
            _ => self.mounted(probe, entry.as_ref())?,
        };
        let fstab = entry.filter(|_| self.state != MountState::Unmounted).map(|entry| entry.line());
        let found = Found { fstab, mounted };
        Ok(Some(found).filter(|found| found.fstab.is_some() || found.mounted.is_some()))
    }

    fn desired(&self, _actual: Option<&Found>) -> Result<Option<Found>> {
        let mounted = (self.state == MountState::Mounted).then(|| self.options.clone());
        Ok(self.wants_entry().then(|| Found { fstab: Some(self.entry().line()), mounted }))
    }

    fn fix(&self, hands: &Hands, change: &Change<Found>) -> Result {
        let place = self.place();
        let actual = change.actual.clone().unwrap_or_default();
        if !self.wants_entry() {
            if actual.mounted.is_some() {
                hands.must(&Command::parsed(["umount", "--", place.as_str()]))?;
            }
            return if actual.fstab.is_some() { self.write(hands, None) } else { Ok(()) };
        }
        let entry = self.entry();
        if self.state == MountState::Mounted && change.has("mounted") {
            if !self.path.is_dir() {
                hands.make_dir(&self.path, Placement::default(), true)?;
            }
            if actual.mounted.is_some() {
                // Without a source `mount` adds the options that the table has, which are the old ones.
                let options = self.remount(hands)?;
                let words = ["mount", "-o", options.as_str(), "--", entry.src.as_str(), place.as_str()];
                hands.must(&Command::parsed(words))?;
            } else {
                let mut words = vec!["mount", "-t", entry.fstype.as_str(), "-o", entry.options.as_str()];
                words.extend(["--", entry.src.as_str(), place.as_str()]);
                hands.must(&Command::parsed(words))?;
            }
        }
        // Last, so that a run killed before this point mounts once more.
        if change.has("fstab") { self.write(hands, Some(&entry)) } else { Ok(()) }
    }

    fn things(&self, state: Option<&Found>) -> Vec<Thing> {
        // Unmounting alone leaves its line in the table.
        let there = state.is_some() && self.state != MountState::Unmounted;
        let call = json!({ "path": self.path, "state": "absent", "fstab": self.fstab });
        there.then(|| Thing::new(Self::NAME, self.place(), call)).into_iter().collect()
    }

    fn effects(&self, desired: Option<&Found>) -> Effects {
        if self.state != MountState::Mounted || desired.is_none() {
            return Effects::new();
        }
        let dir = Planned { kind: Some(Kind::Dir), ..Planned::default() };
        let of_its_place = match self.path.exists() {
            true => Effect::Below(self.path.clone(), format!("`{}` is not mounted yet", self.place())),
            false => Effect::Path(self.path.clone(), dir),
        };
        // With effects on paths alone, only those would be remembered, and not that it is mounted.
        vec![of_its_place, Effect::Packages(Vec::new())]
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::change::Status;
    use crate::op::alone::alone;
    use crate::op::contract::{Host, refusal};

    const OTHERS: &str = "# keep\nUUID=1 / ext4 defaults 0 1\n\nproc\t/proc proc defaults";

    #[test]
    fn entries_come_change_and_go_and_all_other_lines_stay() {
        let host = Host::new();
        let table = host.put("fstab", OTHERS);
        let wish = |options: &str| {
            json!({ "path": host.path("a b"), "src": "tmpfs", "fstype": "tmpfs", "options": options,
                    "state": "present", "fstab": table })
        };
        let place = host.path("a b").display().to_string().replace(' ', "\\040");
        host.contract("mount", &[wish("ro"), wish("ro,noexec")]);
        assert_eq!(host.get("fstab"), format!("{OTHERS}\ntmpfs {place} tmpfs ro,noexec 0 0\n"));
        host.contract("mount", &[json!({ "path": host.path("a b"), "state": "absent", "fstab": table })]);
        assert_eq!(host.get("fstab"), format!("{OTHERS}\n"));
    }

    #[test]
    fn what_is_mounted_there_already_is_never_taken_away() {
        let host = Host::new();
        let table = host.put("fstab", OTHERS);
        let wish = json!({ "path": "/proc", "src": "tmpfs", "fstype": "tmpfs", "fstab": table });
        let error = host.try_apply("mount", wish).unwrap_err();
        assert_eq!(error.message(), "`/proc` has a mounted proc already");
        assert_eq!(host.get("fstab"), OTHERS);
    }

    #[test]
    fn what_is_mounted_is_remounted_with_the_options_asked_for() {
        alone(&[], |_| {
            let host = Host::new();
            let (table, place) = (host.put("fstab", OTHERS), "/home/mk-m");
            let wish = |options: &str| json!({ "path": place, "src": "tmpfs", "fstype": "tmpfs", "options": options, "fstab": table });
            host.contract("mount", &[wish("size=1m,noexec"), wish("size=1m,nosuid"), wish("ro,size=1m")]);
            let line = || {
                let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
                table.lines().find(|line| line.contains(place)).unwrap().to_owned()
            };
            assert!(line().contains(" ro,relatime "), "{}", line());
            // By hand, and with a flag that the table has not: nobody asks for it to go.
            std::process::Command::new("mount").args(["-o", "remount,ro,nosuid", place]).status().unwrap();
            assert_eq!(host.apply("mount", wish("ro,size=1m")).status, Status::Ok);
            host.contract("mount", &[wish("size=2m")]);
            assert!(line().contains(" rw,nosuid,relatime "), "{}", line());
            host.contract("mount", &[wish("suid,size=2m"), json!({ "path": place, "state": "unmounted" })]);
        });
    }

    #[test]
    fn another_source_is_a_fault_and_another_name_of_the_same_is_not() {
        alone(&[], |_| {
            let host = Host::new();
            let table = host.put("fstab", OTHERS);
            for name in ["a", "b", "at"] {
                std::fs::create_dir(host.path(name)).unwrap();
            }
            std::os::unix::fs::symlink("a", host.path("other-name")).unwrap();
            let wish = |src: &str| {
                json!({ "path": host.path("at"), "src": host.path(src), "fstype": "none", "options": "bind",
                        "fstab": table })
            };
            host.contract("mount", &[wish("a")]);
            let before = host.get("fstab");
            let error = host.try_apply("mount", wish("b")).unwrap_err();
            assert!(error.message().contains("mounted, not `"), "{error}");
            assert_eq!(error.hints(), ["unmount it in an earlier step: `state: \"unmounted\"`"]);
            assert_eq!(host.try_check("mount", wish("b")).unwrap_err().message(), error.message());
            assert_eq!(host.get("fstab"), before);
            host.contract("mount", &[wish("other-name"), json!({ "path": host.path("at"), "state": "unmounted" })]);
            assert_eq!(host.apply("mount", wish("b")).status, Status::Changed);
            host.apply("mount", json!({ "path": host.path("at"), "state": "absent", "fstab": table }));
        });
    }

    #[test]
    fn two_lines_for_one_place_are_a_fault() {
        let host = Host::new();
        let table = host.put("fstab", "a /x ext4\nb /x/ ext4\n");
        let wish = json!({ "path": "/x", "src": "a", "fstype": "ext4", "state": "present", "fstab": table });
        assert!(host.try_check("mount", wish).unwrap_err().message().ends_with("has several lines for `/x`"));
    }

    #[test]
    fn wishes_that_make_no_sense_are_refused() {
        let message = |args| refusal("mount", args);
        assert_eq!(message(json!({ "path": "/x" })), "mount: `src` is needed");
        assert!(message(json!({ "path": "/", "state": "absent" })).contains("refusing to unmount"));
        let odd = json!({ "path": "/x", "src": "a", "fstype": "ext4", "options": "ro, noexec" });
        assert!(message(odd).contains("one word"));
    }
}
