//! Connections against a real `sshd`, started by the test on a free port of 127.0.0.1.
//!
//! Needs `sshd`, `ssh`, `ssh-keygen`, `ssh-agent` (Debian: `openssh-server`, `openssh-client`). A test
//! fails where they are missing; none is skipped.

mod channels;
mod config;
mod host_keys;
mod known_hosts;
mod local;
mod login;
mod loss;
mod passwords;
mod relay;
mod routes;
mod sshd;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use secrecy::SecretString;

use super::options::NoPrompt;
use super::{Connection, Dialer, Options, Prompt, Question};
use crate::error::{Error, Result};
use crate::inventory::{SshWay, Way};

/// Connects by one way, with no other host known.
async fn connect(dialer: &Dialer, way: &SshWay) -> Result<Connection> {
    dialer.connect("target", &[Way::Ssh(way.clone())], &|_| None).await
}

fn dialer(options: Options) -> Dialer {
    Dialer::new(options, Arc::new(NoPrompt))
}

/// Hosts an inventory would know.
fn hops(known: HashMap<&'static str, SshWay>) -> impl Fn(&str) -> Option<Vec<Way>> + Sync {
    move |name| known.get(name).map(|way| vec![Way::Ssh(way.clone())])
}

/// The fault of a connection that must not come about.
fn fault(result: Result<Connection>) -> Error {
    match result {
        Ok(connection) => panic!("connected to {}", connection.describe()),
        Err(e) => e,
    }
}

/// Answers from a list, and keeps the questions.
#[derive(Default)]
struct Answers {
    texts: Vec<&'static str>,
    passwords: bool,
    asked: Mutex<Vec<Question>>,
}

impl Prompt for Answers {
    fn answer(&self, question: &Question) -> Option<SecretString> {
        let mut asked = self.asked.lock().unwrap();
        asked.push(question.clone());
        self.texts.get(asked.len() - 1).map(|answer| SecretString::from(*answer))
    }

    fn allows_passwords(&self) -> bool {
        self.passwords
    }
}

/// A file of the fixture that must be there.
fn text(path: &PathBuf) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()))
}
