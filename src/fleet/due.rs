//! Handlers (notified steps): kept by this side before the step that may call for them is sent, and matched with what
//! hosts say is due. A host only ever says by its id that one is due; what it is, this side alone knows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::agent_client::AgentClient;
use super::host::{Call, Slot};
use super::pool::{Fleet, lock};
use crate::change::{digest, hex, random};
use crate::control::{Offers, Responder};
use crate::error::{Error, Kind, Place, Result};
use crate::event::EventKind;
use crate::op::Operation;
use crate::ops::Reboot;
use crate::state::Kept;
use crate::wire::{Attachment, Due};

/// How many steps may be due on a host: no agent tells of more.
const MOST: usize = 1000;

/// A step that others notify, all resolved.
#[derive(Clone)]
pub(crate) struct Notified {
    /// Its operation.
    pub op: String,
    /// What it is about, for people.
    pub subject: String,
    /// Its parameters, secrets as tokens.
    pub args: Map<String, Value>,
    /// The user to act as.
    pub user: Option<String>,
    /// This side's half of it.
    pub responder: Option<Arc<dyn Responder>>,
    /// On how many hosts it runs at the same time; `None` for all.
    pub at_once: Option<usize>,
    /// The call that notifies it.
    pub place: Place,
}

impl Notified {
    /// Whether it is the same step, with the same content.
    pub(crate) fn is(&self, other: &Self) -> bool {
        let same = (&self.op, &self.args, &self.user) == (&other.op, &other.args, &other.user);
        same && self.attachment() == other.attachment()
    }

    fn attachment(&self) -> Attachment {
        self.responder.as_ref().map(|responder| responder.attachment()).unwrap_or_default()
    }
}

/// What is known of one host.
#[derive(Default)]
pub(super) struct OfHost {
    /// What earlier runs kept was looked for.
    loaded: bool,
    /// The steps that are kept, by id, with what tells them apart.
    kept: BTreeMap<String, (String, Arc<Notified>)>,
    /// Those of them that this run began to keep.
    own: BTreeSet<String>,
    /// Those that are not due after all, which the host has not been told.
    off: BTreeSet<String>,
    /// Those that are due.
    standing: BTreeSet<String>,
    /// Those of which nobody knows whether they are: the step that calls for them was lost on its way.
    unsure: BTreeSet<String>,
    /// Those that were due before this run.
    earlier: Vec<String>,
    /// What the host said of it, with what is kept elsewhere.
    told: Vec<Due>,
    /// What became due because of a step, until somebody has asked.
    by_step: BTreeMap<u64, Vec<String>>,
}

/// By host.
pub(super) type Dues = BTreeMap<String, OfHost>;

impl Fleet {
    /// The notified steps that were due on a host before this run and have not run since, with their ids.
    pub(crate) fn due_earlier(&self, host: &str) -> Vec<(String, Arc<Notified>)> {
        let dues = lock(&self.dues);
        let Some(of_host) = dues.get(host) else { return Vec::new() };
        let known = |id: &String| of_host.kept.get(id).map(|(_, notified)| (id.clone(), Arc::clone(notified)));
        of_host.earlier.iter().filter_map(known).collect()
    }

    /// The hosts that have such steps.
    pub(crate) fn hosts_due_earlier(&self) -> Vec<String> {
        let dues = lock(&self.dues);
        dues.iter().filter(|(_, of_host)| !of_host.earlier.is_empty()).map(|(host, _)| host.clone()).collect()
    }

    /// The id under which a notified step is kept; `None` in a check, which keeps none.
    pub(crate) fn id_of(&self, host: &str, notified: &Notified) -> Option<String> {
        let mark = self.mark(notified);
        let dues = lock(&self.dues);
        dues.get(host)?.id_of(&mark)
    }

    /// The steps that became due because of one that has ended, each told once.
    pub(crate) fn take_due(&self, host: &str, step: u64) -> Vec<(String, Arc<Notified>)> {
        let mut dues = lock(&self.dues);
        let Some(of_host) = dues.get_mut(host) else { return Vec::new() };
        let ids = of_host.by_step.remove(&step).unwrap_or_default();
        let known = |id: String| of_host.kept.get(&id).map(|(_, notified)| (id.clone(), Arc::clone(notified)));
        ids.into_iter().filter_map(known).collect()
    }

    /// Strikes off steps that are not due after all, on the host and here. Blocks the calling thread.
    ///
    /// # Errors
    /// The connection's fault, or the host's.
    pub(crate) fn forget_due(&self, host: &str, ids: &[String]) -> Result {
        if ids.is_empty() {
            return Ok(());
        }
        // Should this run end before the host has heard of it, the next one tells it.
        ids.iter().try_for_each(|id| self.control.state.pending().call_off(host, id))?;
        let slot = self.slot(host);
        self.runtime.block_on(slot.forget_due(self, ids)).map_err(|e| e.on(host))
    }

