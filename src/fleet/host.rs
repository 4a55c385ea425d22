//! One host of the run: its connection and its agent, or why there is none.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Mutex;

use super::agent_client::AgentClient;
use super::bootstrap::{self, Become};
use super::due::Notified;
use super::pool::{Fleet, Pipes};
use crate::change::Outcome;
use crate::control::Responder;
use crate::error::{Error, Kind, Result};
use crate::event::{EventKind, Step, TimeSpentOn};
use crate::wire::{Hello, Mode};

/// A step to be run on a host.
#[derive(Clone)]
pub(crate) struct Call {
    /// The host.
    pub host: String,
    /// The step, for those who watch.
    pub step: Step,
    /// When this side began with it.
    pub begun: Instant,
    /// The parameters, resolved on this side, secrets still as tokens.
    pub args: Value,
    /// Check or apply; a step that only reads may run in a check.
    pub mode: Mode,
    /// It only reads, so it needs no lock.
    pub reads: bool,
    /// This side's half of it, where it has one.
    pub responder: Option<Arc<dyn Responder>>,
    /// The steps to run at the end when this one changes something.
    pub notify: Vec<Arc<Notified>>,
    /// The caller has the last word on whether it did.
    pub judged: bool,
    /// The id of the notified step that this one is.
    pub settles: Option<String>,
    /// Pass output on while the step runs.
    pub stream: bool,
}

/// What came of a command on the bare connection.
#[derive(Debug, Clone)]
pub(crate) struct Raw {
    /// What it printed.
    pub stdout: Vec<u8>,
    /// What it complained.
    pub stderr: Vec<u8>,
}

/// The link to a host, as far as it has come.
pub(super) enum Link {
    New,
    Ready { pipes: Box<dyn Pipes>, agent: Box<AgentClient> },
    Lost(Error),
}

/// A host's place in the fleet. Steps wait here for each other.
pub(super) struct Slot {
    pub(super) name: String,
    pub(super) state: Mutex<Link>,
    /// What is due from earlier runs is known: what is noted on the host from then on is this run's own.
    caught_up: AtomicBool,
}

