//! Packages of Debian and its kin, through `dpkg-query`, `apt-cache` and `apt-get`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use serde_json::json;

use super::{Found, Job, Wanted};
use crate::change::set_of;
use crate::error::{Error, Result};
use crate::sys::{Command, Hands, Probe, Ran};

/// A command of apt's that neither asks nor speaks another language.
fn quiet<S: Into<String>>(words: impl IntoIterator<Item = S>) -> Command {
    Command::parsed(words)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("APT_LISTCHANGES_FRONTEND", "none")
        .env("UCF_FORCE_CONFFOLD", "1")
        // Ubuntu would restart services on its own; what is restarted is for the playbook to say.
        .env("NEEDRESTART_MODE", "l")
}

pub(super) fn found(probe: &Probe, wanted: &[Wanted]) -> Result<BTreeMap<String, Found>> {
    let format = "--showformat=${Package}\\t${Architecture}\\t${db:Status-Abbrev}\\t${Version}\\n";
    let names = wanted.iter().map(|wanted| wanted.name.as_str());
    // Its status says that some names are not known, which is an answer.
    let text = probe.observe(&Command::parsed(["dpkg-query", "--show", format].into_iter().chain(names)))?.text();
    let mut found = parse_found(&text, wanted);
    if wanted.iter().any(|wanted| !found.contains_key(&wanted.name)) {
        let format = "--showformat=${db:Status-Abbrev}\\t${Provides}\\n";
        let text = probe.observe(&Command::parsed(["dpkg-query", "--show", format]))?.text();
        for wanted in wanted.iter().filter(|wanted| is_provided(&text, wanted.bare())) {
            found.entry(wanted.name.clone()).or_insert(Found::Provided);
        }
    }
    Ok(found)
}

/// Reads lines of name, architecture, status and version. Where several architectures are there, one that is
/// installed counts.
fn parse_found(text: &str, wanted: &[Wanted]) -> BTreeMap<String, Found> {
    let mut found = BTreeMap::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [name, architecture, status, version] = fields[..] else { continue };
        let state = match status.as_bytes() {
            [_, _, b'R', ..] | [_, b'H' | b'U' | b'F' | b'W' | b't', ..] => Found::Broken,
            [_, b'i', ..] => Found::Installed(version.to_owned()),
            [_, b'c', ..] => Found::Leftovers,
            _ => continue,
        };
        let full = format!("{name}:{architecture}");
        for wanted in wanted.iter().filter(|wanted| wanted.name == name || wanted.name == full) {
            let known: &mut Found = found.entry(wanted.name.clone()).or_insert(Found::Leftovers);
            if *known == Found::Leftovers {
                *known = state.clone();
            }
        }
    }
    found
}

/// Whether an installed package stands in for `name`, in lines of status and provided names.
fn is_provided(text: &str, name: &str) -> bool {
    let provides = |line: &str| match line.split_once('\t') {
        Some((status, names)) if status.as_bytes().get(1) == Some(&b'i') => {
            names.split(',').any(|entry| entry.split_whitespace().next() == Some(name))
        }
        _ => false,
    };
    text.lines().any(provides)
}

/// The newest versions that the host can get, by the names wished for.
pub(super) fn newest(probe: &Probe, wanted: &[Wanted]) -> Result<BTreeMap<String, String>> {
    let names = wanted.iter().map(|wanted| wanted.name.as_str());
    let command = Command::parsed(["apt-cache", "policy"].into_iter().chain(names));
    let ran = probe.observe(&command)?;
    if !ran.success() {
        return Err(failure(&command, &ran));
    }
    let candidates = parse_policy(&ran.text());
    // Of the host's own architecture apt shows the mere name.
    let of = |wanted: &Wanted| candidates.get(&wanted.name).or_else(|| candidates.get(wanted.bare())).cloned();
    Ok(wanted.iter().filter_map(|wanted| Some((wanted.name.clone(), of(wanted)?))).collect())
}

