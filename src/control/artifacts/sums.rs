//! Completing a lock with the sums that upstream publishes beside its files. Comments and order stay.

use std::path::Path;

use super::lock::{self, Entry, Sums};
use super::web;
use crate::error::{Context, Error, Kind, Result};
use crate::trust::Guard;

/// What a file of sums is called that is published beside `NAME`, and beside all files of a release.
const OWN: &[(&str, usize)] = &[(".sha256", 64), (".sha256sum", 64), (".sha512", 128), (".sha512sum", 128)];
const SHARED: &[(&str, usize)] =
    &[("SHA256SUMS", 64), ("checksums.txt", 64), ("sha256sum.txt", 64), ("SHA512SUMS", 128), ("sha512sum.txt", 128)];

/// The longest file of sums, in bytes.
const LONGEST: u64 = 1024 * 1024;

/// What became of the entries of a lock that had no sum.
#[derive(Debug, Default)]
pub(crate) struct Completed {
    /// Those that have one now, and the address it was published at.
    pub found: Vec<(Entry, String)>,
    /// Those that have none still.
    pub missing: Vec<Entry>,
}

/// Fetches the sums that a lock lacks, and writes them into it.
///
/// # Errors
/// When the lock cannot be read or written. A sum that is not published is no fault, only missing.
pub(crate) fn complete(file: &Path, guard: &Guard) -> Result<Completed> {
    let shown = file.display().to_string();
    let mut text = guard.text(file).map_err(|e| e.as_kind(Kind::Playbook))?;
    let mut completed = Completed::default();
    let lacking = lock::parse(&shown, &text)?.into_iter().filter(|entry| entry.sums.is_empty() && entry.is_remote());
    for entry in lacking {
        match published(&entry.url) {
            Some((sums, source)) => {
                text = with_sums(&shown, &text, &entry, &sums)?;
                completed.found.push((entry, source));
            }
            None => completed.missing.push(entry),
        }
    }
    if !completed.found.is_empty() {
        write(file, &text).or_kind(Kind::Playbook, || format!("cannot write `{shown}`"))?;
    }
    Ok(completed)
}

fn write(file: &Path, text: &str) -> std::io::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    std::io::Write::write_all(&mut new, text.as_bytes())?;
    new.as_file().set_permissions(std::fs::metadata(file)?.permissions())?;
    new.persist(file).map(drop).map_err(|e| e.error)
}

/// The sum of a file that is published beside it, and where.
fn published(url: &str) -> Option<(Sums, String)> {
    let (folder, name) = url.rsplit_once('/')?;
    let own = OWN.iter().map(|(ending, length)| (format!("{url}{ending}"), *length));
    let shared = SHARED.iter().map(|(name, length)| (format!("{folder}/{name}"), *length));
    own.chain(shared).find_map(|(source, length)| {
        let text = web::text(&source, LONGEST).ok()?;
        let sum = sum_of(&text, name, length)?;
        let sums = if length == 64 { Sums::of(Some(&sum), None) } else { Sums::of(None, Some(&sum)) };
        Some((sums.ok()?, source))
    })
}

/// The sum of `name` in a text as `sha256sum` writes it, in BSD's form, or the sum alone.
fn sum_of(text: &str, name: &str, length: usize) -> Option<String> {
    let is_sum = |word: &&str| word.len() == length && word.bytes().all(|b| b.is_ascii_hexdigit());
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let named = lines.clone().find_map(|line| {
        let is_of_it = |word: &str| word.trim_matches(['(', ')', '*']).rsplit('/').next() == Some(name);
        line.split_whitespace().any(is_of_it).then(|| line.split_whitespace().find(is_sum))?
    });
    let alone = || match lines.clone().collect::<Vec<_>>().as_slice() {
        [one] => Some(*one).filter(|line| is_sum(line)),
        _ => None,
    };
    named.or_else(alone).map(str::to_ascii_lowercase)
}

/// The text of a lock with the sum of one entry added behind its `url`.
fn with_sums(file: &str, text: &str, entry: &Entry, sums: &Sums) -> Result<String> {
    let failed =
        || Error::playbook(format!("cannot add the sum of {} to the lock", entry.title())).at(entry.place.clone());
    let (name, sum) = match (&sums.sha256, &sums.sha512) {
        (Some(sum), _) => ("sha256", sum),
        (None, Some(sum)) => ("sha512", sum),
        (None, None) => return Err(failed()),
    };
    let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
    let at =
        lines.iter().enumerate().skip(entry.place.line.saturating_sub(1)).find(|(_, line)| line.contains(&entry.url));
    let index = at.map(|(index, _)| index).ok_or_else(failed)?;
    let line = &lines[index];
    let begin = line.find(&entry.url).ok_or_else(failed)?;
    let mut end = begin + entry.url.len();
    end += usize::from(line[end..].starts_with(['\'', '"']));
    if line[..begin].contains('{') || line[end..].contains('}') {
        let (before, after) = line.split_at(end);
        lines[index] = format!("{before}, {name}: {sum}{after}");
    } else {
        let indent = line.find("url").ok_or_else(failed)?;
        lines.insert(index + 1, format!("{:indent$}{name}: {sum}\n", ""));
    }
    let new = lines.concat();
    // Whatever the layout of the file was: it must say what was meant now.
    let right = lock::parse(file, &new)?.iter().any(|new| new.title() == entry.title() && new.sums == *sums);
    if right { Ok(new) } else { Err(failed().hint(format!("add it by hand: `{name}: {sum}`"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUM: &str = "ffe840ff9295808e88cce2794a18a5ac87f12a5203c8314d0bf6aa119b41bac5";

    #[test]
    fn sums_are_found_in_every_form_they_are_published_in() {
        let other = SUM.replace('f', "e");
        assert_eq!(sum_of(&format!("{SUM}\n"), "x.tgz", 64).unwrap(), SUM);
        assert_eq!(sum_of(&format!("{other}  y.tgz\n{SUM} *dist/x.tgz\n"), "x.tgz", 64).unwrap(), SUM);
        assert_eq!(sum_of(&format!("SHA256 (x.tgz) = {SUM}"), "x.tgz", 64).unwrap(), SUM);
        assert_eq!(sum_of(&SUM.to_uppercase(), "x.tgz", 64).unwrap(), SUM);
        assert_eq!(sum_of(&format!("{other}  y.tgz\n"), "x.tgz", 64), None);
        assert_eq!(sum_of("<html>not found</html>", "x.tgz", 64), None);
    }

    #[test]
    fn a_sum_is_added_in_the_layout_of_its_entry_and_comments_stay() {
        let text = "# why\n- {name: a, version: '1', arch: any, url: 'https://x/a'} # one\n- name: b\n  url: https://x/b\n  version: '2'\n  arch: any\n";
        let entries = lock::parse("l", text).unwrap();
        let sums = Sums::of(Some(SUM), None).unwrap();
        let one = with_sums("l", text, &entries[0], &sums).unwrap();
        let two = with_sums("l", &one, &entries[1], &sums).unwrap();
        assert_eq!(
            two,
            format!(
                "# why\n- {{name: a, version: '1', arch: any, url: 'https://x/a', sha256: {SUM}}} # one\n- name: b\n  url: https://x/b\n  sha256: {SUM}\n  version: '2'\n  arch: any\n"
            )
        );
    }
}