impl Slot {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), state: Mutex::new(Link::New), caught_up: AtomicBool::new(false) }
    }

    /// The agent, started first when there is none yet.
    pub(super) async fn agent<'a>(&self, fleet: &Fleet, state: &'a mut Link) -> Result<&'a mut AgentClient> {
        if fleet.is_stopped() {
            return Err(Error::new(Kind::Interrupted, "stopped"));
        }
        if matches!(*state, Link::New) {
            *state = match self.connect(fleet).await {
                Ok(ready) => ready,
                Err(error) => {
                    fleet.tell(EventKind::HostFailed { host: self.name.clone(), error: error.clone() });
                    Link::Lost(error)
                }
            };
        }
        match state {
            Link::Ready { agent, .. } => Ok(agent),
            Link::Lost(error) => Err(error.clone()),
            Link::New => Err(Error::internal("a host that is neither connected nor lost")),
        }
    }

    pub(super) async fn hello(&self, fleet: &Fleet) -> Result<Hello> {
        let mut state = self.state.lock().await;
        self.agent(fleet, &mut state).await.map(|agent| agent.hello.clone())
    }

    /// Runs a step; before the first one that may change anything, the host's lock is taken.
    pub(super) async fn locked_step(&self, fleet: &Fleet, agent: &mut AgentClient, call: &Call) -> Result<Outcome> {
        if call.mode == Mode::Apply && !call.reads {
            self.take_lock(fleet, agent).await?;
        }
        // It may have travelled with the one in whose middle the connection was lost.
        if !agent.records.is_empty() {
            let lost = Error::new(Kind::Unreachable, "the connection to the host was lost");
            return self.known_step(fleet, agent, call, lost).await;
        }
        self.step(fleet, agent, call).await
    }

    /// Takes the host's lock, unless this run has it, and makes up for what earlier runs left.
    pub(super) async fn take_lock(&self, fleet: &Fleet, agent: &mut AgentClient) -> Result {
        if agent.locked {
            return Ok(());
        }
        let asked = Instant::now();
        let (holder, wait) = (&fleet.options.holder, fleet.options.lock_wait);
        let taken = agent.lock(holder, fleet.ledger.id(), wait, None).await;
        let waited = taken.as_ref().map_or(true, |taken| taken.waited);
        fleet.spent(if waited { TimeSpentOn::Waiting } else { TimeSpentOn::Network }, &self.name, asked);
        let taken = taken?;
        fleet.note_left(&self.name, &agent.hello.machine, taken.left)?;
        if !self.caught_up.swap(true, Ordering::SeqCst) {
            let over = fleet.found_due(&self.name, &agent.hello.boot, taken.pending)?;
            self.strike_off(fleet, agent, &over).await?;
        }
        Ok(())
    }

    /// Connects and starts the agent.
    pub(super) async fn connect(&self, fleet: &Fleet) -> Result<Link> {
        let asked = Instant::now();
        let permit = fleet.handshakes.acquire().await.map_err(|e| Error::internal("the fleet is closed").because(e))?;
        let started = Instant::now();
        fleet.spent(TimeSpentOn::Waiting, &self.name, asked);
        let result = self.connect_now(fleet, started).await;
        drop(permit);
        fleet.spent(TimeSpentOn::Connect, &self.name, started);
        result
    }

    async fn connect_now(&self, fleet: &Fleet, started: Instant) -> Result<Link> {
        tracing::debug!(target: "mk::fleet", host = self.name, "connecting");
        let pipes = fleet.connector.connect(&self.name).await?;
        tracing::debug!(target: "mk::fleet", host = self.name, way = pipes.way(), "starting the agent");
        let user = fleet.connector.become_user(&self.name);
        let other = user.map(|user| Become { user, password: fleet.prompts.become_password() });
        let (command, mark) = bootstrap::command(&fleet.agents, other.as_ref());
        let mut pipe = pipes.spawn(&command).await?;
        let pushed =
            bootstrap::start(&mut pipe, &fleet.agents, &mark, other.as_ref(), fleet.options.start_limit).await?;
        let agent = tokio::time::timeout(fleet.options.start_limit, AgentClient::begin(pipe))
            .await
            .map_err(|_| Error::new(Kind::Unreachable, "the agent started but did not speak"))??;
        tracing::debug!(target: "mk::fleet", host = self.name, build = agent.hello.build, pushed, "the agent speaks");
        fleet.remember_canceller(agent.canceller());
        let took = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        fleet.tell(EventKind::Connected { host: self.name.clone(), way: pipes.way(), pushed, took });
        Ok(Link::Ready { pipes, agent: Box::new(agent) })
    }

    pub(super) async fn raw(&self, fleet: &Fleet, command: &str, stdin: &[u8], limit: Duration) -> Result<Raw> {
        let state = self.state.lock().await;
        let opened;
        let pipes = match &*state {
            Link::Ready { pipes, .. } => pipes,
            _ => {
                let begun = Instant::now();
                opened = fleet.connector.connect(&self.name).await?;
                fleet.spent(TimeSpentOn::Connect, &self.name, begun);
                &opened
            }
        };
        let talk = async {
            let mut pipe = pipes.spawn(command).await?;
            let lost = |e| Error::new(Kind::Unreachable, "the connection to the host was lost").because(e);
            pipe.stdin.write_all(stdin).await.map_err(lost)?;
            pipe.stdin.shutdown().await.map_err(lost)?;
            let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
            let most = u64::try_from(crate::sys::OUTPUT_LIMIT).unwrap_or(u64::MAX);
            let (mut out, mut err) = (pipe.stdout.take(most), pipe.stderr.take(most));
            let (a, b) = tokio::join!(out.read_to_end(&mut stdout), err.read_to_end(&mut stderr));
            a.and(b).map_err(lost)?;
            Ok(Raw { stdout, stderr })
        };
        let late = |_| Error::step(format!("the command did not end within {} s", limit.as_secs()));
        tokio::time::timeout(limit, talk).await.map_err(late)?
    }

    /// The machine's own id; `None` when it is not connected.
    pub(super) async fn machine(&self) -> Option<String> {
        match &*self.state.lock().await {
            Link::Ready { agent, .. } => Some(agent.hello.machine.clone()),
            _ => None,
        }
    }

    pub(super) async fn close(&self) {
        let state = std::mem::replace(&mut *self.state.lock().await, Link::New);
        if let Link::Ready { pipes, agent } = state {
            agent.end().await;
            pipes.close().await;
        }
    }
}