/// The candidates in what `apt-cache policy` prints; of a package that has none, what is installed.
fn parse_policy(text: &str) -> BTreeMap<String, String> {
    let mut candidates = BTreeMap::new();
    let mut name = "";
    for line in text.lines() {
        if let Some(header) = line.strip_suffix(':').filter(|header| !header.starts_with(' ')) {
            name = header;
            continue;
        }
        let version = ["Installed: ", "Candidate: "].into_iter().find_map(|key| line.trim_start().strip_prefix(key));
        if let Some(version) = version.filter(|version| *version != "(none)") {
            candidates.insert(name.to_owned(), version.to_owned());
        }
    }
    candidates
}

/// The first name that apt does not know as it stands: it would take it for a pattern, or for the wish to remove.
fn unheard_of<'a>(probe: &Probe, job: &'a Job) -> Result<Option<&'a str>> {
    let odd = |name: &&str| name.contains(['.', '+']) || name.ends_with('-');
    for name in job.wanted.iter().map(Wanted::bare).filter(odd) {
        let command = Command::parsed(["apt-cache", "-o", "APT::Cache::AllNames=true", "pkgnames", name]);
        let ran = probe.observe(&command)?;
        if !ran.success() {
            return Err(failure(&command, &ran));
        }
        if !ran.text().lines().any(|known| known == name) {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// Where mk notes that it fetched the lists: apt leaves no trace when there was nothing new.
fn stamp(probe: &Probe) -> PathBuf {
    probe.state_dir().join("apt-lists.json")
}

pub(super) fn lists_are_old(probe: &Probe, age: Duration) -> bool {
    let changed = |path: &Path| fs::metadata(path).and_then(|meta| meta.modified()).ok();
    let lists = Path::new("/var/lib/apt/lists");
    let names = probe.list(lists).ok().flatten().unwrap_or_default();
    // Images often come without any lists, in a directory that is quite new.
    if !names.iter().any(|name| name.contains("_Packages")) {
        return true;
    }
    let stamps = [stamp(probe), lists.to_owned(), "/var/lib/apt/periodic/update-success-stamp".into()];
    let fetched = stamps.iter().filter_map(|path| changed(path)).max();
    let folder = Path::new("/etc/apt/sources.list.d");
    let sources = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let sources =
        sources.chain([folder.to_owned(), "/etc/apt/sources.list".into()]).filter_map(|path| changed(&path)).max();
    is_old(fetched, sources, SystemTime::now(), age)
}

/// Whether lists fetched then are older than `age`, or than the sources they are fetched from.
fn is_old(fetched: Option<SystemTime>, sources: Option<SystemTime>, now: SystemTime, age: Duration) -> bool {
    let Some(fetched) = fetched else { return true };
    sources.is_some_and(|sources| sources > fetched) || now.duration_since(fetched).is_ok_and(|since| since > age)
}

/// Whether something of an installed package stays when it is removed: settings files, or what its own script removes
/// only when it is purged.
pub(super) fn leaves(probe: &Probe, name: &str) -> Result<bool> {
    let listed = probe.observe(&Command::parsed(["dpkg-query", "--control-list", name]))?.text();
    Ok(listed.lines().any(|file| matches!(file, "conffiles" | "postrm")))
}

/// Whether dpkg was stopped in the middle of something: what apt itself looks at.
fn is_interrupted(probe: &Probe) -> bool {
    let names = probe.list(Path::new("/var/lib/dpkg/updates")).ok().flatten().unwrap_or_default();
    names.iter().any(|name| name.bytes().all(|b| b.is_ascii_digit()))
}

/// The words of `apt-get` for installing.
fn install_words(job: &Job) -> Vec<String> {
    let mut words = begin(job, "install");
    words.push(if job.wish.recommends { "--install-recommends" } else { "--no-install-recommends" }.to_owned());
    if job.wanted.iter().any(|wanted| wanted.version.is_some()) {
        words.push("--allow-downgrades".to_owned());
    }
    let named = |wanted: &Wanted| match &wanted.version {
        Some(version) => format!("{}={version}", wanted.name),
        None => wanted.name.clone(),
    };
    words.extend(job.wanted.iter().map(named));
    words
}

/// The words of `apt-get` for removing.
fn remove_words(job: &Job) -> Vec<String> {
    let mut words = begin(job, if job.wish.purge { "purge" } else { "remove" });
    words.extend(job.wanted.iter().map(|wanted| wanted.name.clone()));
    words
}

fn begin(job: &Job, verb: &str) -> Vec<String> {
    let wait = format!("DPkg::Lock::Timeout={}", job.wish.lock_timeout.0.as_secs());
    let keep = ["-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold"];
    let words = ["apt-get", "-q", "-y", "-o", &wait].into_iter().chain(keep).chain([verb]);
    words.map(str::to_owned).collect()
}

pub(super) fn rehearse(probe: &Probe, job: &Job) -> Result {
    if is_interrupted(probe) {
        return Ok(());
    }
    let removes = job.wish.state == super::PkgState::Absent;
    let error = match if removes { None } else { unheard_of(probe, job)? } {
        Some(name) => not_there(name),
        None => {
            let mut words = if removes { remove_words(job) } else { install_words(job) };
            words.insert(1, "--simulate".to_owned());
            let command = quiet(words);
            let ran = probe.observe(&command)?;
            if ran.success() {
                return Ok(());
            }
            fault(&command, &ran)
        }
    };
    if !removes && lists_are_old(probe, job.wish.update.0) {
        return Err(Error::unknown(format!("the package lists are too old to know: {}", error.message())));
    }
    if probe.is_anything_planned() {
        return Err(Error::unknown(format!("unless an earlier step changes that, {}", error.message())));
    }
    Err(error)
}

pub(super) fn install(hands: &Hands, job: &Job) -> Result {
    repair(hands)?;
    let old = lists_are_old(hands, job.wish.update.0);
    if old {
        update(hands, job)?;
    }
    if job.wanted.is_empty() {
        return Ok(());
    }
    let before = all(hands)?;
    let done = unpack(hands, job, old);
    // Also after a failure: what came with the packages wanted is as much mk's own as they are.
    for name in all(hands)?.difference(&before).filter(|name| !job.wanted.iter().any(|wanted| wanted.name == **name)) {
        hands.made(super::installed(name));
    }
    done
}

/// The names of all packages that are there.
fn all(probe: &Probe) -> Result<BTreeSet<String>> {
    let format = "--showformat=${db:Status-Abbrev}\\t${binary:Package}\\n";
    let text = probe.observe(&Command::parsed(["dpkg-query", "--show", format]))?.text();
    let name = |line: &str| {
        line.split_once('\t')
            .filter(|(status, _)| !matches!(status.as_bytes().get(1), Some(b'n' | b'c')))
            .map(|(_, name)| name.to_owned())
    };
    Ok(set_of(text.lines().filter_map(name)))
}

/// Installs what is wanted; `old` says that the lists were just fetched.
fn unpack(hands: &Hands, job: &Job, old: bool) -> Result {
    if let Some(name) = unheard_of(hands, job)? {
        if old {
            return Err(not_there(name));
        }
        update(hands, job)?;
        return unpack(hands, job, true);
    }
    let command = Command { finish: true, ..quiet(install_words(job)) };
    let ran = hands.run(&command)?;
    if ran.success() {
        return Ok(());
    }
    // The lists can be young and yet name versions that are not on the mirror any more.
    if !old && is_about_lists(&String::from_utf8_lossy(&ran.stderr)) {
        update(hands, job)?;
        let ran = hands.run(&command)?;
        return if ran.success() { Ok(()) } else { Err(fault(&command, &ran)) };
    }
    Err(fault(&command, &ran))
}

pub(super) fn remove(hands: &Hands, job: &Job) -> Result {
    repair(hands)?;
    finished(hands, quiet(remove_words(job)))
}

/// Carries a command through that must succeed.
fn finished(hands: &Hands, command: Command) -> Result {
    let command = Command { finish: true, ..command };
    let ran = hands.run(&command)?;
    if ran.success() { Ok(()) } else { Err(failure(&command, &ran)) }
}

/// Finishes what was interrupted; nothing else works before.
fn repair(hands: &Hands) -> Result {
    if !is_interrupted(hands) {
        return Ok(());
    }
    let words = ["dpkg", "--force-confdef", "--force-confold", "--configure", "--pending"];
    finished(hands, quiet(words))
}

/// Fetches the lists, all of them. Their lock is another one than that of packages, and apt does not wait for it.
fn update(hands: &Hands, job: &Job) -> Result {
    let mut words = begin(job, "update");
    words.splice(1..1, ["-o", "APT::Update::Error-Mode=any"].map(str::to_owned));
    let command = quiet(words);
    let deadline = Instant::now() + job.wish.lock_timeout.0;
    loop {
        let ran = hands.run(&command)?;
        let said = String::from_utf8_lossy(&ran.stderr);
        // What does not know that option keeps the old list, warns, and calls it a success.
        let complete =
            !said.lines().any(|line| line.starts_with("W: Failed to fetch") || line.starts_with("W: Some index"));
        if ran.success() && complete {
            return hands.note(&stamp(hands), &json!({}));
        }
        let locked = said.contains("Could not get lock");
        if !locked || Instant::now() >= deadline {
            let message =
                format!("the lists of packages could not all be fetched: {}", failure(&command, &ran).message());
            return Err(Error::step(message).note(reason(&ran)).hint("`update` says how old they may be"));
        }
        hands.pause(Duration::from_secs(2))?;
    }
}

/// Whether newer lists could help.
fn is_about_lists(stderr: &str) -> bool {
    let signs = ["Unable to locate package", "was not found", "no installation candidate", "404  Not Found"];
    signs.iter().any(|sign| stderr.contains(sign))
}

/// The failure of an installation; one about a name says so in few words.
fn fault(command: &Command, ran: &Ran) -> Error {
    match unknown(&String::from_utf8_lossy(&ran.stderr)) {
        Some((message, hint)) => Error::step(message).hint(hint),
        None => failure(command, ran),
    }
}

/// The failure of a command, with the reason.
fn failure(command: &Command, ran: &Ran) -> Error {
    Error::step(format!("`{}` {}", command.shown(), ran.ending())).note(reason(ran))
}

/// The last lines of both streams: apt complains on one that it gives up, and tells on the other why.
fn reason(ran: &Ran) -> String {
    let text = String::from_utf8_lossy(&ran.stdout);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty() && !line.ends_with("...")).collect();
    let mut said = lines[lines.len().saturating_sub(20)..].join("\n");
    if !ran.stderr.iter().all(u8::is_ascii_whitespace) {
        said = format!("{said}\n{}", ran.tail());
    }
    said.trim_start_matches('\n').to_owned()
}

/// The fault of a name that apt does not know.
fn not_there(name: &str) -> Error {
    let (message, hint) = in_no_list(name);
    Error::step(message).hint(hint)
}

fn in_no_list(name: &str) -> (String, String) {
    (format!("no package `{name}` is in the host's package lists"), format!("`apt-cache search {name}` looks for it"))
}

/// The package that apt does not know, in words of ours, with what may help.
fn unknown(stderr: &str) -> Option<(String, String)> {
    stderr.lines().find_map(|line| {
        let line = line.strip_prefix("E: ")?;
        let quoted = || line.split('\'').skip(1).step_by(2).collect::<Vec<_>>();
        if let Some(name) = line.strip_prefix("Unable to locate package ") {
            return Some(in_no_list(name));
        }
        match quoted()[..] {
            [version, name] if line.starts_with("Version '") => Some((
                format!("package `{name}` is not to be had in version `{version}`"),
                format!("`apt-cache madison {name}` lists its versions"),
            )),
            [name] if line.ends_with("has no installation candidate") => Some((
                format!("package `{name}` is known, but nothing can be installed for it"),
                format!("`apt-cache showpkg {name}` lists what stands in for it"),
            )),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(names: &[&str]) -> Vec<Wanted> {
        names.iter().map(|name| Wanted::parse(name).unwrap()).collect()
    }

    #[test]
    fn what_dpkg_query_prints_is_read() {
        let text = "bash\tamd64\tii \t5.2.15-2+b8\nlibc6\ti386\tun \t\nlibc6\tamd64\thi \t2.36-9\nold\tall\trc \t1\nhalf\tall\tiF \t2\n";
        let found = parse_found(text, &wanted(&["bash", "libc6", "libc6:i386", "old", "half", "none"]));
        assert_eq!(found["bash"], Found::Installed("5.2.15-2+b8".into()));
        assert_eq!(found["libc6"], Found::Installed("2.36-9".into()));
        assert_eq!((&found["old"], &found["half"]), (&Found::Leftovers, &Found::Broken));
        assert!(!found.contains_key("none") && !found.contains_key("libc6:i386"));
    }

    #[test]
    fn stand_ins_count_when_they_are_installed() {
        let text = "ii \t\nii \tawk, mail-transport-agent (= 1.2)\nrc \tpager\n";
        assert!(is_provided(text, "awk") && is_provided(text, "mail-transport-agent"));
        assert!(!is_provided(text, "pager") && !is_provided(text, "mail"));
    }

    #[test]
    fn candidates_are_read() {
        let text = "bash:\n  Installed: 5.2.15-2+b8\n  Candidate: 5.2.15-2+b13\n  Version table:\n     5.2.15-2+b13 500\n        500 \
                    http://deb.example.org/debian bookworm/main amd64 Packages\n *** 5.2.15-2+b8 100\nawk:\n  Installed: (none)\n  Candidate: (none)\n";
        assert_eq!(parse_policy(text), BTreeMap::from([("bash".to_owned(), "5.2.15-2+b13".to_owned())]));
        // A pin that lets no version in leaves what is there.
        let pinned = parse_policy("bash:\n  Installed: 5.2.15-2+b8\n  Candidate: (none)\n");
        assert_eq!(pinned["bash"], "5.2.15-2+b8");
    }

    #[test]
    fn lists_grow_old_by_time_and_by_new_sources() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let day = Duration::from_secs(86_400);
        assert!(is_old(None, None, at(10), day));
        assert!(!is_old(Some(at(100)), Some(at(50)), at(200), day));
        assert!(is_old(Some(at(100)), Some(at(150)), at(200), day));
        assert!(is_old(Some(at(100)), None, at(100 + 86_401), day));
        assert!(!is_old(Some(at(300)), None, at(200), day), "a clock set back makes nothing old");
    }

    #[test]
    fn what_apt_does_not_know_is_named() {
        let message = |text: &str| unknown(text).map(|(message, _)| message).unwrap_or_default();
        assert_eq!(
            message("W: x\nE: Unable to locate package nosuch\n"),
            "no package `nosuch` is in the host's package lists"
        );
        assert_eq!(
            message("E: Version '9.9' for 'bash' was not found"),
            "package `bash` is not to be had in version `9.9`"
        );
        assert!(message("E: Package 'awk' has no installation candidate").starts_with("package `awk` is known"));
        assert_eq!(unknown("E: Sub-process /usr/bin/dpkg returned an error code (1)"), None);
    }

    #[test]
    fn the_command_asks_nothing_and_waits_for_others() {
        let wish = serde_json::from_str(r#"{ "names": ["a=1.2*", "b"] }"#).unwrap();
        let words = install_words(&Job { wanted: wanted(&["a=1.2*", "b"]), wish: &wish }).join(" ");
        assert_eq!(
            words,
            "apt-get -q -y -o DPkg::Lock::Timeout=120 -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold \
             install --no-install-recommends --allow-downgrades a=1.2* b"
        );
    }
}
