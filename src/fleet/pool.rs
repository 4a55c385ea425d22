//! Every host of the run, and what they share.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::agents::Agents;
use super::due::Dues;
use super::heartbeat::Canceller;
use super::host::{Call, Slot};
use super::steps::Told;
use super::traffic::Trip;
use crate::change::Outcome;
use crate::control::Control;
use crate::error::{Error, Kind, Result};
use crate::event::{EventKind, Events, TimeSpentOn};
use crate::state::Ledger;
use crate::wire::{Hello, Mode};

/// The three streams of a command on a host.
pub(crate) struct Pipe {
    /// Its standard input.
    pub stdin: Box<dyn AsyncWrite + Send + Unpin>,
    /// Its standard output.
    pub stdout: Box<dyn AsyncRead + Send + Unpin>,
    /// Its standard error.
    pub stderr: Box<dyn AsyncRead + Send + Unpin>,
}

impl Pipe {
    /// Puts bytes back in front of the standard output.
    pub(super) fn unread(&mut self, bytes: &[u8]) {
        let rest = std::mem::replace(&mut self.stdout, Box::new(tokio::io::empty()));
        self.stdout = Box::new(std::io::Cursor::new(bytes.to_vec()).chain(rest));
    }

    #[allow(clippy::type_complexity, reason = "the parts of the struct, by value")]
    pub(super) fn split(
        self,
    ) -> (Box<dyn AsyncWrite + Send + Unpin>, Box<dyn AsyncRead + Send + Unpin>, Box<dyn AsyncRead + Send + Unpin>)
    {
        (self.stdin, self.stdout, self.stderr)
    }
}

/// A boxed future, because a trait object cannot have `async fn`.
pub(crate) type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// An open connection to a host that can start commands.
pub(crate) trait Pipes: Send + Sync {
    /// Starts a command; the login shell of the host reads it.
    fn spawn<'a>(&'a self, command: &'a str) -> Boxed<'a, Result<Pipe>>;

    /// How the host was reached, for people.
    fn way(&self) -> String;

    /// Ends the connection.
    fn close(&self) -> Boxed<'_, ()>;
}

/// Opens connections; what the fleet knows of transports.
pub(crate) trait Connector: Send + Sync {
    /// Connects to a host by its name in the inventory.
    fn connect<'a>(&'a self, host: &'a str) -> Boxed<'a, Result<Box<dyn Pipes>>>;

    /// The user to become on it, when not the one that logs in.
    fn become_user(&self, host: &str) -> Option<String>;
}

/// What may have to be asked of the person at the keyboard.
pub(crate) trait Prompts: Send + Sync {
    /// The password sudo wants on hosts, if the user said that there is one.
    fn become_password(&self) -> Option<String>;
}

/// What holds for the whole run.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// How many hosts connect, and run a closure, at a time.
    pub forks: usize,
    /// Check or apply.
    pub mode: Mode,
    /// How long a host may take from connection to a ready agent.
    pub start_limit: Duration,
    /// Who holds the locks, for whoever meets them.
    pub holder: String,
    /// How long to wait for a host that another run has.
    pub lock_wait: Duration,
}

/// The hosts of a run.
pub(crate) struct Fleet {
    pub(super) options: Options,
    pub(super) events: Events,
    pub(super) control: Arc<Control>,
    /// What was made on the hosts.
    pub ledger: Ledger,
    pub(super) agents: Agents,
    pub(super) connector: Box<dyn Connector>,
    pub(super) prompts: Box<dyn Prompts>,
    pub(super) handshakes: Semaphore,
    pub(super) runtime: Handle,
    slots: Mutex<BTreeMap<String, Arc<Slot>>>,
    cancellers: Mutex<Vec<Canceller>>,
    stopped: AtomicBool,
    ids: AtomicU64,
    pub(super) dues: Mutex<Dues>,
}

impl Fleet {
    /// A fleet without connections yet.
    pub(crate) fn new(
        runtime: Handle,
        options: Options,
        events: Events,
        control: Arc<Control>,
        agents: Agents,
        connector: Box<dyn Connector>,
        prompts: Box<dyn Prompts>,
    ) -> Self {
        let handshakes = Semaphore::new(options.forks.max(1));
        Self {
            options,
            events,
            ledger: control.state.ledger(),
            control,
            agents,
            connector,
            prompts,
            handshakes,
            runtime,
            slots: Mutex::default(),
            cancellers: Mutex::default(),
            stopped: AtomicBool::new(false),
            ids: AtomicU64::new(1),
            dues: Mutex::default(),
        }
    }

    /// Whether this run may change anything.
    pub(crate) fn mode(&self) -> Mode {
        self.options.mode
    }

    /// How many hosts work at a time.
    pub(crate) fn forks(&self) -> usize {
        self.options.forks.max(1)
    }

