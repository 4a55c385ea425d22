//! The grammar of `known_hosts`, as sshd(8) describes it and OpenSSH reads it.
//!
//! Knows no connection and writes nothing. A line that cannot be read is ignored, and reported.

use std::fmt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, Mac};
use russh::keys::{HashAlg, PublicKey};
use sha1::Sha1;

use crate::error::Place;

/// The lines of some `known_hosts` files, in their order.
#[derive(Debug, Clone, Default)]
pub(super) struct KnownHosts {
    entries: Vec<Entry>,
    bad: Vec<(Place, &'static str)>,
}

/// One line.
#[derive(Debug, Clone)]
struct Entry {
    place: Place,
    marker: Marker,
    hosts: Hosts,
    key: PublicKey,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Marker {
    /// The key is a host's.
    None,
    /// The key signs certificates of hosts.
    Authority,
    /// The key must not be used, by a host or an authority.
    Revoked,
}

#[derive(Debug, Clone)]
enum Hosts {
    /// Lower case.
    Patterns(Vec<Pattern>),
    Hashed {
        salt: Vec<u8>,
        hash: Vec<u8>,
    },
}

#[derive(Debug, Clone)]
struct Pattern {
    negated: bool,
    glob: String,
}

/// A key a file knows of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    /// The line.
    pub place: Place,
    /// Its type, such as `ssh-ed25519`.
    pub algorithm: String,
    /// `SHA256:…`.
    pub fingerprint: String,
}

impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} at {}", self.algorithm, self.fingerprint, self.place)
    }
}

/// What the files say about a host's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is the one at this line.
    Match(Place),
    /// Nothing is known of the host, but perhaps an authority that should have signed its key.
    Unknown {
        /// The line of that authority.
        authority: Option<Place>,
    },
    /// Other keys of the same type are known.
    Changed(Vec<Known>),
    /// Only keys of other types are known.
    NewType(Vec<Known>),
    /// It must not be used, says this line.
    Revoked(Place),
}

impl KnownHosts {
    /// Reads `text`, adding its lines; `file` is how they are named.
    pub(super) fn add(&mut self, file: &str, text: &[u8]) {
        for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let place = Place::new(file, index + 1, 0);
            match std::str::from_utf8(line).map_err(|_| "not UTF-8").and_then(parse) {
                Ok(Some((marker, hosts, key))) => self.entries.push(Entry { place, marker, hosts, key }),
                Ok(None) => {}
                Err(why) => self.bad.push((place, why)),
            }
        }
    }

    /// Reads a list of revoked keys, one public key a line: none of them may be used by any host.
    pub(super) fn add_revoked(&mut self, file: &str, text: &[u8]) {
        for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let place = Place::new(file, index + 1, 0);
            let line = String::from_utf8_lossy(line);
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match PublicKey::from_openssh(line) {
                Ok(key) => {
                    let everyone = Pattern { negated: false, glob: "*".to_owned() };
                    self.entries.push(Entry {
                        place,
                        marker: Marker::Revoked,
                        hosts: Hosts::Patterns(vec![everyone]),
                        key,
                    });
                }
                Err(_) => self.bad.push((place, "not a public key")),
            }
        }
    }

    /// Reads a file, adding its lines. One that does not exist has none.
    pub(super) fn add_file(&mut self, path: &Path) -> std::io::Result<()> {
        match std::fs::read(path) {
            Ok(text) => self.add(&path.display().to_string(), &text),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
        Ok(())
    }

    /// The lines that were ignored, and why.
    pub(super) fn bad_lines(&self) -> &[(Place, &'static str)] {
        &self.bad
    }

    /// What is known about `key` of the host called by any of `names` (as [`name`] makes them).
    pub(super) fn verdict(&self, names: &[String], key: &PublicKey) -> Verdict {
        let mut found = None;
        let mut authority = None;
        let (mut same, mut others) = (Vec::new(), Vec::new());
        for entry in self.about(names) {
            let equal = entry.key.key_data() == key.key_data();
            match entry.marker {
                Marker::Revoked if equal => return Verdict::Revoked(entry.place.clone()),
                Marker::Revoked => {}
                Marker::Authority => authority = authority.or_else(|| Some(entry.place.clone())),
                Marker::None if equal => found = found.or_else(|| Some(entry.place.clone())),
                Marker::None if entry.key.algorithm() == key.algorithm() => same.push(entry.known()),
                Marker::None => others.push(entry.known()),
            }
        }
        match found {
            Some(place) => Verdict::Match(place),
            None if !same.is_empty() => Verdict::Changed(same),
            None if !others.is_empty() => Verdict::NewType(others),
            None => Verdict::Unknown { authority },
        }
    }

    /// Where `key` signs certificates of the host called by any of `names`.
    pub(super) fn authority(&self, names: &[String], key: &PublicKey) -> Option<&Place> {
        self.about(names)
            .find(|entry| entry.marker == Marker::Authority && entry.key.key_data() == key.key_data())
            .map(|entry| &entry.place)
    }

    /// Whether any authority may sign certificates of the host.
    pub(super) fn has_authority(&self, names: &[String]) -> bool {
        self.about(names).any(|entry| entry.marker == Marker::Authority)
    }

    /// Where `key` is revoked for the host.
    pub(super) fn revoked(&self, names: &[String], key: &PublicKey) -> Option<&Place> {
        self.about(names)
            .find(|entry| entry.marker == Marker::Revoked && entry.key.key_data() == key.key_data())
            .map(|entry| &entry.place)
    }

    /// The keys known of the host.
    pub(super) fn keys<'a, 'b>(&'a self, names: &'b [String]) -> impl Iterator<Item = &'a PublicKey> + use<'a, 'b> {
        self.about(names).filter(|entry| entry.marker == Marker::None).map(|entry| &entry.key)
    }

    fn about<'a, 'b>(&'a self, names: &'b [String]) -> impl Iterator<Item = &'a Entry> + use<'a, 'b> {
        self.entries.iter().filter(|entry| names.iter().any(|name| entry.hosts.contains(name)))
    }
}

