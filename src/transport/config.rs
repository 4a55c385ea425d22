//! What `ssh -G` prints, read. A pure function of the text and of who the user is.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// The settings of one host as SSH resolved them, those that matter here.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Config {
    pub hostname: String,
    pub user: String,
    pub port: u16,
    pub identity_files: Vec<PathBuf>,
    pub certificate_files: Vec<PathBuf>,
    pub identities_only: bool,
    /// The socket of the SSH agent.
    pub agent: Option<PathBuf>,
    /// Hops, first hop first.
    pub proxy_jump: Vec<String>,
    pub proxy_command: Option<String>,
    pub user_known_hosts: Vec<PathBuf>,
    pub global_known_hosts: Vec<PathBuf>,
    pub host_key_alias: Option<String>,
    pub hash_known_hosts: bool,
    pub revoked_host_keys: Option<PathBuf>,
    pub connect_timeout: Option<Duration>,
    pub connection_attempts: Option<u32>,
    /// After how much silence the host is asked for a sign of life, where the user says so.
    pub alive_interval: Option<Duration>,
    /// How many of these questions may stay unanswered.
    pub alive_max: usize,
}

/// Who runs mk, as far as SSH's settings depend on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Me {
    pub user: String,
    pub home: PathBuf,
    pub agent: Option<PathBuf>,
}

impl Me {
    /// The user of this process.
    pub(super) fn of_process() -> Self {
        let var = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let home = etcetera::home_dir().unwrap_or_else(|_| PathBuf::from("/"));
        let user = var("USER").or_else(|| var("LOGNAME")).map_or_else(
            || if rustix::process::getuid().is_root() { "root".to_owned() } else { String::new() },
            |user| user.to_string_lossy().into_owned(),
        );
        Self { user, home, agent: var("SSH_AUTH_SOCK").map(PathBuf::from) }
    }
}

impl Config {
    /// What SSH does about `host` without any configuration.
    pub(super) fn defaults(host: &str, me: &Me) -> Self {
        let ssh = me.home.join(".ssh");
        Self {
            hostname: host.to_owned(),
            user: me.user.clone(),
            port: 22,
            identity_files: ["id_ed25519", "id_ecdsa", "id_rsa"].map(|name| ssh.join(name)).into(),
            certificate_files: Vec::new(),
            identities_only: false,
            agent: me.agent.clone(),
            proxy_jump: Vec::new(),
            proxy_command: None,
            user_known_hosts: ["known_hosts", "known_hosts2"].map(|name| ssh.join(name)).into(),
            global_known_hosts: ["ssh_known_hosts", "ssh_known_hosts2"]
                .map(|name| Path::new("/etc/ssh").join(name))
                .into(),
            host_key_alias: None,
            hash_known_hosts: false,
            revoked_host_keys: None,
            connect_timeout: None,
            connection_attempts: None,
            alive_interval: None,
            alive_max: 3,
        }
    }

    /// Reads what `ssh -G host` printed. What it does not say stays at its default.
    pub(super) fn parse(host: &str, text: &str, me: &Me) -> Self {
        let mut config = Self::defaults(host, me);
        let (mut identities, mut certificates) = (Vec::new(), Vec::new());
        for (key, value) in text.lines().filter_map(|line| line.trim().split_once(' ')) {
            let value = value.trim();
            match key.to_ascii_lowercase().as_str() {
                "hostname" => value.clone_into(&mut config.hostname),
                "user" => value.clone_into(&mut config.user),
                "port" => config.port = value.parse().unwrap_or(config.port),
                "identityfile" => identities.extend(optional(value)),
                "certificatefile" => certificates.extend(optional(value)),
                "identitiesonly" => config.identities_only = value == "yes",
                "identityagent" => config.agent = agent(value, config.agent.as_deref()),
                "proxyjump" => {
                    config.proxy_jump =
                        optional(value).map(|hops| hops.split(',').map(str::to_owned).collect()).unwrap_or_default();
                }
                "proxycommand" => config.proxy_command = optional(value).map(str::to_owned),
                "userknownhostsfile" => config.user_known_hosts = files(value),
                "globalknownhostsfile" => config.global_known_hosts = files(value),
                "hostkeyalias" => config.host_key_alias = optional(value).map(str::to_owned),
                "hashknownhosts" => config.hash_known_hosts = value == "yes",
                "revokedhostkeys" => config.revoked_host_keys = optional(value).map(PathBuf::from),
                "connecttimeout" => config.connect_timeout = value.parse().ok().map(Duration::from_secs),
                "connectionattempts" => config.connection_attempts = value.parse().ok(),
                // SSH's 0 is never; mk has an interval of its own then.
                "serveraliveinterval" => {
                    config.alive_interval = value.parse().ok().filter(|s| *s > 0).map(Duration::from_secs);
                }
                "serveralivecountmax" => config.alive_max = value.parse().unwrap_or(config.alive_max),
                _ => {}
            }
        }
        // The paths are filled in last: they may name the host and the user.
        if !identities.is_empty() {
            config.identity_files = identities.iter().map(|path| config.path(path, me)).collect();
        }
        config.certificate_files = certificates.iter().map(|path| config.path(path, me)).collect();
        let fill = |path: &PathBuf| config.path(&path.to_string_lossy(), me);
        let user_known_hosts = config.user_known_hosts.iter().map(fill).collect();
        let global_known_hosts = config.global_known_hosts.iter().map(fill).collect();
        let (revoked, agent) = (config.revoked_host_keys.as_ref().map(fill), config.agent.as_ref().map(fill));
        config.user_known_hosts = user_known_hosts;
        config.global_known_hosts = global_known_hosts;
        config.revoked_host_keys = revoked;
        config.agent = agent;
        config
    }

    fn path(&self, text: &str, me: &Me) -> PathBuf {
        let filled = percent(text, |token| match token {
            'd' => Some(me.home.display().to_string()),
            'h' => Some(self.hostname.clone()),
            'p' => Some(self.port.to_string()),
            'r' => Some(self.user.clone()),
            'u' => Some(me.user.clone()),
            _ => None,
        });
        at_home(Path::new(&filled), &me.home)
    }
}

/// `~/…` as a path below `home`.
pub(super) fn at_home(path: &Path, home: &Path) -> PathBuf {
    match path.strip_prefix("~") {
        Ok(rest) => home.join(rest),
        Err(_) => path.to_owned(),
    }
}

/// `text` with its `%`-tokens filled in. `%%` is a percent sign; a token without a value stays.
pub(super) fn percent(text: &str, value: impl Fn(char) -> Option<String>) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            filled.push(c);
            continue;
        }
        match chars.next() {
            None | Some('%') => filled.push('%'),
            Some(token) => match value(token) {
                Some(value) => filled.push_str(&value),
                None => filled.extend(['%', token]),
            },
        }
    }
    filled
}

fn optional(value: &str) -> Option<&str> {
    Some(value).filter(|value| !value.is_empty() && !value.eq_ignore_ascii_case("none"))
}

fn files(value: &str) -> Vec<PathBuf> {
    value.split_whitespace().filter_map(optional).map(PathBuf::from).collect()
}

fn agent(value: &str, inherited: Option<&Path>) -> Option<PathBuf> {
    match optional(value)? {
        "SSH_AUTH_SOCK" => inherited.map(Path::to_owned),
        other => match other.strip_prefix('$') {
            Some(variable) => std::env::var_os(variable.trim_matches(['{', '}'])).map(PathBuf::from),
            None => Some(PathBuf::from(other)),
        },
    }
}