    /// What a host says is due there. Connects first, and takes the host's lock. Blocks the calling thread.
    ///
    /// # Errors
    /// The connection's fault.
    pub(crate) fn pending(&self, host: &str) -> Result<Vec<Due>> {
        let slot = self.slot(host);
        self.runtime.block_on(slot.due(self)).map_err(|e| e.on(host))
    }

    /// A step has run, or is not due any more.
    pub(super) fn settled(&self, host: &str, id: &str) -> Result {
        if let Some(of_host) = lock(&self.dues).get_mut(host) {
            of_host.kept.remove(id);
            of_host.own.remove(id);
            of_host.off.remove(id);
            of_host.unsure.remove(id);
            of_host.standing.remove(id);
            of_host.earlier.retain(|earlier| earlier != id);
            of_host.told.retain(|due| due.id != id);
        }
        self.control.state.pending().forget(host, id)
    }

    /// A host has said which of the steps that its step notifies are due now; what else it says is passed over.
    pub(super) fn stands(&self, host: &str, step: u64, notify: &[Due], said: Vec<String>) {
        if notify.is_empty() {
            return;
        }
        let said: Vec<String> = said.into_iter().filter(|id| notify.iter().any(|due| due.id == *id)).collect();
        let mut dues = lock(&self.dues);
        let of_host = dues.entry(host.to_owned()).or_default();
        of_host.unsure.retain(|id| !notify.iter().any(|due| due.id == *id));
        // What another step has called for is not due because of this one.
        let new: Vec<String> = said.into_iter().filter(|id| of_host.standing.insert(id.clone())).collect();
        of_host.by_step.insert(step, new);
    }

    /// A step was lost on its way: nobody knows whether those it notifies are due.
    pub(super) fn may_stand(&self, host: &str, notify: &[Due]) {
        if !notify.is_empty() {
            let mut dues = lock(&self.dues);
            dues.entry(host.to_owned()).or_default().unsure.extend(notify.iter().map(|due| due.id.clone()));
        }
    }

    /// Matches what a host says is due with what is kept for it, under its lock. Only what is kept can ever run; of
    /// anything else the name is told. Gives the ids of those that are not due any more: what was called off and could
    /// not be told, and the reboots of a host that has been booted since, whoever did that.
    pub(super) fn found_due(&self, host: &str, boot: &str, mut pending: Vec<Due>) -> Result<Vec<String>> {
        if pending.len() > MOST {
            let message = format!("the host says that {} steps are due, over the limit of {MOST}", pending.len());
            return Err(Error::new(Kind::Protocol, message));
        }
        let mut dues = lock(&self.dues);
        let of_host = self.loaded(&mut dues, host)?;
        let is_reboot = |id: &str| of_host.kept.get(id).is_some_and(|(_, notified)| notified.op == Reboot::NAME);
        let is_booted = |due: &Due| ![boot, ""].contains(&due.boot.as_str()) && !boot.is_empty() && is_reboot(&due.id);
        let is_over = |due: &mut Due| of_host.off.contains(&due.id) || is_booted(due);
        let over: Vec<String> = pending.extract_if(.., is_over).map(|due| due.id).collect();
        let (known, strange): (Vec<&Due>, Vec<&Due>) =
            pending.iter().partition(|due| of_host.kept.contains_key(&due.id));
        of_host.earlier = known.iter().map(|due| due.id.clone()).collect();
        of_host.standing.extend(of_host.earlier.iter().cloned());
        for due in strange {
            let by = if due.by.is_empty() { String::new() } else { format!(" by {}", due.by) };
            let text = format!(
                "`{}` was notified{by}, is due here and has not run; what it does is not kept here: run it from where \
                 it was notified, or see to it yourself and then `mk pending forget {host}`",
                due.name
            );
            self.tell(EventKind::Said { host: Some(host.to_owned()), warning: true, text });
        }
        // Kept before the step that would have called for it was sent: its host has never heard of it.
        let gone = of_host.kept.keys().filter(|id| !of_host.standing.contains(*id) && !over.contains(id));
        let gone: Vec<String> = gone.chain(of_host.off.iter().filter(|id| !over.contains(id))).cloned().collect();
        of_host.told = pending;
        drop(dues);
        gone.iter().try_for_each(|id| self.settled(host, id))?;
        Ok(over)
    }

    /// Keeps the steps that a call notifies, under the host's lock, and gives what the host is told of them.
    pub(super) fn keep_notified(&self, call: &Call) -> Result<Vec<Due>> {
        call.notify.iter().map(|notified| self.keep(&call.host, notified)).collect()
    }

