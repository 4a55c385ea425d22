//! A reboot as this side sees it: the host goes away, and comes back as another boot.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::host::{Call, Link, Slot};
use super::pool::Fleet;
use super::reconnect::PAUSE;
use crate::change::{Outcome, Status};
use crate::error::{Detail, Error, Kind, Result};
use crate::event::TimeSpentOn;
use crate::ops::Reboot;
use crate::wire::Mode;

/// How long one question to systemd may take: it answers when everything has started.
const QUESTION: Duration = Duration::from_secs(600);

impl Slot {
    /// Sets the reboot off, and waits until the host is back.
    pub(super) async fn reboot(&self, fleet: &Fleet, state: &mut Link, call: &Call) -> Result<Outcome> {
        let wish: Reboot = serde_json::from_value(call.args.clone())
            .map_err(|e| Error::internal("a step that cannot be read").because(e))?;
        let Link::Ready { agent, .. } = &mut *state else { return Err(Error::internal("a host without an agent")) };
        let before = agent.hello.boot.clone();
        if before.is_empty() {
            return Err(Error::step("the host's kernel does not tell which boot this is").because("it has no boot id"));
        }
        if before == own_boot() {
            return Err(Error::step("this is the machine that mk itself runs on, so it is not rebooted"));
        }
        let begun = Instant::now();
        let result = self.gone_and_back(fleet, state, call, (&wish, before, begun)).await;
        fleet.spent(TimeSpentOn::Waiting, &self.name, begun);
        result
    }

    async fn gone_and_back(
        &self,
        fleet: &Fleet,
        state: &mut Link,
        call: &Call,
        (wish, before, begun): (&Reboot, String, Instant),
    ) -> Result<Outcome> {
        let Link::Ready { agent, .. } = &mut *state else { return Err(Error::internal("a host without an agent")) };
        let (outcome, noted) = match self.locked_step(fleet, agent, call).await {
            Ok(outcome) if outcome.status != Status::Changed => return Ok(outcome),
            Ok(outcome) => (outcome, None),
            // It was gone before it could say so, or strike off that it is due. Its boot id tells.
            Err(_) if agent.lost && call.mode == Mode::Apply => (Outcome::new(Status::Changed), call.settles.clone()),
            Err(e) => return Err(e),
        };
        let until = begun + wish.timeout.0;
        self.say(fleet, false, "reboots: waits for it to go away".to_owned());
        // One that is slow to go is found again with its old boot id, and waited for all the same.
        agent.ended(until.saturating_duration_since(Instant::now()).min(Duration::from_secs(30))).await;
        self.leave(state).await;
        self.say(fleet, false, format!("is gone after {} s: waits for it to answer", begun.elapsed().as_secs()));
        loop {
            let boot = self.back(fleet, state, &before, until).await?;
            let next = if wish.settled { ": waits until systemd has started everything" } else { "" };
            self.say(fleet, false, format!("answers after {} s{next}", begun.elapsed().as_secs()));
            let system = match wish.settled {
                true => self.settled(fleet, state, call, until).await?,
                false => Some("not asked".to_owned()),
            };
            // Without an answer the connection was lost once more, as when sshd itself is restarted by the boot.
            if let Some(system) = system {
                if let (Some(id), Link::Ready { agent, .. }) = (&noted, &mut *state) {
                    self.take_lock(fleet, agent).await?;
                    self.strike_off(fleet, agent, std::slice::from_ref(id)).await?;
                }
                let seconds = begun.elapsed().as_secs();
                return Ok(outcome.with("boot", boot).with("seconds", seconds).with("system", system));
            }
            self.leave(state).await;
        }
    }

    /// Connects until the host answers with another boot id.
    async fn back(&self, fleet: &Fleet, state: &mut Link, before: &str, until: Instant) -> Result<String> {
        let mut last;
        loop {
            let limit = until.saturating_duration_since(Instant::now());
            match tokio::time::timeout(limit, self.connect(fleet)).await {
                Ok(Ok(Link::Ready { pipes, agent })) if agent.hello.boot != before => {
                    let boot = agent.hello.boot.clone();
                    *state = Link::Ready { pipes, agent };
                    return Ok(boot);
                }
                Ok(Ok(Link::Ready { pipes, .. })) => {
                    pipes.close().await;
                    last = "it answers, but has not been rebooted yet".to_owned();
                }
                Ok(Ok(_)) => last = String::new(),
                // Another key means another machine; anything else passes while a host boots.
                Ok(Err(e)) if e.kind() == Kind::HostKey => return Err(e),
                Ok(Err(e)) => last = e.to_string(),
                Err(_) => last = "it does not answer".to_owned(),
            }
            if fleet.is_stopped() {
                return Err(Error::new(Kind::Interrupted, "stopped"));
            }
            if Instant::now() + PAUSE >= until {
                let error = Error::new(Kind::Unreachable, "the host did not come back from its reboot in time");
                return Err(error.because(last).hint("`timeout` gives it longer"));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Waits until systemd has started everything, and gives what it says then; `None` when the connection was lost.
    async fn settled(&self, fleet: &Fleet, state: &mut Link, call: &Call, until: Instant) -> Result<Option<String>> {
        let Link::Ready { agent, .. } = state else { return Ok(None) };
        let mut said = String::new();
        loop {
            let left = until.saturating_duration_since(Instant::now()).min(QUESTION);
            if left.is_zero() {
                let error = Error::step("the host is back, but systemd has not started everything in time");
                return Err(error.because(format!("it says `{said}`")).hint("`settled: false` does not wait for it"));
            }
            let mut ask = call.clone();
            ask.step.id = fleet.next_id();
            "run".clone_into(&mut ask.step.op);
            ask.step.user = None;
            // Those that are asked too early cannot reach it yet, so every status is an answer.
            ask.args = json!({ "argv": ["systemctl", "is-system-running", "--wait"], "reads": true, "ok": [],
                               "timeout": left.as_secs_f64() });
            (ask.reads, ask.notify, ask.settles, ask.stream) = (true, Vec::new(), None, false);
            match self.step(fleet, agent, &ask).await {
                Ok(outcome) => {
                    let stdout = outcome.values.get("stdout").and_then(Value::as_str).unwrap_or_default();
                    stdout.trim().clone_into(&mut said);
                }
                Err(_) if agent.lost => return Ok(None),
                Err(e) if e.detail() == Some(&Detail::NotStarted) => {
                    return Ok(Some("without systemd".to_owned()));
                }
                Err(e) => return Err(e),
            }
            if matches!(said.as_str(), "running" | "degraded" | "maintenance") {
                return Ok(Some(said));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// The boot id of the machine that this runs on.
fn own_boot() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}
