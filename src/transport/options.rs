//! What a run asks of its connections, and how it is asked back.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use crate::trust::Guard;

/// What to do about a host key that no file knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum HostKeyPolicy {
    /// Refuse it.
    #[default]
    Strict,
    /// Accept and record the first key of a host of which nothing is known. A changed key, a key of
    /// another type and a revoked key are refused all the same.
    AcceptNew,
}

/// What the command line says about connections.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// How long a TCP connection and then the handshake may each take. Default: the SSH
    /// configuration's `ConnectTimeout`, else ten seconds.
    pub connect_timeout: Option<Duration>,
    /// How often it is tried to reach a host, a second apart, where the inventory does not say. Default: the SSH
    /// configuration's `ConnectionAttempts`, else once.
    pub connect_attempts: Option<u32>,
    /// How long the host may take to answer one attempt to log in. The time a question waits for its
    /// answer does not count.
    pub auth_timeout: Duration,
    /// After how much silence the host is asked for a sign of life, where the SSH configuration has no
    /// `ServerAliveInterval`.
    pub keepalive_interval: Duration,
    /// After how many unanswered questions the host counts as lost.
    pub keepalive_max: usize,
    /// The user to log in as where the inventory names none (`-u`). Not used for jump hosts.
    pub user: Option<String>,
    /// Private keys to try, after those of the inventory (`--private-key`). Also used for jump hosts.
    pub keys: Vec<PathBuf>,
    /// What to do about unknown host keys.
    pub host_keys: HostKeyPolicy,
    /// Files to look host keys up in instead of the SSH configuration's. A file named in the inventory wins.
    pub known_hosts: Vec<PathBuf>,
    /// The SSH configuration to use instead of the user's and the system's (`ssh -F`).
    pub ssh_config: Option<PathBuf>,
    /// The `ssh` to ask for its configuration. Where there is none, SSH's defaults hold.
    pub ssh: PathBuf,
    /// Tells whose programs an inventory may have run here.
    pub guard: Guard,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect_timeout: None,
            connect_attempts: None,
            auth_timeout: Duration::from_secs(30),
            keepalive_interval: Duration::from_secs(15),
            keepalive_max: 3,
            user: None,
            keys: Vec::new(),
            host_keys: HostKeyPolicy::Strict,
            known_hosts: Vec::new(),
            ssh_config: None,
            ssh: PathBuf::from("ssh"),
            guard: Guard::default(),
        }
    }
}

/// Something only the user knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Question {
    /// The passphrase of a private key file. Asked once a file and run, for all hosts.
    Passphrase {
        /// The file.
        key: PathBuf,
        /// From 1; above, the previous answer was wrong.
        attempt: u8,
    },
    /// The password of a user on a host.
    Password {
        /// `user@address:port`.
        login: String,
        /// From 1; above, the previous answer was wrong.
        attempt: u8,
    },
    /// What a host asks for in its own words, such as a one-time code.
    Challenge {
        /// `user@address:port`.
        login: String,
        /// The host's words. Not to be trusted: a terminal must not interpret them.
        text: String,
        /// Whether the answer may be shown while it is typed.
        echo: bool,
    },
}

/// Who answers questions. Calls come one at a time, on a thread that may block.
pub(crate) trait Prompt: Send + Sync {
    /// The answer, or `None` when there will be none.
    fn answer(&self, question: &Question) -> Option<SecretString>;

    /// Whether passwords may be asked for at all (`--ask-pass`). Keys are always tried first.
    fn allows_passwords(&self) -> bool {
        false
    }
}

/// Answers nothing.
#[cfg(test)]
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct NoPrompt;

#[cfg(test)]
impl Prompt for NoPrompt {
    fn answer(&self, _question: &Question) -> Option<SecretString> {
        None
    }
}