    fn keep(&self, host: &str, notified: &Arc<Notified>) -> Result<Due> {
        let name = format!("{} {}", notified.op, notified.subject).trim_end().to_owned();
        let name = self.control.secrets.mask(&name);
        let due = |id| Due { id, name, by: self.options.holder.clone(), boot: String::new() };
        let mark = self.mark(notified);
        let mut dues = lock(&self.dues);
        let of_host = self.loaded(&mut dues, host)?;
        if let Some(id) = of_host.id_of(&mark) {
            return Ok(due(id));
        }
        let id = hex(&random(12)?);
        let pending = self.control.state.pending();
        let attachment = notified.attachment();
        let offers = notified.responder.as_ref().and_then(|responder| responder.offers());
        let contents = offers.map_or(Ok(Vec::new()), Offers::readers)?;
        let kept = Kept {
            op: notified.op.clone(),
            subject: notified.subject.clone(),
            args: notified.args.clone(),
            user: notified.user.clone(),
            secrets: self.control.secrets.behind(&json!([notified.args, attachment])),
            attachment,
            contents: contents.iter().map(|(sha256, _)| (*sha256).to_owned()).collect(),
            at_once: notified.at_once,
            place: notified.place.clone(),
            at: jiff::Timestamp::now().as_second(),
            off: false,
        };
        pending.keep(host, &id, &kept)?;
        let mut contents = contents.into_iter();
        if let Err(error) = contents.try_for_each(|(sha256, mut content)| pending.keep_content(sha256, &mut content)) {
            let _ = pending.forget(host, &id);
            return Err(error);
        }
        of_host.own.insert(id.clone());
        of_host.kept.insert(id.clone(), (mark, Arc::clone(notified)));
        Ok(due(id))
    }

    /// Forgets what was kept and never became due: nobody will notify it any more.
    pub(super) fn drop_undue(&self) {
        let mut undue = Vec::new();
        for (host, of_host) in &*lock(&self.dues) {
            let may_be_due = |id: &String| of_host.standing.contains(id) || of_host.unsure.contains(id);
            undue.extend(of_host.own.iter().filter(|id| !may_be_due(id)).map(|id| (host.clone(), id.clone())));
        }
        for (host, id) in undue {
            // What cannot be removed now is dropped when the host is next asked.
            let _ = self.settled(&host, &id);
        }
    }

    /// What tells notified steps of a host apart: the same one, notified again, is one.
    fn mark(&self, notified: &Notified) -> String {
        let mut whole = json!([notified.op, notified.args, notified.user, notified.attachment()]);
        self.control.secrets.reveal(&mut whole);
        digest(whole.to_string().as_bytes())
    }

    /// What is known of a host, with what earlier runs kept for it.
    fn loaded<'a>(&self, dues: &'a mut Dues, host: &str) -> Result<&'a mut OfHost> {
        let of_host = dues.entry(host.to_owned()).or_default();
        if !of_host.loaded {
            self.control.state.pending().tidy(host)?;
            for (id, kept) in self.control.state.pending().of(host)? {
                if kept.off {
                    of_host.off.insert(id.clone());
                }
                self.control.secrets.take_back(&kept.secrets);
                // What another project notified may need what this one does not have. It stays due, and the host is no
                // worse for it: that it is due is told, and it can be forgotten.
                let Ok(responder) = self.control.revived(host, &kept) else { continue };
                let Kept { op, subject, args, user, place, .. } = kept.clone();
                let notified = Notified { op, subject, args, user, responder, at_once: kept.at_once, place };
                of_host.kept.insert(id, (self.mark(&notified), Arc::new(notified)));
            }
            of_host.loaded = true;
        }
        Ok(of_host)
    }
}

impl OfHost {
    fn id_of(&self, mark: &str) -> Option<String> {
        self.kept.iter().find(|(_, (known, _))| known == mark).map(|(id, _)| id.clone())
    }
}

impl Slot {
    /// Strikes off steps that are not due any more, on the host, whose lock is held, and here.
    pub(super) async fn strike_off(&self, fleet: &Fleet, agent: &mut AgentClient, ids: &[String]) -> Result {
        if ids.is_empty() {
            return Ok(());
        }
        agent.forget(ids).await?;
        ids.iter().try_for_each(|id| fleet.settled(&self.name, id))
    }

    async fn forget_due(&self, fleet: &Fleet, ids: &[String]) -> Result {
        let mut state = self.state.lock().await;
        let agent: &mut AgentClient = self.agent(fleet, &mut state).await?;
        self.take_lock(fleet, agent).await?;
        self.strike_off(fleet, agent, ids).await
    }

    async fn due(&self, fleet: &Fleet) -> Result<Vec<Due>> {
        let mut state = self.state.lock().await;
        let agent = self.agent(fleet, &mut state).await?;
        self.take_lock(fleet, agent).await?;
        Ok(lock(&fleet.dues).get(&self.name).map(|of_host| of_host.told.clone()).unwrap_or_default())
    }
}
