//! The command line.

use std::path::PathBuf;

use crate::op::Span;
use clap::{Args as ClapArgs, CommandFactory, Parser, Subcommand, ValueEnum};

/// How many hosts work at a time when nobody says otherwise.
pub const FORKS: usize = 20;

/// An automation engine whose playbooks are Rhai scripts.
///
/// Exit codes: 0 converged, 1 a step failed, 2 usage, playbook or inventory error, 3 a check found changes
/// (with --exit-code), 4 a host could not be reached, 130 interrupted.
#[derive(Debug, Parser)]
#[command(name = "mk", version, propagate_version = true)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What mk can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a playbook.
    Run(Run),
    /// Run one operation on hosts, without a playbook.
    Do(Do),
    /// Find what is wrong with playbooks and templates, without connecting.
    Lint(Lint),
    /// Show what scripts can call, or one operation, function or module (std/NAME).
    Doc {
        /// The operation, function or module.
        name: Option<String>,
    },
    /// Explain a part of Kubernetes: what it is for, and the command that shows it on the running cluster.
    Explain {
        /// The part. Without it, all are listed.
        topic: Option<String>,
    },
    /// Show the inventory: groups, hosts, ways in.
    Inventory {
        #[command(flatten)]
        common: Common,
        /// For machines.
        #[arg(long)]
        json: bool,
    },
    /// Show the variables of a host, or where one came from.
    Vars {
        #[command(flatten)]
        common: Common,
        /// The host.
        host: String,
        /// Show everything that gave this variable a value, the winner first.
        #[arg(long, value_name = "KEY")]
        why: Option<String>,
    },
    /// List what mk made on hosts and has not taken away, without connecting.
    Ledger(Ledger),
    /// Take away what mk made on hosts, the last first. What was there before mk stays.
    Prune(Prune),
    /// Print the facts of hosts, as JSON.
    Facts(Facts),
    /// Look at the keys of hosts before they are trusted.
    Hostkeys {
        /// What to do.
        #[command(subcommand)]
        command: HostkeysCommand,
    },
    /// Look after the agents that mk leaves on hosts.
    Agent {
        /// What to do.
        #[command(subcommand)]
        command: AgentCommand,
    },
    /// The released files that playbooks use: list, fetch and verify them, complete their lock.
    Artifacts(super::artifacts::Args),
    /// Print completions for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// What every command that reads an inventory takes.
#[derive(Debug, Clone, Default, ClapArgs)]
pub struct Common {
    /// The inventory: a folder with inventory.yml, or a file. Default: `inventory` of mk.toml.
    #[arg(short, long, value_name = "PATH", env = "MK_INVENTORY")]
    pub inventory: Option<PathBuf>,
    /// A variable that beats all others: KEY=VALUE, or @FILE with a map in YAML.
    #[arg(short = 'e', long = "extra", value_name = "KEY=VALUE")]
    pub extra: Vec<String>,
}

/// How hosts are reached.
#[derive(Debug, Clone, Default, ClapArgs)]
pub struct Reach {
    /// How many hosts connect and work at a time.
    #[arg(short, long, default_value_t = FORKS, value_name = "N")]
    pub forks: usize,
    /// The user to log in as, where the inventory names none.
    #[arg(short, long, value_name = "NAME")]
    pub user: Option<String>,
    /// A private key to try.
    #[arg(long, value_name = "FILE")]
    pub private_key: Vec<PathBuf>,
    /// Become root through sudo after login, where the inventory says nothing.
    #[arg(short = 'b', long = "become")]
    pub become_root: bool,
    /// Ask for the password that sudo wants.
    #[arg(short = 'K', long)]
    pub ask_become_pass: bool,
    /// Allow logging in with a password, and ask for it.
    #[arg(short = 'k', long)]
    pub ask_pass: bool,
    /// How often it is tried to reach a host, a second apart, where the inventory does not say.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub connect_attempts: Option<u32>,
    /// What to do about a host key that is not known.
    #[arg(long, value_enum, default_value_t = HostKeys::Strict)]
    pub hostkeys: HostKeys,
}

/// What every command that runs steps takes.
#[derive(Debug, Clone, Default, ClapArgs)]
pub struct Connecting {
    #[command(flatten)]
    pub reach: Reach,
    /// Change nothing; say what would change.
    #[arg(short = 'C', long)]
    pub check: bool,
    /// Show what differs.
    #[arg(short = 'D', long)]
    pub diff: bool,
    /// One event a line, in JSON, on standard output.
    #[arg(long)]
    pub json: bool,
    /// Show only what failed.
    #[arg(short, long, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Show also what did not change; twice: what commands print.
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Write what happens on this side to this file. `MK_LOG` says what of it, such as `mk=trace,russh=debug`.
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// How long to wait for a host that another run has, such as 30s or 5m.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = span, env = "MK_LOCK_WAIT")]
    pub lock_wait: Span,
    /// End with status 3 when a check finds changes.
    #[arg(long)]
    pub exit_code: bool,
}

