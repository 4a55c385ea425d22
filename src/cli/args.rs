//! The arguments that several commands take. Those of one command are in its file.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::op::HumanDuration;

/// How many hosts work at a time when nobody says otherwise.
pub(super) const FORKS: usize = 20;

/// What every command that reads an inventory takes.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Common {
    /// The inventory: a folder with inventory.yml, or a file. Default: `inventory` of mk.toml.
    #[arg(short, long, value_name = "PATH", env = "MK_INVENTORY")]
    pub(super) inventory: Option<PathBuf>,
    /// A variable that beats all others: KEY=VALUE, or @FILE with a map in YAML.
    #[arg(short = 'e', long = "extra", value_name = "KEY=VALUE")]
    pub(super) extra: Vec<String>,
    /// Obey this project and inventory although others may have written them. `mk trust` does so for good.
    #[arg(long)]
    pub(super) trust_project: bool,
}

/// How hosts are reached.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Reach {
    /// How many hosts connect and work at a time.
    #[arg(short, long, default_value_t = FORKS, value_name = "N")]
    pub(super) forks: usize,
    /// The user to log in as, where the inventory names none.
    #[arg(short, long, value_name = "NAME")]
    pub(super) user: Option<String>,
    /// A private key to try.
    #[arg(long, value_name = "FILE")]
    pub(super) private_key: Vec<PathBuf>,
    /// Become root through sudo after login, where the inventory says nothing.
    #[arg(short = 'b', long = "become")]
    pub(super) become_root: bool,
    /// Ask for the password that sudo wants.
    #[arg(short = 'K', long)]
    pub(super) ask_become_pass: bool,
    /// Allow logging in with a password, and ask for it.
    #[arg(short = 'k', long)]
    pub(super) ask_pass: bool,
    /// How often it is tried to reach a host, a second apart, where the inventory does not say.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) connect_attempts: Option<u32>,
    /// What to do about a host key that is not known.
    #[arg(long, value_enum, default_value_t = HostKeys::Strict)]
    pub(super) hostkeys: HostKeys,
}

/// What every command that runs steps takes.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Connecting {
    #[command(flatten)]
    pub(super) reach: Reach,
    /// Change nothing; say what would change.
    #[arg(short = 'C', long)]
    pub(super) check: bool,
    /// Show what differs.
    #[arg(short = 'D', long)]
    pub(super) diff: bool,
    /// One event a line, in JSON, on standard output.
    #[arg(long)]
    pub(super) json: bool,
    /// Show only what failed.
    #[arg(short, long, conflicts_with = "verbose")]
    pub(super) quiet: bool,
    /// Show also what did not change; twice: what commands print.
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub(super) verbose: u8,
    /// Write what happens on this side to this file. `MK_LOG` says what of it, such as `mk=trace,russh=debug`.
    #[arg(long, value_name = "FILE")]
    pub(super) log: Option<PathBuf>,
    /// How long to wait for a host that another run has, such as 30s or 5m.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = span, env = "MK_LOCK_WAIT")]
    pub(super) lock_wait: HumanDuration,
    /// End with status 3 when a check finds changes.
    #[arg(long)]
    pub(super) exit_code: bool,
}

/// What to do about a host key that is not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum HostKeys {
    /// Refuse it.
    #[default]
    Strict,
    /// Record the first key of a host of which nothing is known; refuse a changed one.
    AcceptNew,
}

fn span(text: &str) -> Result<HumanDuration, String> {
    HumanDuration::parse(text).ok_or_else(|| "a time such as 30s or 5m".to_owned())
}
