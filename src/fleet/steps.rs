//! Steps on their way to a host and their outcomes on the way back.
//!
//! Steps that nobody has to look at in between travel together: the agent carries them out one after another, up to
//! the first that fails, and tells of each as it ends.

use std::time::Instant;

use super::agent_client::{AgentClient, Listener};
use super::host::{Call, Link, Slot};
use super::pool::Fleet;
use crate::change::{Outcome, Trace, weight};
use crate::error::{Error, Result};
use crate::event::{EventKind, TimeSpentOn};
use crate::op::Operation;
use crate::ops::Reboot;
use crate::secret::Masked;
use crate::wire::{Attachment, Mode, Request};

/// Is told what came of each step, by its place in the list, as soon as that is known.
pub(super) type Told<'a> = dyn FnMut(usize, Result<Outcome>) + 'a;

impl Slot {
    /// Runs steps, one after another up to the first that fails.
    pub(super) async fn call(&self, fleet: &Fleet, calls: &[Call], told: &mut Told<'_>) {
        let asked = Instant::now();
        let mut state = self.state.lock().await;
        fleet.spent(TimeSpentOn::Waiting, &self.name, asked);
        let mut done = 0;
        let several = if calls.len() > 1 { calls } else { &[] };
        let requests = match self.requests(fleet, &mut state, several).await {
            Ok(requests) => requests,
            Err(error) => return told(0, Err(error)),
        };
        while calls.len() - done > 1 {
            let some = done..done + portion(&requests[done..]);
            let mut told = |index: usize, result| told(done + index, result);
            match self.together(fleet, &mut state, &calls[some.clone()], &requests[some.clone()], &mut told).await {
                Some(count) => done += count,
                None => return,
            }
            if done < some.end {
                break;
            }
        }
        for (index, call) in calls.iter().enumerate().skip(done) {
            let result = self.one(fleet, &mut state, call).await;
            let failed = result.is_err();
            told(index, result);
            if failed {
                return;
            }
        }
    }

    /// Several steps as the host is told of them.
    async fn requests(&self, fleet: &Fleet, state: &mut Link, calls: &[Call]) -> Result<Vec<Request>> {
        if calls.iter().any(|call| !call.notify.is_empty()) {
            self.ready(fleet, state, calls).await?;
        }
        calls.iter().map(|call| request(fleet, call)).collect()
    }

    async fn one(&self, fleet: &Fleet, state: &mut Link, call: &Call) -> Result<Outcome> {
        let agent = self.agent(fleet, state).await?;
        let result = match call.step.op == Reboot::NAME {
            true => self.reboot(fleet, state, call).await,
            false => match self.locked_step(fleet, agent, call).await {
                Err(error) if agent.lost && call.mode == Mode::Apply => self.reconnect(fleet, state, call, error).await,
                result => result,
            },
        };
        result.inspect_err(|error| self.may_be_lost(fleet, state, error))
    }

    /// Runs several in one round trip. Gives how many of them went well, where the rest is still to be sent: the
    /// connection was lost and made again. `None` when one failed.
    async fn together(
        &self,
        fleet: &Fleet,
        state: &mut Link,
        calls: &[Call],
        requests: &[Request],
        told: &mut Told<'_>,
    ) -> Option<usize> {
        let agent = match self.ready(fleet, state, calls).await {
            Ok(agent) => agent,
            Err(error) => {
                told(0, Err(error));
                return None;
            }
        };
        let mut sent = agent.steps(requests).await;
        for (index, (call, request)) in calls.iter().zip(requests).enumerate() {
            let result = match std::mem::replace(&mut sent, Ok(())) {
                Ok(()) => self.outcome(fleet, agent, call, request).await,
                Err(error) => Err(error),
            };
            let reconnects = agent.lost && call.mode == Mode::Apply;
            let error = match result {
                Ok(outcome) => {
                    told(index, Ok(outcome));
                    continue;
                }
                Err(error) if reconnects => match self.reconnect(fleet, state, call, error).await {
                    Ok(outcome) => {
                        told(index, Ok(outcome));
                        return Some(index + 1);
                    }
                    Err(error) => error,
                },
                Err(error) => {
                    // What failed on this side did not stop the agent: it is of no use any more.
                    if !error.kind().is_connection() && agent.dropped(&requests[index + 1..]).await.is_err() {
                        *state = Link::Lost(error.clone());
                    }
                    error
                }
            };
            self.may_be_lost(fleet, state, &error);
            told(index, Err(error));
            return None;
        }
        Some(calls.len())
    }

