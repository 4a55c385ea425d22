//! What mk made on hosts and has not taken away again.
//!
//! One file a host, a line for each thing made or gone, only ever added to; it is written anew, without what is gone,
//! when a run begins to write to it and most of it is old. What was on a host before mk is never in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::StateDir;
use crate::change::digest;
use crate::error::{Context, Error, Kind, Result};

/// How many lines may be old before a file is written anew.
const OLD_LINES: usize = 200;

/// How many lines a host's file may have: what a host says it made grows it, and one that never ends is failed alone.
const MOST_LINES: usize = if cfg!(test) { 5000 } else { 1_000_000 };

/// How long such a file may be, in bytes: a host may say of one thing as much as a message holds.
const MOST_BYTES: u64 = if cfg!(test) { 2 << 20 } else { 256 << 20 };

/// A thing that mk made on a host, and the call that takes it away again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The operation that takes it away.
    pub op: String,
    /// What it is called: a path, a user's name.
    pub subject: String,
    /// The parameters with which the operation takes it away.
    pub args: Map<String, Value>,
    /// The user to act as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// `FILE:LINE` of the call that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// When, in seconds since 1970.
    pub at: i64,
}

/// A line of a host's file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// The machine's own id, first of all.
    Machine(String),
    /// A thing was made.
    Made(Entry),
    /// A thing is there no more.
    Gone {
        /// As of the entry.
        op: String,
        /// As of the entry.
        subject: String,
    },
    /// Nothing is at this path any more, nor below it.
    Below(PathBuf),
}

/// What one file says.
#[derive(Debug, Default)]
struct Known {
    machine: String,
    entries: Vec<Entry>,
    lines: usize,
}

/// The ledger of an inventory's hosts.
#[derive(Debug)]
pub struct Ledger {
    state: StateDir,
    id: String,
    /// The hosts whose files this run has looked through, with how many lines these have.
    begun: Mutex<BTreeMap<String, usize>>,
    /// Those whose files are not on disk for certain.
    unsynced: Mutex<BTreeSet<String>>,
}

impl StateDir {
    /// The ledger of the inventory's hosts, whichever project made something on them.
    pub fn ledger(&self) -> Ledger {
        let state = self.of_hosts();
        let machine = fs::read_to_string("/etc/machine-id").unwrap_or_default();
        let id = digest(format!("{} {}", machine.trim(), state.folder.display()).as_bytes())[..16].to_owned();
        Ledger { state, id, begun: Mutex::default(), unsynced: Mutex::default() }
    }
}

