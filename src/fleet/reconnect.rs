//! The reconnect: a connection that was lost in the middle of a step is made once more, and the outcome asked for.
//!
//! A step that may change something is never run twice. The new agent takes the host's lock, which means that
//! the old one has ended, and then tells what that one wrote down: the outcome, or that the step was never begun.

use std::time::{Duration, Instant};

use super::agent_client::{AgentClient, Earlier};
use super::host::{Call, Link, Slot};
use super::pool::Fleet;
use crate::change::Outcome;
use crate::error::{Error, Kind, Result};
use crate::event::{EventKind, TimeSpentOn};
use crate::wire::{Mode, Record};

/// For how long it is tried to connect again, and then for how long the old agent may take to end, at least.
const LIMIT: Duration = Duration::from_secs(90);

/// The time between two tries.
pub(super) const PAUSE: Duration = Duration::from_secs(1);

/// How long it may take at least where its step is never stopped in the middle: packages may take their time.
const UNCUT: Duration = Duration::from_secs(60 * 60);

/// How long another run may have the lock, at least.
const LOCK_WAIT: Duration = Duration::from_secs(10);

impl Slot {
    /// Connects again, and finds out what came of the step.
    pub(super) async fn reconnect(&self, fleet: &Fleet, state: &mut Link, call: &Call, lost: Error) -> Result<Outcome> {
        let Link::Ready { agent, .. } = &*state else { return Err(lost) };
        if fleet.is_stopped() {
            return Err(lost);
        }
        let (pid, boot, had_lock) = (agent.hello.pid, agent.hello.boot.clone(), agent.locked);
        let step = format!("{} {}", call.step.op, call.step.subject);
        self.say(fleet, true, format!("{lost}, in the middle of `{}`: connects again", step.trim()));
        let lost_at = Instant::now();
        self.leave(state).await;
        let until = Instant::now() + LIMIT;
        *state = loop {
            match self.connect(fleet).await {
                Ok(ready) => break ready,
                Err(e) if e.kind() == Kind::Unreachable && Instant::now() < until && !fleet.is_stopped() => {
                    tokio::time::sleep(PAUSE).await;
                }
                Err(e) => {
                    fleet.spent(TimeSpentOn::Connect, &self.name, lost_at);
                    return Err(e.because(format!("{lost}, in the middle of the step")).because(UNSURE));
                }
            }
        };
        fleet.spent(TimeSpentOn::Connect, &self.name, lost_at);
        let Link::Ready { agent, .. } = state else { return Err(lost) };
        if call.reads || !had_lock {
            // Nothing that changes anything was sent.
            return self.locked_step(fleet, agent, call).await;
        }
        if agent.hello.boot != boot {
            return Err(lost.because("the host was rebooted meanwhile").because(UNSURE));
        }
        let wait = fleet.options.lock_wait.max(LOCK_WAIT);
        let limit = if crate::ops::find(&call.step.op).is_ok_and(|spec| spec.uncut) { UNCUT } else { LIMIT };
        let earlier = Earlier { pid, wait: fleet.options.lock_wait.max(limit) };
        let taken = agent.lock(&fleet.options.holder, fleet.ledger.id(), wait, Some(earlier)).await;
        let taken = taken.map_err(|e| e.because(UNSURE))?;
        fleet.note_left(&self.name, &agent.hello.machine, taken.left)?;
        // What the steps that were lost have called for is among these.
        agent.due_after = taken.pending.into_iter().map(|due| due.id).collect();
        agent.records = taken.records;
        self.known_step(fleet, agent, call, lost).await
    }

    /// The outcome of a step that an earlier agent of this run may have seen; run now, if that one has never begun it.
    /// Where nobody knows, it is the connection's fault.
    pub(super) async fn known_step(
        &self,
        fleet: &Fleet,
        agent: &mut AgentClient,
        call: &Call,
        lost: Error,
    ) -> Result<Outcome> {
        let known = agent.records.iter().find(|record| record.id == call.step.id);
        let last = agent.records.last().map(|record| record.id);
        let never_begun = known.is_none() && last.is_some_and(|last| last < call.step.id);
        if !never_begun {
            fleet.stands(&self.name, call.step.id, &fleet.keep_notified(call)?, agent.due_after.clone());
        }
        match known {
            Some(Record { result: Some(Err(e)), .. }) if e.kind() == Kind::Interrupted => {
                Err(Error::step("the connection was lost, so the host stopped the step in the middle"))
            }
            Some(Record { result: Some(result), .. }) => {
                let result =
                    result.clone().map_err(|e| e.told_by_host(call.mode == Mode::Check, fleet.is_stopped()))?;
                // Otherwise it would be run once more at the end of the run.
                call.settles.iter().try_for_each(|id| fleet.settled(&self.name, id))?;
                Ok(result)
            }
            None if never_begun => self.step(fleet, agent, call).await,
            _ => Err(lost.because(UNSURE)),
        }
    }

    /// Ends a connection that is of no use any more.
    pub(super) async fn leave(&self, state: &mut Link) {
        if let Link::Ready { pipes, .. } = std::mem::replace(state, Link::New) {
            pipes.close().await;
        }
    }

    pub(super) fn say(&self, fleet: &Fleet, warning: bool, text: String) {
        fleet.tell(EventKind::Said { host: Some(self.name.clone()), warning, text });
    }
}

const UNSURE: &str = "the step may or may not have been done";