/// What to do about a host key that is not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum HostKeys {
    /// Refuse it.
    #[default]
    Strict,
    /// Record the first key of a host of which nothing is known; refuse a changed one.
    AcceptNew,
}

/// `mk run`.
#[derive(Debug, ClapArgs)]
pub struct Run {
    /// The playbook.
    pub playbook: PathBuf,
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub connecting: Connecting,
    /// Only these hosts, as a pattern.
    #[arg(short, long, value_name = "PATTERN")]
    pub limit: Option<String>,
    /// Skip the playbooks that `play` calls where they completed before with the same scripts, sources, variables,
    /// hosts, limit and tasks, on the same machines. What is on the machines is not looked at.
    #[arg(long)]
    pub resume: bool,
    /// Give every step a round trip of its own, where steps whose result nobody looks at would travel together. What
    /// is done and shown is the same; it takes longer where the network is far.
    #[arg(long)]
    pub one_by_one: bool,
    /// Write a JUnit report to this file: a suite a task, a case a step.
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Write a report to this file, as one HTML page: the timeline, and every step with its diff.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Show at the end what the time was spent on: this side, connecting, the network, the agent, the programs it
    /// started, and waiting. With a file, also write each stretch of it as a trace, for Perfetto and `chrome://tracing`.
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    pub profile: Option<Vec<PathBuf>>,
    /// Only these tasks.
    #[arg(short, long, value_delimiter = ',', value_name = "TASK")]
    pub tags: Vec<String>,
}

/// `mk lint`.
#[derive(Debug, ClapArgs)]
pub struct Lint {
    /// Playbooks, or folders of them. The project's by default.
    pub paths: Vec<PathBuf>,
    #[command(flatten)]
    pub common: Common,
    /// One finding a line, in JSON.
    #[arg(long)]
    pub json: bool,
}

/// `mk facts`.
#[derive(Debug, ClapArgs)]
pub struct Facts {
    /// The hosts, as a pattern.
    pub pattern: String,
    /// Only these facts.
    #[arg(long, value_delimiter = ',', value_name = "FACT")]
    pub only: Vec<String>,
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub reach: Reach,
}

/// `mk ledger`.
#[derive(Debug, ClapArgs)]
pub struct Ledger {
    /// The hosts, as a pattern. Without it, all that the ledger knows.
    pub pattern: Option<String>,
    /// Only what calls in files with this in their path made, such as `07-etcd` or `worker.rhai`.
    #[arg(long, value_name = "FILE")]
    pub by: Option<String>,
    #[command(flatten)]
    pub common: Common,
    /// For machines: by host, each thing with the call that takes it away.
    #[arg(long)]
    pub json: bool,
}

/// `mk prune`.
#[derive(Debug, ClapArgs)]
pub struct Prune {
    /// The hosts, as a pattern. All of the inventory by default.
    pub pattern: Option<String>,
    /// Only show what would be taken away: the same as `--check`.
    #[arg(long)]
    pub plan: bool,
    /// Take it away without asking.
    #[arg(short, long)]
    pub yes: bool,
    /// Only what calls in files with this in their path made, such as `07-etcd` or `worker.rhai`.
    #[arg(long, value_name = "FILE")]
    pub by: Option<String>,
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub connecting: Connecting,
}

/// `mk hostkeys`.
#[derive(Debug, Subcommand)]
pub enum HostkeysCommand {
    /// Show the keys of hosts of which nothing is known, ask once, and record them.
    Scan {
        /// The hosts, as a pattern.
        pattern: String,
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        reach: Reach,
        /// Record them without asking.
        #[arg(short, long)]
        yes: bool,
    },
}

/// `mk agent`.
#[derive(Debug, Subcommand)]
pub enum AgentCommand {
    /// Remove the agent and all it keeps from hosts, over the bare connection.
    Remove {
        /// The hosts, as a pattern.
        pattern: String,
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        reach: Reach,
    },
}

/// `mk do`.
#[derive(Debug, ClapArgs)]
pub struct Do {
    /// The hosts, as a pattern.
    pub pattern: String,
    /// The operation.
    pub op: String,
    /// Its subject, and parameters as KEY=VALUE with VALUE in YAML.
    pub args: Vec<String>,
    /// After `--`: words that are the subject as they stand, such as those of a command.
    #[arg(last = true, value_name = "WORD")]
    pub words: Vec<String>,
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub connecting: Connecting,
}

fn span(text: &str) -> Result<Span, String> {
    Span::parse(text).ok_or_else(|| "a time such as 30s or 5m".to_owned())
}

/// Prints completions.
pub(super) fn completions(shell: clap_complete::Shell) {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "mk", &mut text);
    super::out::page(&String::from_utf8_lossy(&text));
}
