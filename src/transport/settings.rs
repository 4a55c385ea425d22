//! Asks `ssh -G` what the user's SSH configuration says about a host, once a host and run.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::process::Command;
use tokio::sync::{OnceCell, Semaphore};

use super::config::{Config, Me};
use crate::error::{Error, Kind, Result};

/// How long `ssh -G` may take: a `Match exec` in the configuration runs a command of the user's.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many may run at once.
const AT_ONCE: usize = 8;

/// What is asked: a host, and what is known already, since a configuration may depend on it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Query {
    pub host: String,
    pub user: Option<String>,
    pub port: Option<u16>,
}

/// Answers queries, each once.
#[derive(Debug)]
pub(super) struct Settings {
    ssh: PathBuf,
    config: Option<PathBuf>,
    pub me: Me,
    answers: Mutex<HashMap<Query, Arc<OnceCell<Config>>>>,
    running: Semaphore,
}

impl Settings {
    pub(super) fn new(ssh: PathBuf, config: Option<PathBuf>, me: Me) -> Self {
        Self { ssh, config, me, answers: Mutex::default(), running: Semaphore::new(AT_ONCE) }
    }

    /// What holds for a host. What the query names wins.
    pub(super) async fn of(&self, query: &Query) -> Result<Config> {
        check_host(&query.host)?;
        let cell = {
            let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(answers.entry(query.clone()).or_default())
        };
        let mut config = cell.get_or_try_init(|| self.ask(query)).await?.clone();
        if let Some(user) = &query.user {
            config.user.clone_from(user);
        }
        config.port = query.port.unwrap_or(config.port);
        Ok(config)
    }

    async fn ask(&self, query: &Query) -> Result<Config> {
        let _permit = self.running.acquire().await.map_err(|_| Error::internal("no more settings are answered"))?;
        let mut command = Command::new(&self.ssh);
        command.arg("-G");
        for name in crate::secret::hidden_variables() {
            command.env_remove(name);
        }
        if let Some(config) = &self.config {
            command.arg("-F").arg(config);
        }
        if let Some(user) = &query.user {
            command.arg("-l").arg(user);
        }
        if let Some(port) = query.port {
            command.arg("-p").arg(port.to_string());
        }
        command.arg("--").arg(&query.host);
        command.stdin(Stdio::null()).kill_on_drop(true);
        let failed = || {
            Error::new(
                Kind::Unreachable,
                format!("cannot read the SSH configuration of `{}` with `ssh -G`", query.host),
            )
        };
        match tokio::time::timeout(PATIENCE, command.output()).await {
            Err(_) => Err(failed().because(format!("no answer within {} s", PATIENCE.as_secs()))),
            Ok(Err(e)) if e.kind() == std::io::ErrorKind::NotFound => Ok(Config::defaults(&query.host, &self.me)),
            Ok(Err(e)) => Err(failed().because(e)),
            Ok(Ok(output)) if !output.status.success() => {
                let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                Err(failed().because(output.status).note(said))
            }
            Ok(Ok(output)) => Ok(Config::parse(&query.host, &String::from_utf8_lossy(&output.stdout), &self.me)),
        }
    }
}

/// Refuses what is no host name but could be taken for an option, or hide in a message.
pub(super) fn check_host(host: &str) -> Result {
    let odd = |c: char| c.is_whitespace() || c.is_control();
    if host.is_empty() || host.starts_with('-') || host.contains(odd) {
        return Err(Error::inventory(format!("`{}` is not a host name", host.escape_debug())));
    }
    Ok(())
}
