//! What hosts say of things made, on its way into the ledger.

use serde_json::Value;

use super::claims::{self, Step};
use super::host::Slot;
use super::pool::Fleet;
use crate::change::{Left, Maker, Trace};
use crate::error::Result;
use crate::event::EventKind;
use crate::state::{Entry, Line};
use crate::wire::{Mode, Request};

/// Of how many things that a host cannot have made it is told which, in one message of its.
const MOST_TOLD: usize = 10;

impl Fleet {
    /// Keeps what a step made and took away.
    pub(super) fn note_made(&self, host: &str, machine: &str, traces: Vec<Trace>, request: &Request) -> Result {
        let maker = Maker { place: request.place.clone(), user: request.user.clone() };
        let step = Step { op: &request.op, args: &request.args };
        let mut doubted = 0;
        let lines = traces.into_iter().filter(|trace| self.believed(host, trace, Some(&step), &mut doubted));
        let lines: Vec<Line> = lines.filter_map(|trace| self.line(host, trace, &maker)).collect();
        self.tell_doubted(host, doubted);
        self.ledger.note(host, machine, &lines)
    }

    /// Keeps what an earlier run made and could not tell.
    pub(super) fn note_left(&self, host: &str, machine: &str, left: Vec<Left>) -> Result {
        let mut doubted = 0;
        let left = left.into_iter().filter(|left| self.believed(host, &left.trace, None, &mut doubted));
        let lines = left.filter_map(|left| self.line(host, left.trace, &left.maker));
        let lines: Vec<Line> = lines.collect();
        self.tell_doubted(host, doubted);
        self.ledger.note(host, machine, &lines)
    }

    /// Whether what a host says goes into the ledger; where it does not, that is counted, and of the first few told.
    fn believed(&self, host: &str, trace: &Trace, step: Option<&Step>, doubted: &mut usize) -> bool {
        let holds = claims::holds(trace, step);
        *doubted += usize::from(!holds);
        if !holds
            && *doubted <= MOST_TOLD
            && let Trace::Made(thing) = trace
        {
            let text = format!(
                "the host says that `{} {}` would take away what a step made, which no such step can have made: it is not \
                 in the ledger",
                thing.op, thing.subject
            );
            self.tell(EventKind::Said { host: Some(host.to_owned()), warning: true, text });
        }
        holds
    }

    fn tell_doubted(&self, host: &str, doubted: usize) {
        if let Some(more @ 1..) = doubted.checked_sub(MOST_TOLD) {
            let text = format!("the host says {more} things more that no such step can have made");
            self.tell(EventKind::Said { host: Some(host.to_owned()), warning: true, text });
        }
    }

    /// A line of the ledger; `None` for what would show a secret: nobody may read one there.
    fn line(&self, host: &str, trace: Trace, maker: &Maker) -> Option<Line> {
        let thing = match trace {
            Trace::Made(thing) => thing,
            Trace::Gone { op, subject } => return Some(Line::Gone { op, subject }),
            Trace::Below(path) => return Some(Line::Below(path)),
        };
        if self.control.secrets.shows(&Value::Object(thing.args.clone())) {
            let text = format!("what `{}` made holds a secret, so it is not in the ledger", thing.op);
            self.tell(EventKind::Said { host: Some(host.to_owned()), warning: true, text });
            return None;
        }
        let by = maker.place.as_ref().map(|place| format!("{}:{}", place.file, place.line));
        let at = jiff::Timestamp::now().as_second();
        Some(Line::Made(Entry {
            op: thing.op,
            subject: thing.subject,
            args: thing.args,
            user: maker.user.clone(),
            by,
            at,
        }))
    }
}

impl Fleet {
    /// What mk made on a host, in the order of its making. Connects first when that is not done yet, and unless this
    /// is a check takes the host's lock: with it comes what a run that was killed could not tell. Blocks the calling
    /// thread.
    ///
    /// # Errors
    /// The connection's fault, or that of the ledger.
    pub(crate) fn made(&self, host: &str) -> Result<Vec<Entry>> {
        let slot = self.slot(host);
        self.runtime.block_on(slot.made(self)).map_err(|e| e.on(host))
    }

    /// These things are on a host no more.
    ///
    /// # Errors
    /// The connection's fault, or that of the ledger.
    pub(crate) fn struck(&self, host: &str, things: &[&Entry]) -> Result {
        let machine = self.hello(host)?.machine;
        let gone = |entry: &&Entry| Line::Gone { op: entry.op.clone(), subject: entry.subject.clone() };
        self.ledger.note(host, &machine, &things.iter().map(gone).collect::<Vec<_>>())
    }
}

impl Slot {
    async fn made(&self, fleet: &Fleet) -> Result<Vec<Entry>> {
        let mut state = self.state.lock().await;
        let agent = self.agent(fleet, &mut state).await?;
        if fleet.mode() == Mode::Apply {
            self.take_lock(fleet, agent).await?;
        }
        fleet.ledger.made(&self.name, Some(&agent.hello.machine))
    }
}
