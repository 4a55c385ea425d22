//! How a host can be reached: an ordered list of ways in, tried in turn.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One way in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Way {
    /// This machine, without SSH.
    Local {},
    /// SSH, straight or through other hosts.
    Ssh(SshWay),
}

/// The settings of an SSH way. What is absent comes from the command line, then from the user's SSH
/// configuration, then from SSH's own defaults.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SshWay {
    /// The name or address to connect to. Default: the host's own name, as the SSH configuration maps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The port. Default: as the SSH configuration says, else 22.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The user to log in as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Private key files, tried before the agent's keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<PathBuf>,
    /// Host keys that the host must present one of: `ssh-ed25519 AAAA…`. No known_hosts file is asked then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub host_keys: Vec<String>,
    /// A known_hosts file to ask instead of the user's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_hosts: Option<PathBuf>,
    /// Hosts to jump through, first hop first: names in this inventory, or `user@address:port`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub jump: Vec<String>,
    /// A command whose stdin and stdout are the connection, as SSH's ProxyCommand; `%h`, `%p`, `%r` are filled in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
}
