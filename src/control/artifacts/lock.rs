//! The lock file: which artifacts there are, where they come from, and what they must be.
//!
//! A list of `{name, version, arch, url, sha256}` or `sha512`. Nothing in it is ever guessed: an entry
//! without a sum is a fault.

use std::path::Path;

use serde::Deserialize;
use serde_saphyr::{Location, MessageFormatter as _, Spanned, UserMessageFormatter};

use crate::error::{Error, Kind, Place, Result};
use crate::trust::Guard;

/// The name of a lock file, of a project as of a mirror.
pub(crate) const FILE: &str = "artifacts.lock.yaml";

/// The longest lock file, in bytes.
pub(super) const LONGEST: u64 = 8 * 1024 * 1024;

/// What an artifact's bytes must be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sums {
    /// Hex SHA-256.
    pub sha256: Option<String>,
    /// Hex SHA-512.
    pub sha512: Option<String>,
}

impl Sums {
    /// Takes sums as users write them.
    ///
    /// # Errors
    /// When one is not hex of the right length.
    pub fn of(sha256: Option<&str>, sha512: Option<&str>) -> Result<Self> {
        Ok(Self {
            sha256: sha256.map(|text| hex("sha256", text, 64)).transpose()?,
            sha512: sha512.map(|text| hex("sha512", text, 128)).transpose()?,
        })
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.sha256.is_none() && self.sha512.is_none()
    }

    /// A name that stands for the bytes: the sum itself.
    pub fn name(&self) -> String {
        match (&self.sha256, &self.sha512) {
            (Some(sum), _) => format!("sha256-{sum}"),
            (None, Some(sum)) => format!("sha512-{sum}"),
            (None, None) => "unknown".to_owned(),
        }
    }
}

fn hex(name: &str, text: &str, length: usize) -> Result<String> {
    let text = text.trim().to_ascii_lowercase();
    if text.len() == length && text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(text);
    }
    Err(Error::playbook(format!("`{name}` must be {length} hexadecimal digits, not `{text}`")))
}

/// One artifact.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// What it is called.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The architecture it is for, as releases are named: `amd64`, `arm64`, `arm`, `386`; `any` for all.
    pub arch: String,
    /// Where it is: an address, or a path beside the lock file.
    pub url: String,
    /// What its bytes must be.
    pub sums: Sums,
    /// Where it stands.
    pub place: Place,
}

impl Entry {
    /// Its name, version and architecture, for people.
    pub fn title(&self) -> String {
        format!("{} {} {}", self.name, self.version, self.arch)
    }

    /// Whether it is at an address, and not beside its lock file.
    pub fn is_remote(&self) -> bool {
        is_remote(&self.url)
    }
}

/// Whether a text is the address of something to be fetched.
pub(super) fn is_remote(url: &str) -> bool {
    url.starts_with("https://") || url.starts_with("http://")
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    name: Spanned<String>,
    version: Spanned<String>,
    arch: Spanned<String>,
    url: Spanned<String>,
    #[serde(default)]
    sha256: Option<Spanned<String>>,
    #[serde(default)]
    sha512: Option<Spanned<String>>,
}

/// Reads a lock file.
///
/// # Errors
/// Everything that is wrong with it, at its place; an entry without a sum too. When others may have written it.
pub(super) fn read(file: &Path, guard: &Guard) -> Result<Vec<Entry>> {
    let shown = file.display().to_string();
    let text = guard.text(file).map_err(|e| e.as_kind(Kind::Playbook))?;
    with_sums(parse(&shown, &text)?)
}

/// Refuses entries without a sum.
///
/// # Errors
/// When there is one.
pub(super) fn with_sums(entries: Vec<Entry>) -> Result<Vec<Entry>> {
    match entries.iter().find(|entry| entry.sums.is_empty()) {
        None => Ok(entries),
        Some(entry) => Err(Error::playbook(format!("{} has neither `sha256` nor `sha512`", entry.title()))
            .at(entry.place.clone())
            .hint("`mk artifacts lock` writes the sums that upstream publishes beside its files")),
    }
}

/// Reads the text of a lock file, in which sums may still be missing.
///
/// # Errors
/// Everything else that is wrong with it, at its place.
pub fn parse(file: &str, text: &str) -> Result<Vec<Entry>> {
    let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
    let list: Option<Vec<Spanned<Raw>>> =
        serde_saphyr::from_str_with_options(text, options).map_err(|e| unreadable(file, &e))?;
    let mut entries: Vec<Entry> = Vec::new();
    for raw in list.unwrap_or_default() {
        let entry = entry(file, raw)?;
        let same = |other: &&Entry| other.title() == entry.title();
        if let Some(first) = entries.iter().find(same) {
            let message = format!("{} is there twice, first in line {}", entry.title(), first.place.line);
            return Err(Error::playbook(message).at(entry.place));
        }
        entries.push(entry);
    }
    Ok(entries)
}