impl Entry {
    fn known(&self) -> Known {
        Known {
            place: self.place.clone(),
            algorithm: self.key.algorithm().to_string(),
            fingerprint: fingerprint(&self.key),
        }
    }
}

impl Hosts {
    fn contains(&self, name: &str) -> bool {
        match self {
            // A negated pattern excludes a host whatever else matches it, wherever in the list it stands.
            Self::Patterns(patterns) => {
                let mut matched = false;
                for pattern in patterns.iter().filter(|pattern| glob(&pattern.glob, name)) {
                    if pattern.negated {
                        return false;
                    }
                    matched = true;
                }
                matched
            }
            Self::Hashed { salt, hash } => hmac(salt, name).is_some_and(|mac| mac.verify_slice(hash).is_ok()),
        }
    }
}

/// How a host is called in `known_hosts`: in lower case, with its port unless that is 22.
pub(super) fn name(host: &str, port: u16) -> String {
    let host = host.to_lowercase();
    if port == 22 { host } else { format!("[{host}]:{port}") }
}

/// `name` as only who knows it can recognise: `|1|salt|hash`.
pub(super) fn hashed(salt: &[u8], name: &str) -> String {
    let hash = hmac(salt, name).map(|mac| mac.finalize().into_bytes()).unwrap_or_default();
    format!("|1|{}|{}", BASE64.encode(salt), BASE64.encode(hash))
}

/// `SHA256:…`, as `ssh-keygen -l` shows it.
pub(super) fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

fn hmac(salt: &[u8], name: &str) -> Option<Hmac<Sha1>> {
    let mut mac = Hmac::<Sha1>::new_from_slice(salt).ok()?;
    mac.update(name.as_bytes());
    Some(mac)
}

type Line = (Marker, Hosts, PublicKey);

fn parse(line: &str) -> Result<Option<Line>, &'static str> {
    let line = line.trim_matches([' ', '\t', '\r']);
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let mut fields = line.split([' ', '\t']).filter(|field| !field.is_empty());
    let mut next = |missing| fields.next().ok_or(missing);
    let mut first = next("empty")?;
    let marker = match first {
        "@cert-authority" => Marker::Authority,
        "@revoked" => Marker::Revoked,
        other if other.starts_with('@') => return Err("unknown marker"),
        _ => Marker::None,
    };
    if marker != Marker::None {
        first = next("no host")?;
    }
    let hosts = hosts(first)?;
    let (algorithm, key) = (next("no key type")?, next("no key")?);
    let key = PublicKey::from_openssh(&format!("{algorithm} {key}")).map_err(|_| "not a public key")?;
    Ok(Some((marker, hosts, key)))
}

fn hosts(text: &str) -> Result<Hosts, &'static str> {
    if let Some(rest) = text.strip_prefix('|') {
        let (salt, hash) =
            rest.strip_prefix("1|").and_then(|rest| rest.split_once('|')).ok_or("unknown hash of a host")?;
        let (salt, hash) = (BASE64.decode(salt), BASE64.decode(hash));
        return match (salt, hash) {
            (Ok(salt), Ok(hash)) if !salt.is_empty() && hash.len() == 20 => Ok(Hosts::Hashed { salt, hash }),
            _ => Err("broken hash of a host"),
        };
    }
    let patterns = text
        .split(',')
        .filter(|pattern| !pattern.is_empty())
        .map(|pattern| match pattern.strip_prefix('!') {
            Some(rest) => Pattern { negated: true, glob: canonical(rest) },
            None => Pattern { negated: false, glob: canonical(pattern) },
        })
        .collect::<Vec<_>>();
    if patterns.is_empty() { Err("no host") } else { Ok(Hosts::Patterns(patterns)) }
}

/// `[host]:22` is how nobody but a careful person writes `host`, and means the same.
fn canonical(pattern: &str) -> String {
    let lower = pattern.to_lowercase();
    match lower.strip_prefix('[').and_then(|rest| rest.strip_suffix("]:22")) {
        Some(host) => host.to_owned(),
        None => lower,
    }
}

/// Whether `text` matches `pattern`, in which `*` is any run and `?` any one character. Takes at most the
/// product of their lengths, whatever the pattern.
fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    let mut star = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    p = at + 1;
                    t = from + 1;
                    star = Some((at, t));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}
