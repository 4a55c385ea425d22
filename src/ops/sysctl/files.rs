//! The files that set the kernel's parameters at boot: in which order they are read, and what they say.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::sys::{Kind, Lines, Probe};

/// Where they lie. Of two with the same name the one in the earlier folder counts.
const DIRS: [&str; 5] =
    ["/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d", "/lib/sysctl.d"];

/// The file that older programs read after all others, and systemd only where a link among them leads to it.
pub(super) const OLD: &str = "/etc/sysctl.conf";

/// The longest file that is read, in bytes.
const LONGEST: u64 = 1024 * 1024;

/// What one file sets a parameter to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    /// The file, as it is named where it is found.
    pub file: PathBuf,
    /// The value, with single blanks.
    pub value: String,
}

/// Values are compared without regard to how their parts are set apart.
pub(super) fn normal(value: &str) -> String {
    value.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Where the kernel has a parameter, below `/proc/sys`. The first separator says which one it is; the other one stands
/// for itself in names.
pub(super) fn below_proc(name: &str) -> String {
    if name.find(['.', '/']).is_some_and(|at| name[at..].starts_with('/')) {
        return name.to_owned();
    }
    let swap = |c| match c {
        '.' => '/',
        '/' => '.',
        c => c,
    };
    name.chars().map(swap).collect()
}

/// What a line sets the parameter at this place to. Patterns do not count: a parameter that is set by its name is left
/// out of them.
fn value<'a>(line: &'a str, place: &str) -> Option<&'a str> {
    let line = line.trim();
    let (key, value) = line.split_once('=').filter(|_| !line.starts_with(['#', ';']))?;
    // A dash says that it is no fault when the kernel does not take it.
    let key = key.trim().trim_start_matches('-');
    (below_proc(key) == place).then_some(value)
}

/// What a text sets the parameter to in the end.
pub(super) fn last(text: &str, name: &str) -> Option<String> {
    let place = below_proc(name);
    text.lines().filter_map(|line| value(line, &place)).next_back().map(normal)
}

/// The text with this value, in the place of the last one, or without any; all other lines stay.
pub(super) fn edited(text: &str, name: &str, wanted: Option<&str>) -> String {
    let place = below_proc(name);
    let mut lines = Lines::of(text);
    let Some(line) = wanted.map(|wanted| format!("{name} = {wanted}")) else {
        lines.retain(|line| value(line, &place).is_none());
        return lines.text();
    };
    let (end, at) = (lines.bare().len(), lines.bare().rposition(|line| value(line, &place).is_some()));
    match at {
        Some(at) => lines.replace(at, &line),
        None => lines.insert(end, [line.as_str()]),
    }
    // The same parameter twice would be read twice, and set to the wrong value on the way.
    lines.retain(|kept| kept == line || value(kept, &place).is_none());
    lines.text()
}

/// The text of a file; `None` when nothing is there.
pub(super) fn text(probe: &Probe, file: &Path) -> Result<Option<String>> {
    let Some(bytes) = probe.read(file, LONGEST)? else { return Ok(None) };
    let text = String::from_utf8(bytes);
    text.map(Some).map_err(|_| Error::step(format!("`{}` is not a text in UTF-8", file.display())))
}

/// All files in the order in which they are read at boot, each with the path behind its links.
pub(super) fn in_order(probe: &Probe) -> Result<Vec<(PathBuf, PathBuf)>> {
    let mut named: Vec<(PathBuf, String)> = Vec::new();
    for folder in DIRS {
        let names = probe.list(Path::new(folder))?.unwrap_or_default();
        let paths = names.into_iter().map(|name| (Path::new(folder).join(&name), name));
        named.extend(paths.filter(|(path, _)| path.extension().is_some_and(|is| is == "conf")));
    }
    // Those of one name stay in the order of their folders.
    named.sort_by(|one, other| one.1.cmp(&other.1));
    named.dedup_by(|later, first| later.1 == first.1);
    let mut files: Vec<PathBuf> = named.into_iter().map(|(path, _)| path).collect();
    // What systemd runs at boot does not know it by itself.
    if !Path::new("/run/systemd/system").is_dir() {
        files.push(OLD.into());
    }
    let real = |path: PathBuf| (path.clone(), fs::canonicalize(&path).unwrap_or(path));
    Ok(files.into_iter().map(real).collect())
}

/// What the files of this order set the parameter to, in turn.
pub(super) fn settings(probe: &Probe, order: &[(PathBuf, PathBuf)], name: &str) -> Result<Vec<Setting>> {
    let mut settings = Vec::new();
    for (file, real) in order {
        // A link to `/dev/null` takes a file away.
        if probe.look(real)?.is_none_or(|look| look.kind != Kind::File) {
            continue;
        }
        let bytes = probe.read(real, LONGEST)?.unwrap_or_default();
        settings
            .extend(last(&String::from_utf8_lossy(&bytes), name).map(|value| Setting { file: file.clone(), value }));
    }
    Ok(settings)
}

/// Whether a file lies in one of the folders, with a name that is passed over at boot.
pub(super) fn is_passed_over(file: &Path) -> bool {
    let inside = DIRS.iter().any(|dir| file.parent() == Some(Path::new(dir)));
    inside && file.extension().is_none_or(|is| is != "conf")
}

/// Whether `other` is read later than `own`, both by where they are in the order, or would be.
pub(super) fn is_later(order: &[(PathBuf, PathBuf)], other: &Path, own: &Path) -> bool {
    let at = |path: &Path| order.iter().position(|(file, real)| file == path || real == path);
    match (at(own), at(other)) {
        (Some(own), Some(other)) => other > own,
        // It is still to be made.
        (None, Some(_)) if DIRS.iter().any(|dir| own.parent() == Some(Path::new(dir))) => {
            other == Path::new(OLD) || other.file_name() > own.file_name()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_with_comments_blanks_dashes_and_both_separators() {
        let text = "# net.a = 9\n\n net/a =  1\t2 \n;net.a=3\n-net.a = 4\nnet.*=5\nnet.b\n";
        assert_eq!(last(text, "net.a").as_deref(), Some("4"));
        assert_eq!((last(text, "net.b"), last(text, "net.c")), (None, None));
        assert_eq!(last("net.conf.eth0/5.x = 1", "net/conf/eth0.5/x").as_deref(), Some("1"));
    }

    #[test]
    fn an_edit_leaves_all_other_lines_as_they_are() {
        let text = "# mine\nnet.b=1\nnet.a=1\r\nnet/a = 2\nnet.c=1";
        assert_eq!(edited(text, "net.a", Some("3")), "# mine\nnet.b=1\nnet.a = 3\nnet.c=1");
        assert_eq!(edited(text, "net.a", None), "# mine\nnet.b=1\nnet.c=1");
        assert_eq!(edited(text, "net.d", Some("4")), format!("{text}\nnet.d = 4\n"));
        assert_eq!(edited("", "net.d", Some("4")), "net.d = 4\n");
    }
}