fn entry(file: &str, raw: Spanned<Raw>) -> Result<Entry> {
    let place = place(file, raw.defined);
    let raw = raw.value;
    let word = |what: &str, field: &Spanned<String>| -> Result<String> {
        let text = field.value.trim();
        let plain = |c: char| c.is_ascii_alphanumeric() || "._+-~".contains(c);
        if text.is_empty() || !text.chars().all(plain) {
            let message = format!("`{what}` must be one word of letters, digits and `._+-~`, not `{text}`");
            return Err(Error::playbook(message).at(self::place(file, field.defined)));
        }
        Ok(text.to_owned())
    };
    let sum = |name: &str, field: &Option<Spanned<String>>, length: usize| -> Result<Option<String>> {
        let Some(field) = field else { return Ok(None) };
        hex(name, &field.value, length).map(Some).map_err(|e| e.at(self::place(file, field.defined)))
    };
    let url = raw.url.value.trim().to_owned();
    if !is_remote(&url) && !is_beside(&url) {
        return Err(Error::playbook(format!("`{url}` is neither an address nor the name of a file beside the lock"))
            .at(self::place(file, raw.url.defined)));
    }
    Ok(Entry {
        name: word("name", &raw.name)?,
        version: word("version", &raw.version)?,
        arch: word("arch", &raw.arch)?,
        sums: Sums { sha256: sum("sha256", &raw.sha256, 64)?, sha512: sum("sha512", &raw.sha512, 128)? },
        url,
        place,
    })
}

/// Whether a path stays beside the file that names it.
fn is_beside(path: &str) -> bool {
    let normal = |part: std::path::Component| matches!(part, std::path::Component::Normal(_));
    !path.is_empty() && !path.contains("://") && Path::new(path).components().all(normal)
}

fn place(file: &str, location: Location) -> Place {
    let narrow = |wide: u64| usize::try_from(wide).unwrap_or(0);
    Place::new(file, narrow(location.line()), narrow(location.column()))
}

fn unreadable(file: &str, error: &serde_saphyr::Error) -> Error {
    let error = error.without_snippet();
    let cause = UserMessageFormatter.format_message(error).replace(char::is_control, " ");
    let at = error.location().filter(|location| *location != Location::UNKNOWN);
    Error::playbook("the lock of artifacts cannot be read")
        .because(cause)
        .at(at.map_or_else(|| Place::new(file, 0, 0), |location| place(file, location)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SUM: &str = "ffe840ff9295808e88cce2794a18a5ac87f12a5203c8314d0bf6aa119b41bac5";

    fn complaint(text: &str) -> String {
        let error = parse("l.yaml", text).and_then(with_sums).unwrap_err();
        format!("{error} @ {}", error.place().unwrap())
    }

    #[test]
    fn an_entry_is_read_with_its_place() {
        let text =
            format!("# why\n- {{name: etcd, version: 3.6.14, arch: amd64, url: 'https://x/e.tgz', sha256: {SUM}}}\n");
        let entries = parse("l.yaml", &text).unwrap();
        assert_eq!(entries[0].title(), "etcd 3.6.14 amd64");
        assert_eq!(entries[0].sums.name(), format!("sha256-{SUM}"));
        assert_eq!(entries[0].place, Place::new("l.yaml", 2, 3));
        assert_eq!(parse("l.yaml", "# nothing\n").unwrap(), []);
    }

    #[test]
    fn what_is_wrong_is_told_at_its_place() {
        let entry = |rest: &str| format!("- {{name: a, version: 1.0.0, arch: amd64, {rest}}}\n");
        assert_eq!(complaint(&entry("url: x.tgz")), "a 1.0.0 amd64 has neither `sha256` nor `sha512` @ l.yaml:1:3");
        assert_eq!(
            complaint(&entry("url: x.tgz, sha256: abc")),
            "`sha256` must be 64 hexadecimal digits, not `abc` @ l.yaml:1:62"
        );
        assert!(complaint(&entry("url: ../x.tgz")).contains("`../x.tgz` is neither an address nor"));
        assert!(complaint(&entry("url: ftp://x")).contains("is neither an address nor"));
        assert!(complaint(&entry("urll: x")).contains("urll"));
        let twice = entry(&format!("url: x, sha256: {SUM}"));
        assert_eq!(complaint(&format!("{twice}{twice}")), "a 1.0.0 amd64 is there twice, first in line 1 @ l.yaml:2:3");
    }

    #[test]
    fn the_projects_own_lock_can_be_read() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("playbooks").join(FILE);
        let entries = read(&file, &Guard::default()).unwrap();
        assert!(entries.len() > 10 && entries.iter().all(Entry::is_remote));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC{0,80}|[-:\\[\\]{}&*!|>'\"%#\n a1]{0,60}") {
            let _ = parse("l.yaml", &text);
        }

        #[test]
        fn a_path_that_climbs_is_never_beside(before in "([a-z]{0,3}/)?", after in "[a-z/]{0,6}") {
            let climbing = format!("{before}../{after}");
            prop_assert!(!is_beside(&climbing));
        }
    }
}