    /// The agent, with the host's lock where one of the steps may change anything.
    async fn ready<'a>(&self, fleet: &Fleet, state: &'a mut Link, calls: &[Call]) -> Result<&'a mut AgentClient> {
        let agent = self.agent(fleet, state).await?;
        let changes = calls.iter().any(|call| call.mode == Mode::Apply && !call.reads);
        if changes && let Err(error) = self.take_lock(fleet, agent).await {
            self.may_be_lost(fleet, state, &error);
            return Err(error);
        }
        self.agent(fleet, state).await
    }

    /// Gives up a host whose connection is the fault.
    fn may_be_lost(&self, fleet: &Fleet, state: &mut Link, error: &Error) {
        if error.kind().is_connection() && !fleet.is_stopped() {
            fleet.tell(EventKind::HostFailed { host: self.name.clone(), error: error.clone() });
            *state = Link::Lost(error.clone());
        }
    }

    pub(super) async fn step(&self, fleet: &Fleet, agent: &mut AgentClient, call: &Call) -> Result<Outcome> {
        let request = request(fleet, call)?;
        agent.steps(std::slice::from_ref(&request)).await?;
        self.outcome(fleet, agent, call, &request).await
    }

    async fn outcome(&self, fleet: &Fleet, agent: &mut AgentClient, call: &Call, request: &Request) -> Result<Outcome> {
        let masked = || Masked::new(fleet.control.secrets.clone());
        let mut listener = Shown {
            fleet,
            host: &self.name,
            request,
            machine: agent.hello.machine.clone(),
            out: masked(),
            err: masked(),
        };
        let result = agent.outcome(request, call.responder.as_deref(), &mut listener).await;
        listener.finish();
        if agent.lost {
            fleet.may_stand(&self.name, &request.notify);
        }
        if let (Ok(_), Some(id)) = (&result, &call.settles) {
            fleet.settled(&self.name, id)?;
        }
        fleet.spent_on_trip(&self.name, &agent.trip);
        result
    }
}

/// How much of what steps carry themselves goes into one frame, in bytes: far from the most that a frame may hold.
const PORTION: usize = 1024 * 1024;

/// How many of these go into one frame, one at least.
fn portion(requests: &[Request]) -> usize {
    let mut room = PORTION;
    let fit = requests.iter().take_while(|request| {
        let weight = weight(&request.args) + attached(&request.attachment);
        let fits = weight <= room;
        room = room.saturating_sub(weight);
        fits
    });
    fit.count().max(1)
}

/// About how many bytes travel beside the parameters.
fn attached(attachment: &Attachment) -> usize {
    match attachment {
        Attachment::None | Attachment::Authority(_) | Attachment::Destination(_) => 0,
        Attachment::Text(text) => text.len(),
        Attachment::Content(payload) => payload.inline.as_ref().map_or(0, String::len),
        Attachment::Members(members) => members.iter().map(|member| member.path.len() + 128).sum(),
    }
}

/// A step as its host is told of it.
fn request(fleet: &Fleet, call: &Call) -> Result<Request> {
    let secrets = &fleet.control.secrets;
    let mut args = call.args.clone();
    // A token that nobody knows would be written in place of its secret.
    secrets.whole(&args)?;
    let mut secret = secrets.reveal(&mut args);
    let mut attachment = call.responder.as_ref().map(|responder| responder.attachment()).unwrap_or_default();
    if let Attachment::Text(text) = &mut attachment {
        *text = secrets.revealed(text)?;
        secret = true;
    }
    let notify = if call.mode == Mode::Apply { fleet.keep_notified(call)? } else { Vec::new() };
    Ok(Request {
        id: call.step.id,
        op: call.step.op.clone(),
        args,
        attachment,
        mode: call.mode,
        user: call.step.user.clone(),
        place: call.step.place.clone(),
        secret,
        stream: call.stream,
        timed: fleet.events.is_profiled(),
        notify,
        judged: call.judged,
        settles: call.settles.clone(),
    })
}

/// Passes output on, without the secrets.
struct Shown<'a> {
    fleet: &'a Fleet,
    host: &'a str,
    request: &'a Request,
    machine: String,
    out: Masked,
    err: Masked,
}

impl Shown<'_> {
    fn tell(&self, stderr: bool, text: String) {
        if !text.is_empty() {
            self.fleet.tell(EventKind::Output { id: self.request.id, host: self.host.to_owned(), stderr, text });
        }
    }

    fn finish(self) {
        let (out, err) = (self.out, self.err);
        let shown = [(false, out.finish()), (true, err.finish())];
        for (stderr, text) in shown {
            if !text.is_empty() {
                self.fleet.tell(EventKind::Output { id: self.request.id, host: self.host.to_owned(), stderr, text });
            }
        }
    }
}

impl Listener for Shown<'_> {
    fn output(&mut self, _id: u64, stderr: bool, bytes: &[u8]) {
        let masked = if stderr { &mut self.err } else { &mut self.out };
        let text = masked.push(bytes);
        self.tell(stderr, text);
    }

    fn made(&mut self, traces: Vec<Trace>) -> Result {
        self.fleet.note_made(self.host, &self.machine, traces, self.request)
    }

    fn is_stopped(&self) -> bool {
        self.fleet.is_stopped()
    }

    fn due(&mut self, ids: Vec<String>) {
        self.fleet.stands(self.host, self.request.id, &self.request.notify, ids);
    }
}