    /// A number no other step of this run has.
    pub(crate) fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    /// Runs a step on its host, connecting first when that is not done yet. Blocks the calling thread.
    ///
    /// # Errors
    /// The step's fault, or the connection's. A host that could not be reached is not tried again.
    pub(crate) fn call(&self, call: &Call) -> Result<Outcome> {
        if self.is_stopped() {
            return Err(Error::new(Kind::Interrupted, "stopped").on(&call.host));
        }
        let mut came = Err(Error::internal("a step without an outcome"));
        self.runtime
            .block_on(self.slot(&call.host).call(self, std::slice::from_ref(call), &mut |_, result| came = result));
        self.spent_on(call.step.id, &call.host, call.begun);
        came.map_err(|e| e.on(&call.host))
    }

    /// Runs steps of one host, one after another up to the first that fails, and tells of each as it ends. They
    /// travel together. Blocks the calling thread.
    pub(crate) fn call_all(&self, calls: &[Call], told: &mut Told<'_>) {
        let Some(first) = calls.first() else { return };
        if self.is_stopped() {
            return told(0, Err(Error::new(Kind::Interrupted, "stopped").on(&first.host)));
        }
        let mut begun = Instant::now();
        let mut told = |index: usize, result: Result<Outcome>| {
            let call = &calls[index];
            self.spent_on(call.step.id, &call.host, begun);
            begun = Instant::now();
            told(index, result.map_err(|e| e.on(&call.host)));
        };
        self.runtime.block_on(self.slot(&first.host).call(self, calls, &mut told));
    }

    /// What a host's agent said of itself; connects first when that is not done yet. Blocks the calling thread.
    ///
    /// # Errors
    /// The connection's fault.
    pub(crate) fn hello(&self, host: &str) -> Result<Hello> {
        let slot = self.slot(host);
        self.runtime.block_on(slot.hello(self)).map_err(|e| e.on(host))
    }

    /// The ids of the machines that are connected, by host.
    pub(crate) fn machines(&self) -> BTreeMap<String, String> {
        let slots: Vec<Arc<Slot>> = lock(&self.slots).values().cloned().collect();
        let ask = async |slot: Arc<Slot>| Some((slot.name.clone(), slot.machine().await?));
        slots.into_iter().filter_map(|slot| self.runtime.block_on(ask(slot))).collect()
    }

    /// Runs a command on the bare connection, without an agent. Blocks the calling thread.
    ///
    /// # Errors
    /// The connection's fault.
    pub(crate) fn raw(&self, host: &str, command: &str, stdin: &[u8], limit: Duration) -> Result<super::host::Raw> {
        let slot = self.slot(host);
        self.runtime.block_on(slot.raw(self, command, stdin, limit)).map_err(|e| e.on(host))
    }

    /// Stops every running step, and refuses those that would follow.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        let cancellers = std::mem::take(&mut *lock(&self.cancellers));
        for canceller in cancellers {
            self.runtime.spawn(async move { canceller.cancel().await });
        }
    }

    /// Whether [`Fleet::stop`] was called.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// Ends all agents and connections. Blocks the calling thread.
    pub(crate) fn close(&self) {
        let slots: Vec<Arc<Slot>> = lock(&self.slots).values().cloned().collect();
        self.runtime.block_on(async {
            let ending: Vec<_> =
                slots.into_iter().map(|slot| tokio::spawn(async move { slot.close().await })).collect();
            for end in ending {
                let _ = end.await;
            }
        });
        self.drop_undue();
        self.ledger.sync();
    }

    pub(super) fn remember_canceller(&self, canceller: Canceller) {
        lock(&self.cancellers).push(canceller);
    }

    /// Tells what the time since `from` was spent on for a host.
    pub(super) fn spent(&self, part: TimeSpentOn, host: &str, from: Instant) {
        self.events.spent(part, Some(host), None, (from, Instant::now()));
    }

    /// Tells how long a step took as a whole.
    pub(super) fn spent_on(&self, step: u64, host: &str, begun: Instant) {
        self.events.spent(TimeSpentOn::Control, Some(host), Some(step), (begun, Instant::now()));
    }

    /// Tells what a round trip was spent on. When in it the agent and its programs had their turns is not known:
    /// they are put at its end, and this side at its beginning.
    pub(super) fn spent_on_trip(&self, host: &str, trip: &Trip) {
        if !self.events.is_profiled() {
            return;
        }
        let tell = |part, from, to| self.events.spent(part, Some(host), None, (from, to));
        let all = trip.ended.saturating_duration_since(trip.begun);
        let away = trip.away.min(all);
        tell(TimeSpentOn::Network, trip.begun, trip.ended);
        tell(TimeSpentOn::Control, trip.begun, trip.begun + all.saturating_sub(away));
        let Some(worked) = trip.worked else { return };
        let (own, child) = (Duration::from_micros(worked.own), Duration::from_micros(worked.child));
        // While content is on its way both sides work at once; the time is this side's then.
        let there = (own + child).min(away);
        tell(TimeSpentOn::Agent, trip.begun + all.saturating_sub(there), trip.ended);
        tell(TimeSpentOn::Child, trip.begun + all.saturating_sub(child.min(there)), trip.ended);
    }

    pub(super) fn tell(&self, what: EventKind) {
        self.events.tell(what);
    }

    pub(super) fn slot(&self, host: &str) -> Arc<Slot> {
        let mut slots = lock(&self.slots);
        Arc::clone(slots.entry(host.to_owned()).or_insert_with(|| Arc::new(Slot::new(host))))
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
