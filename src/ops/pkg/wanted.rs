//! Names of packages as users write them.

/// A package as it is wished for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Its name, perhaps with an architecture.
    pub name: String,
    /// The version it must have, with `*` for anything.
    pub version: Option<String>,
}

impl Wanted {
    /// Reads `name`, `name:architecture`, `name=version`; `None` when no package can be called so.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (name, version) = match text.split_once('=') {
            Some((name, version)) => (name, Some(version)),
            None => (text, None),
        };
        let in_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.:".contains(c);
        let in_version = |c: char| c.is_ascii_alphanumeric() || "+-.:~*".contains(c);
        let starts_well = name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        let version_is_well = version.is_none_or(|version| !version.is_empty() && version.chars().all(in_version));
        let is_well = starts_well && name.chars().all(in_name) && version_is_well;
        is_well.then(|| Self { name: name.to_owned(), version: version.map(str::to_owned) })
    }

    /// The name without the architecture.
    pub(super) fn bare(&self) -> &str {
        self.name.split(':').next().unwrap_or_default()
    }
}

/// Whether a version is what a pattern with `*` in it asks for.
pub(super) fn fits(version: &str, pattern: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return version == pattern };
    let Some(mut version) = version.strip_prefix(head) else { return false };
    let mut pieces: Vec<&str> = rest.split('*').collect();
    let last = pieces.pop().unwrap_or_default();
    for piece in pieces {
        match version.find(piece) {
            Some(at) => version = &version[at + piece.len()..],
            None => return false,
        }
    }
    version.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_fit_patterns() {
        assert!(fits("2.1.0-1", "2.*") && fits("2.1.0-1", "2.1.0-1") && fits("1:2.1-3", "*2.1*") && fits("2.1", "*"));
        assert!(!fits("12.1", "2.*") && !fits("2.1.0-1", "2.1.0") && !fits("2.1-3", "*-4") && !fits("21", "2*1*1"));
    }

    #[test]
    fn names_are_read_with_architecture_and_version() {
        let wanted = Wanted::parse("libc6:amd64=2.36*").unwrap();
        assert_eq!(
            (wanted.name.as_str(), wanted.bare(), wanted.version.as_deref()),
            ("libc6:amd64", "libc6", Some("2.36*"))
        );
        for wrong in ["", "-y", "Foo", "a b", "a=", "a=1;2", "a*"] {
            assert_eq!(Wanted::parse(wrong), None, "{wrong}");
        }
    }
}
