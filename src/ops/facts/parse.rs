//! Facts out of files, without reading any.

use serde_json::{Value, json};

/// Reads an os-release file.
pub(super) fn os(text: &str) -> Value {
    let get = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
        Some(line.trim().trim_matches(['"', '\'']).to_owned())
    };
    let id = get("ID").unwrap_or_else(|| "linux".to_owned());
    let like = format!("{id} {}", get("ID_LIKE").unwrap_or_default());
    let families = ["debian", "rhel", "fedora", "suse", "arch", "alpine"];
    let family = families.into_iter().find(|family| like.split_whitespace().any(|word| word == *family));
    let family = if family == Some("fedora") { "rhel" } else { family.unwrap_or(&id) };
    json!({
        "id": id,
        "version_id": get("VERSION_ID"),
        "codename": get("VERSION_CODENAME"),
        "pretty_name": get("PRETTY_NAME"),
        "family": family,
    })
}

/// The name with a domain that a hosts file has for a host.
pub(super) fn fqdn(hosts: &str, name: &str) -> Option<String> {
    let names = hosts.lines().map(|line| line.split('#').next().unwrap_or_default().split_whitespace().skip(1));
    for names in names {
        let names: Vec<&str> = names.collect();
        let own = names.contains(&name);
        if let Some(full) = names.into_iter().find(|full| own && full.contains('.')) {
            return Some(full.to_owned());
        }
    }
    None
}

/// How many numbers are in a list such as `0-3,5`.
pub(super) fn count(numbers: &str) -> Option<usize> {
    numbers.split(',').try_fold(0, |sum, range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        Some(sum + last.checked_sub(first)? + 1)
    })
}

/// A field of meminfo in MiB.
pub(super) fn meminfo(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let kib: u64 = value.split_whitespace().next()?.parse().ok()?;
    Some(kib / 1024)
}

/// A local file system.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mount {
    /// Where it is.
    pub path: String,
    /// What it is on.
    pub device: String,
    /// The kind of file system.
    pub kind: String,
}

/// The local file systems in a table of mounts: those on a device, and whatever is the root, unless it comes
/// over a network.
pub(super) fn mounts(text: &str) -> Vec<Mount> {
    let remote = |kind: &str| {
        kind.starts_with("nfs")
            || kind.starts_with("fuse")
            || ["cifs", "smb3", "9p", "ceph", "afs", "glusterfs"].contains(&kind)
    };
    let read = |line: &str| {
        let mut fields = line.split(' ');
        let (device, path, kind) = (unescape(fields.next()?), unescape(fields.next()?), fields.next()?.to_owned());
        let local = device.starts_with("/dev/") || path == "/" || kind == "zfs";
        (local && !remote(&kind)).then_some(Mount { path, device, kind })
    };
    text.lines().filter_map(read).collect()
}

/// A field of the table of mounts, in which blanks are written as octal numbers.
fn unescape(field: &str) -> String {
    let codes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    codes.into_iter().fold(field.to_owned(), |text, (code, character)| text.replace(code, character))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distributions_belong_to_families() {
        let family = |text: &str| os(text)["family"].as_str().unwrap().to_owned();
        let ubuntu = "PRETTY_NAME=\"Ubuntu 24.04.1 LTS\"\nID=ubuntu\nID_LIKE=debian\nVERSION_ID=\"24.04\"\nVERSION_CODENAME=noble\n";
        assert_eq!((family(ubuntu).as_str(), os(ubuntu)["version_id"].as_str()), ("debian", Some("24.04")));
        assert_eq!(family("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n"), "rhel");
        assert_eq!(
            (family("ID=fedora\n"), family("ID=nixos\n"), family("")),
            ("rhel".into(), "nixos".into(), "linux".into())
        );
    }

    #[test]
    fn the_full_name_is_in_the_line_of_the_short_one() {
        let hosts = "127.0.0.1 localhost\n# 127.0.1.1 no.example web\n127.0.1.1\tweb.example.org web # me\n";
        assert_eq!(fqdn(hosts, "web").as_deref(), Some("web.example.org"));
        assert_eq!(fqdn(hosts, "localhost"), None);
    }

    #[test]
    fn lists_of_processors_are_counted() {
        assert_eq!((count("0-3,5"), count("0"), count("3-1"), count("x")), (Some(5), Some(1), None, None));
    }

    #[test]
    fn memory_is_in_mib() {
        let text = "MemTotal:       24684084 kB\nMemFree: 1 kB\nSwapTotal:             0 kB\n";
        assert_eq!(
            (meminfo(text, "MemTotal"), meminfo(text, "SwapTotal"), meminfo(text, "Mem")),
            (Some(24105), Some(0), None)
        );
    }

    #[test]
    fn only_local_file_systems_are_listed() {
        let text = "proc /proc proc rw 0 0\n/dev/vda1 / ext4 rw 0 0\nsrv:/x /mnt nfs4 rw 0 0\n/dev/vdb1 /a\\040b xfs rw 0 0\n\
                    overlay /var/lib/docker/overlay2/x/merged overlay rw 0 0\ntmpfs /run tmpfs rw 0 0\n";
        let paths: Vec<String> = mounts(text).into_iter().map(|mount| mount.path).collect();
        assert_eq!(paths, ["/", "/a b"]);
        assert_eq!(mounts("overlay / overlay rw 0 0").len(), 1);
    }
}
