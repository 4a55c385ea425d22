//! `mk explain`: what the parts of Kubernetes are for, and how each shows on the running cluster.
//!
//! A topic is a file in `explain/`: a summary in its first line, and a command to try in its last.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args as ClapArgs;
use include_dir::{Dir, include_dir};

use crate::error::{Error, Result, nearest};

static TOPICS: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/src/cli/explain");

/// Explain a part of Kubernetes: what it is for, and the command that shows it on the running cluster.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// The part. Without it, all are listed.
    topic: Option<String>,
}

/// Prints one topic, or the list of all.
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let text = match args.topic.as_deref() {
        Some(name) => text(name)?.to_owned(),
        None => list(),
    };
    super::out::page(&text);
    Ok(ExitCode::SUCCESS)
}

/// Every topic with its text, by name.
fn topics() -> impl Iterator<Item = (&'static str, &'static str)> {
    let mut all: Vec<_> =
        TOPICS.files().filter_map(|file| Some((file.path().file_stem()?.to_str()?, file.contents_utf8()?))).collect();
    all.sort_unstable();
    all.into_iter()
}

fn list() -> String {
    topics().fold(String::new(), |mut out, (name, text)| {
        let _ = writeln!(out, "  {name:<22} {}", text.lines().next().unwrap_or_default());
        out
    })
}

fn text(name: &str) -> Result<&'static str> {
    let wanted = name.to_lowercase();
    if let Some((_, text)) = topics().find(|(known, _)| *known == wanted) {
        return Ok(text);
    }
    // A topic about several things is also found by any of them.
    let part = topics().find(|(known, _)| known.split('-').any(|part| part == wanted));
    let near = part.map(|(known, _)| known).or_else(|| nearest(&wanted, topics().map(|(known, _)| known)));
    let error = Error::usage(format!("there is no topic `{name}`"));
    Err(match near {
        Some(near) => error.hint(format!("did you mean `mk explain {near}`?")),
        None => error.hint("`mk explain` lists all"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The questions that the public labs leave open, and where each is answered.
    const ASKED: [&str; 9] = [
        "certificates",
        "cluster-cidr",
        "cni",
        "containerd",
        "coredns",
        "etcd",
        "kube-proxy",
        "runc",
        "socat-conntrack-ipset",
    ];

    #[test]
    fn every_question_has_its_answer_and_every_file_is_one() {
        assert_eq!(topics().map(|(name, _)| name).collect::<Vec<_>>(), ASKED);
        assert_eq!(TOPICS.files().count(), ASKED.len());
    }

    #[test]
    fn a_topic_is_a_sentence_a_body_and_a_command() {
        for (name, text) in topics() {
            let lines: Vec<&str> = text.lines().collect();
            assert!(lines[0].ends_with('.') && lines[1].is_empty(), "{name}: a summary of one line, then an empty one");
            assert!((8..=30).contains(&lines.len()), "{name}: {} lines", lines.len());
            assert!(text.ends_with('\n') && !text.ends_with("\n\n"), "{name}");
            let (before, last) = (lines[lines.len() - 3], lines[lines.len() - 1]);
            assert!(before.starts_with("On ") && before.ends_with(':'), "{name}: says where, not `{before}`");
            let program = last.strip_prefix("    ").and_then(|command| command.split(' ').next());
            assert!(matches!(program, Some("mk" | "kubectl")), "{name}: ends with `{last}`");
            for line in &lines[..lines.len() - 1] {
                assert!(line.chars().count() <= 120 && line.is_ascii() && line.trim_end() == *line, "{name}: `{line}`");
            }
        }
    }

    #[test]
    fn every_command_is_one_that_mk_takes() {
        use clap::Parser as _;
        for (name, text) in topics() {
            let command = text.lines().last().unwrap_or_default().trim();
            let words = shlex::split(command).unwrap();
            if words[0] == "mk" {
                crate::cli::Args::try_parse_from(&words).unwrap_or_else(|error| panic!("{name}: {error}"));
            }
        }
    }

    #[test]
    fn topics_that_are_named_in_a_text_exist() {
        for (name, text) in topics() {
            for (at, _) in text.match_indices("`mk explain ") {
                let other = text[at + 12..].split('`').next().unwrap();
                assert!(topics().any(|(known, _)| known == other), "{name}: there is no `{other}`");
            }
        }
    }

    #[test]
    fn a_name_that_is_nearly_one_is_helped() {
        let hint = |name: &str| text(name).unwrap_err().hints()[0].clone();
        assert_eq!(hint("kubeproxy"), "did you mean `mk explain kube-proxy`?");
        assert_eq!(hint("conntrack"), "did you mean `mk explain socat-conntrack-ipset`?");
        assert_eq!(hint("quantum"), "`mk explain` lists all");
        assert!(text("CoreDNS").is_ok());
    }
}
