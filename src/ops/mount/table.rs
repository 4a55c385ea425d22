//! The two tables of mounts: what `/etc/fstab` asks for, and what the kernel has.

use crate::sys::unescaped;

/// The kernel's flags that a remount takes away where it does not name them.
const FLAGS: [&str; 5] = ["nosuid", "nodev", "noexec", "noatime", "nodiratime"];

/// One line of an fstab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub src: String,
    pub path: String,
    pub fstype: String,
    pub options: String,
    pub dump: u32,
    pub pass: u32,
}

/// A word as both tables write it: what would end the word, or look like an escape, is in octal.
pub(super) fn escaped(word: &str) -> String {
    word.chars().fold(String::new(), |mut text, c| {
        match c {
            ' ' | '\t' | '\n' | '\\' => text.push_str(&format!("\\{:03o}", u32::from(c))),
            c => text.push(c),
        }
        text
    })
}

/// The word behind an escaped one.
fn plain(word: &str) -> String {
    String::from_utf8_lossy(&unescaped(word.as_bytes())).into_owned()
}

/// A path without a slash at its end, so that the same place is the same text.
pub(super) fn place(path: &str) -> &str {
    match path.trim_end_matches('/') {
        "" => "/",
        path => path,
    }
}

impl Entry {
    /// What a line says; `None` for a comment or something else.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let line = line.trim_start();
        let mut words = line.split_whitespace().filter(|_| !line.starts_with('#'));
        let (src, path, fstype) = (plain(words.next()?), plain(words.next()?), plain(words.next()?));
        let options = words.next().map_or_else(|| "defaults".to_owned(), plain);
        let mut number = || words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
        let (dump, pass) = (number(), number());
        Some(Self { src, path: place(&path).to_owned(), fstype, options, dump, pass })
    }

    /// The line.
    pub(super) fn line(&self) -> String {
        let words = [&self.src, &self.path, &self.fstype, &self.options].map(|word| escaped(word));
        format!("{} {} {}", words.join(" "), self.dump, self.pass)
    }
}

/// What the kernel has mounted at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mounted {
    /// The device's number, as `major:minor`.
    pub device: String,
    /// What of the file system is seen there: `/` is all of it.
    pub root: String,
    pub fstype: String,
    /// Where it comes from, in the words of whoever mounted it.
    pub source: String,
    pub options: Vec<String>,
}

/// The topmost mount at a path, in a `mountinfo`.
pub(super) fn mounted(mountinfo: &str, path: &str) -> Option<Mounted> {
    let of = |line: &str| {
        let (before, after) = line.split_once(" - ")?;
        let words: Vec<&str> = before.split(' ').collect();
        if plain(words.get(4)?) != path {
            return None;
        }
        let options = words.get(5)?.split(',').map(str::to_owned).collect();
        let mut after = after.split(' ');
        let (fstype, source) = (after.next()?.to_owned(), plain(after.next().unwrap_or_default()));
        Some(Mounted { device: (*words.get(2)?).to_owned(), root: plain(words.get(3)?), fstype, source, options })
    };
    mountinfo.lines().rev().find_map(of)
}

impl Mounted {
    /// Whether it is as the options ask for, as far as the kernel's own flags go: each of them stands in the
    /// table or not, while what a file system makes of its own options cannot be compared as text. Flags besides may be
    /// the doing of whoever mounted it, or of a kernel that does not give them up.
    pub(super) fn fits(&self, options: &str) -> bool {
        let has = |flag: &str| self.options.iter().any(|option| option == flag);
        options.split(',').all(|wanted| match wanted {
            "ro" | "rw" | "nosuid" | "nodev" | "noexec" | "noatime" | "nodiratime" => has(wanted),
            "suid" | "dev" | "exec" | "atime" => !has(&format!("no{wanted}")),
            _ => true,
        })
    }

