//! Patterns for paths, as people write them: `*`, `?`, `**`, `[a-z]` and `{one,other}`.

use regex_lite::Regex;

use crate::error::{Error, Result};

/// A pattern for relative paths. Without a slash it is for names, wherever they are; with one it is for
/// whole paths.
#[derive(Debug, Clone)]
pub(crate) struct Glob {
    text: String,
    regex: Regex,
}

impl Glob {
    /// Reads a pattern.
    ///
    /// # Errors
    /// When a bracket or brace is not closed.
    pub(crate) fn new(text: &str) -> Result<Self> {
        let wrong = |why: &str| Error::playbook(format!("`{text}` is not a pattern: {why}"));
        let mut regex = String::from("^(?:");
        let mut letters = text.trim_end_matches('/').chars().peekable();
        let mut depth = 0_u32;
        while let Some(letter) = letters.next() {
            match letter {
                '*' if letters.peek() == Some(&'*') => {
                    letters.next();
                    match letters.next_if_eq(&'/') {
                        Some(_) => regex += "(?:.*/)?",
                        None => regex += ".*",
                    }
                }
                '*' => regex += "[^/]*",
                '?' => regex += "[^/]",
                '[' => {
                    let mut class = String::new();
                    if letters.next_if(|c| "!^".contains(*c)).is_some() {
                        class.push('^');
                    }
                    loop {
                        match letters.next() {
                            None => return Err(wrong("a `[` is not closed")),
                            Some(']') if !class.trim_start_matches('^').is_empty() => break,
                            Some(c) if c.is_ascii_alphanumeric() || c == '-' => class.push(c),
                            Some(c) => class += &format!("\\x{{{:x}}}", u32::from(c)),
                        }
                    }
                    regex += &format!("[{class}]");
                }
                '{' => {
                    depth += 1;
                    regex += "(?:";
                }
                '}' if depth > 0 => {
                    depth -= 1;
                    regex.push(')');
                }
                ',' if depth > 0 => regex.push('|'),
                c if c.is_alphanumeric() || "/_- ".contains(c) => regex.push(c),
                c => regex += &format!("\\x{{{:x}}}", u32::from(c)),
            }
        }
        if depth > 0 {
            return Err(wrong("a `{` is not closed"));
        }
        regex += ")$";
        let regex = Regex::new(&regex).map_err(|e| wrong(&e.to_string()))?;
        Ok(Self { text: text.to_owned(), regex })
    }

    /// Whether it is for names and not for whole paths.
    pub(crate) fn is_for_names(&self) -> bool {
        !self.text.trim_end_matches('/').contains('/')
    }

    /// Whether it fits a relative path: the path itself, or its name.
    pub(crate) fn fits(&self, path: &str) -> bool {
        let seen = if self.is_for_names() { path.rsplit('/').next().unwrap_or(path) } else { path };
        self.regex.is_match(seen)
    }

    /// Whether it fits a relative path or a folder above it.
    pub(crate) fn covers(&self, path: &str) -> bool {
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        ends.into_iter().any(|end| self.fits(&path[..end]))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fits(pattern: &str, path: &str) -> bool {
        Glob::new(pattern).unwrap().fits(path)
    }

    #[test]
    fn a_pattern_without_a_slash_is_for_names() {
        assert!(fits("etcd", "etcd-v3/etcd") && fits("*.conf", "a/b/x.conf"));
        assert!(!fits("etcd", "etcd/README") && Glob::new("etcd").unwrap().covers("etcd/README"));
    }

    #[test]
    fn a_pattern_with_a_slash_is_for_whole_paths() {
        assert!(fits("bin/*", "bin/kubelet") && !fits("bin/*", "kubernetes/bin/kubelet") && !fits("bin/*", "bin/a/b"));
        assert!(fits("**/bin/*", "bin/x") && fits("**/bin/*", "a/b/bin/x") && fits("a/**", "a/b/c"));
    }

    #[test]
    fn classes_and_choices_are_read_and_everything_else_stands_for_itself() {
        assert!(fits("[a-c]?.{toml,y?ml}", "b1.yaml") && !fits("[!a-c]x", "ax") && fits("a+b(1).$", "a+b(1).$"));
        assert!(!fits("a.b", "axb") && fits("[]]", "]"));
        assert_eq!(Glob::new("[a").unwrap_err().message(), "`[a` is not a pattern: a `[` is not closed");
        assert!(Glob::new("{a,b").is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "[a*?\\[\\]{},!^/.\\\\-]{0,12}|\\PC{0,12}", path in "[a/b.]{0,8}") {
            if let Ok(glob) = Glob::new(&text) {
                let _ = (glob.fits(&path), glob.covers(&path));
            }
        }

        #[test]
        fn a_plain_name_fits_itself(name in "[a-zA-Z0-9._+@=~ -]{1,20}") {
            prop_assert!(fits(&name, &name));
        }
    }
}