impl Ledger {
    /// A name that no other ledger has, on this machine or elsewhere.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The hosts that it has something of.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn hosts(&self) -> Result<Vec<String>> {
        let folder = self.state.folder.join("ledger");
        let entries = match fs::read_dir(&folder) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.or_kind(Kind::Internal, || format!("cannot read `{}`", folder.display()))?,
        };
        let name = |entry: fs::DirEntry| entry.file_name().to_str()?.strip_suffix(".jsonl").map(str::to_owned);
        let mut names: Vec<String> = entries.flatten().filter_map(name).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// What mk made on a host and has not taken away, in the order of its making. Where the machine's id is given,
    /// nothing of another machine is told: that one is gone, and this one has its name.
    ///
    /// # Errors
    /// When the file cannot be read, or is not what mk wrote.
    pub fn made(&self, host: &str, machine: Option<&str>) -> Result<Vec<Entry>> {
        let known = self.read(host)?;
        let other = machine.is_some_and(|machine| !same_machine(machine, &known.machine));
        Ok(if other { Vec::new() } else { known.entries })
    }

    /// Adds lines to a host's file. They are safe from the end of this process, and after [`Ledger::sync`] from a
    /// loss of power.
    ///
    /// # Errors
    /// When the file cannot be written, or is not what mk wrote.
    pub fn note(&self, host: &str, machine: &str, lines: &[Line]) -> Result {
        if lines.is_empty() {
            return Ok(());
        }
        let _lock = self.state.lock()?;
        let known = lock(&self.begun).get(host).copied();
        let all = lines.len() + known.map_or_else(|| self.begin(host, machine), Ok)?;
        let path = self.path(host);
        let failed = || format!("cannot write mk's state `{}`", path.display());
        let mut file = File::options().append(true).open(&path).or_kind(Kind::Internal, failed)?;
        let (text, before) = (text(lines)?, file.metadata().or_kind(Kind::Internal, failed)?.len());
        let too_much = match () {
            () if all > MOST_LINES => Some(format!("of more than {MOST_LINES} things")),
            () if before + text.len() as u64 > MOST_BYTES => Some(format!("in more than {MOST_BYTES} bytes")),
            () => None,
        };
        if let Some(too_much) = too_much {
            return Err(Error::step(format!("the host says {too_much} that it made them"))
                .hint("`mk prune` takes things away; a host that goes on saying so is not what it seems"));
        }
        lock(&self.begun).insert(host.to_owned(), all);
        file.write_all(text.as_bytes()).or_kind(Kind::Internal, failed)?;
        lock(&self.unsynced).insert(host.to_owned());
        Ok(())
    }

    /// Has everything written so far outlast a loss of power. A disk that cannot do that is no fault of the run.
    pub fn sync(&self) {
        for host in std::mem::take(&mut *lock(&self.unsynced)) {
            if let Ok(file) = File::open(self.path(&host)) {
                let _ = file.sync_data();
            }
        }
    }

    fn name(host: &str) -> String {
        format!("ledger/{host}.jsonl")
    }

    fn path(&self, host: &str) -> PathBuf {
        self.state.folder.join(Self::name(host))
    }

    fn read(&self, host: &str) -> Result<Known> {
        let text = self.state.read(&Self::name(host))?.unwrap_or_default();
        parse(&text).map_err(|e| {
            let path = self.path(host);
            Error::new(Kind::Internal, format!("mk's state `{}` is damaged", path.display())).because(e)
        })
    }

    /// Makes a file ready to be added to: for this machine, without a line that was cut, and mostly of what is there.
    /// Gives its number of lines.
    fn begin(&self, host: &str, machine: &str) -> Result<usize> {
        let known = self.read(host)?;
        let path = self.path(host);
        let whole = fs::read(&path).is_ok_and(|bytes| bytes.ends_with(b"\n"));
        let same = same_machine(machine, &known.machine);
        if whole && same && known.lines <= 2 * known.entries.len() + OLD_LINES {
            return Ok(known.lines);
        }
        let first = Line::Machine(machine.to_owned());
        let kept = known.entries.into_iter().filter(|_| same).map(Line::Made);
        let lines: Vec<Line> = std::iter::once(first).chain(kept).collect();
        self.state.write(&Self::name(host), &text(&lines)?)?;
        Ok(lines.len())
    }
}

/// A host that does not tell its id is taken for the one it was.
fn same_machine(one: &str, other: &str) -> bool {
    one == other || one.is_empty() || other.is_empty()
}

fn text(lines: &[Line]) -> Result<String> {
    let encode = |line: &Line| serde_json::to_string(line).map(|text| text + "\n");
    let encoded: serde_json::Result<String> = lines.iter().map(encode).collect();
    encoded.or_kind(Kind::Internal, || "cannot encode mk's state".to_owned())
}