    /// The flags that stay when it is remounted with these options, which do not name them: those that the options do
    /// not ask to go either, and that the `old` ones of the table did not bring.
    pub(super) fn kept(&self, options: &str, old: Option<&str>) -> Vec<&'static str> {
        let has = |flag: &str| self.options.iter().any(|option| option == flag);
        let brought = |flag: &str| old.is_some_and(|old| asks(old, flag));
        let named = |flag: &str| asks(options, flag) || options.split(',').any(|option| ends(option, flag));
        FLAGS.into_iter().filter(|flag| has(flag) && !brought(flag) && !named(flag)).collect()
    }
}

/// Whether an option asks for a flag to go.
fn ends(option: &str, flag: &str) -> bool {
    let other_time = flag == "noatime" && matches!(option, "relatime" | "strictatime");
    other_time || flag.strip_prefix("no") == Some(option)
}

/// Whether options ask for a flag, by its name or by one that brings it.
fn asks(options: &str, flag: &str) -> bool {
    options.split(',').fold(false, |asked, option| match option {
        option if option == flag => true,
        "user" | "users" => asked || !flag.ends_with("time"),
        "owner" | "group" => asked || matches!(flag, "nosuid" | "nodev"),
        "defaults" => asked && flag.ends_with("time"),
        option => asked && flag.strip_prefix("no") != Some(option),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_are_read_with_blanks_escapes_and_what_may_be_left_out() {
        let entry = Entry::parse(" UUID=1\t/mnt/a\\040b/  ext4 ").unwrap();
        assert_eq!((entry.path.as_str(), entry.options.as_str(), entry.pass), ("/mnt/a b", "defaults", 0));
        assert_eq!(entry.line(), "UUID=1 /mnt/a\\040b ext4 defaults 0 0");
        assert_eq!((Entry::parse("# /dev/x /y ext4"), Entry::parse("")), (None, None));
    }

    #[test]
    fn the_topmost_mount_counts() {
        let table = "1 0 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
                     2 1 0:5 / /mnt/a\\040b rw,nosuid - tmpfs tmpfs rw\n\
                     3 2 0:6 / /mnt/a\\040b ro,noexec shared:7 - ext4 /dev/sdb ro\n";
        let top = mounted(table, "/mnt/a b").unwrap();
        let parts = (top.device.as_str(), top.root.as_str(), top.fstype.as_str(), top.source.as_str());
        assert_eq!(parts, ("0:6", "/", "ext4", "/dev/sdb"));
        assert!(top.fits("defaults,ro,noexec,data=ordered") && !top.fits("rw") && !top.fits("exec"));
        assert_eq!(mounted(table, "/mnt"), None);
    }

    #[test]
    fn a_flag_that_nobody_asked_for_stays_unless_the_table_had_it() {
        let top = mounted("1 0 0:5 / /x rw,nosuid,noexec - tmpfs tmpfs rw\n", "/x").unwrap();
        assert!(top.fits("nosuid,noexec") && top.fits("user") && top.fits("defaults") && top.fits("size=1m"));
        assert!(!top.fits("nodev") && !top.fits("noexec,exec,nosuid"));
        assert_eq!(top.kept("size=1m", None), ["nosuid", "noexec"]);
        assert_eq!(top.kept("size=1m", Some("size=2m")), ["nosuid", "noexec"]);
        assert_eq!(top.kept("size=1m", Some("nosuid")), ["noexec"]);
        assert_eq!(top.kept("exec", None), ["nosuid"]);
        assert_eq!(top.kept("noexec", Some("owner")), Vec::<&str>::new());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(src in "[a-z/\\\\ \t=]{1,8}", path in "/[a-z \\\\]{1,8}") {
            let path = place(&path).to_owned();
            let entry = Entry { src, path, fstype: "ext4".into(), options: "ro".into(), dump: 0, pass: 2 };
            prop_assert_eq!(Entry::parse(&entry.line()), Some(entry));
        }

        #[test]
        fn no_text_makes_the_readers_panic(text in "\\PC{0,40}") {
            let _ = (Entry::parse(&text), mounted(&text, "/"));
        }
    }
}