fn parse(text: &str) -> serde_json::Result<Known> {
    let mut known = Known::default();
    let mut entries: BTreeMap<usize, Entry> = BTreeMap::new();
    let mut by_name: BTreeMap<(String, String), usize> = BTreeMap::new();
    // A last line without its end was cut when the disk was full or the power went; its thing is noted on the host.
    for (number, line) in text.split_inclusive('\n').filter(|line| line.ends_with('\n')).enumerate() {
        known.lines += 1;
        match serde_json::from_str::<Line>(line)? {
            Line::Machine(machine) => known.machine = machine,
            Line::Made(entry) => {
                let name = (entry.op.clone(), entry.subject.clone());
                if let Some(old) = by_name.insert(name, number) {
                    entries.remove(&old);
                }
                entries.insert(number, entry);
            }
            Line::Gone { op, subject } => {
                if let Some(old) = by_name.remove(&(op, subject)) {
                    entries.remove(&old);
                }
            }
            Line::Below(path) => entries.retain(|_, entry| {
                let own = entry.args.get("path").and_then(Value::as_str);
                let gone = own.is_some_and(|own| std::path::Path::new(own).starts_with(&path));
                if gone {
                    by_name.remove(&(entry.op.clone(), entry.subject.clone()));
                }
                !gone
            }),
        }
    }
    known.entries = entries.into_values().collect();
    Ok(known)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn made(op: &str, subject: &str) -> Line {
        let args = json!({ "path": subject, "state": "absent" }).as_object().cloned().unwrap();
        let by = Some("p.rhai:1".to_owned());
        Line::Made(Entry { op: op.to_owned(), subject: subject.to_owned(), args, user: None, by, at: 1 })
    }

    fn ledger(folder: &tempfile::TempDir) -> Ledger {
        StateDir::at(folder.path().join("s")).ledger()
    }

    fn subjects(ledger: &Ledger, machine: Option<&str>) -> Vec<String> {
        ledger.made("h", machine).unwrap().into_iter().map(|entry| entry.subject).collect()
    }

    #[test]
    fn what_is_gone_leaves_and_what_is_made_again_is_the_last_made() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = ledger(&folder);
        assert_eq!(ledger.hosts().unwrap(), Vec::<String>::new());
        let lines = [made("dir", "/a"), made("file", "/a/f"), made("dir", "/ab"), made("dir", "/c")];
        ledger.note("h", "m", &lines).unwrap();
        ledger.note("h", "m", &[Line::Below("/a".into()), made("dir", "/a"), made("dir", "/ab")]).unwrap();
        ledger.note("h", "m", &[Line::Gone { op: "dir".to_owned(), subject: "/c".to_owned() }]).unwrap();
        assert_eq!(subjects(&ledger, None), ["/a", "/ab"]);
        assert_eq!(ledger.hosts().unwrap(), ["h"]);
    }

    #[test]
    fn a_host_that_says_very_much_of_few_things_is_stopped_too() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = ledger(&folder);
        let long = |n: u32| made("file", &format!("/a/{n}{}", "x".repeat(400_000)));
        let error = (0..10).find_map(|n| ledger.note("h", "m", &[long(n)]).err()).unwrap();
        assert!(error.message().contains("in more than"), "{error}");
        ledger.note("other", "m", &[made("dir", "/a")]).unwrap();
    }

    #[test]
    fn another_machine_of_the_same_name_starts_anew() {
        let folder = tempfile::tempdir().unwrap();
        ledger(&folder).note("h", "one", &[made("dir", "/a")]).unwrap();
        assert_eq!(subjects(&ledger(&folder), Some("one")), ["/a"]);
        assert_eq!(subjects(&ledger(&folder), Some("two")), Vec::<String>::new());
        ledger(&folder).note("h", "two", &[made("dir", "/b")]).unwrap();
        assert_eq!(subjects(&ledger(&folder), Some("two")), ["/b"]);
    }

    #[test]
    fn a_file_is_private_and_stays_as_long_as_what_is_there() {
        use std::os::unix::fs::MetadataExt as _;
        let folder = tempfile::tempdir().unwrap();
        ledger(&folder).note("h", "m", &[made("dir", "/kept")]).unwrap();
        for _ in 0..20 {
            let lines: Vec<Line> = (0..50).flat_map(|_| [made("dir", "/a"), Line::Below("/a".into())]).collect();
            ledger(&folder).note("h", "m", &lines).unwrap();
        }
        let file = folder.path().join("s/hosts/ledger/h.jsonl");
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
        assert!(fs::read_to_string(&file).unwrap().lines().count() < 400);
        assert_eq!(subjects(&ledger(&folder), None), ["/kept"]);
    }

    #[test]
    fn a_host_that_says_without_end_what_it_made_is_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = ledger(&folder);
        let lines: Vec<Line> = (0..1000).map(|number| made("file", &format!("/{number}"))).collect();
        let last = (0..10).map(|_| ledger.note("h", "m", &lines)).find_map(Result::err).unwrap();
        assert!(last.message().contains("more than 5000 things"), "{last}");
        ledger.note("other", "m", &lines).unwrap();
    }

    #[test]
    fn a_line_that_was_cut_is_made_up_for_and_damage_is_told() {
        let folder = tempfile::tempdir().unwrap();
        ledger(&folder).note("h", "m", &[made("dir", "/a")]).unwrap();
        let file = folder.path().join("s/hosts/ledger/h.jsonl");
        let add = |text: &str| {
            let mut file = File::options().append(true).open(&file).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        };
        add("{\"made\":{\"op");
        ledger(&folder).note("h", "m", &[made("dir", "/b")]).unwrap();
        assert_eq!(subjects(&ledger(&folder), None), ["/a", "/b"]);
        add("{}\n");
        let error = ledger(&folder).made("h", None).unwrap_err();
        assert!(error.to_string().contains("h.jsonl` is damaged"), "{error}");
    }
}
