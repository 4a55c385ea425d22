//! Steps for another user: a child of this agent that has become that user for good.

use std::collections::BTreeMap;
use std::io::BufReader;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rustix::process::{Gid, Uid};

use super::link::{Link, Outlet, Reply};
use crate::error::{Context, Error, Kind, Result};
use crate::op::Session;
use crate::sys::{Digests, Jobs, NoPeer, Peer, Probe, User};
use crate::wire::{Ask, Frame, FromAgent, Mode, Request, ToAgent, from_body, read_frame, to_frame};

/// Turns this process into `name` for good: groups, then group, then user. Called before any thread starts.
///
/// # Errors
/// When there is no such user, or this process may not become it.
pub fn become_user(name: &str) -> Result {
    let user = find(name)?;
    let (jobs, digests) = (Jobs::default(), std::cell::RefCell::<Digests>::default());
    let probe = Probe::new(None, &NoPeer, &jobs, &digests, false);
    let mut groups: Vec<Gid> =
        probe.memberships(name).iter().filter_map(|g| Some(Gid::from_raw(probe.group(g)?.gid))).collect();
    groups.push(Gid::from_raw(user.gid));
    let failed = || format!("cannot become `{name}`");
    rustix::thread::set_thread_groups(&groups).or_kind(Kind::Auth, failed)?;
    let gid = Gid::from_raw(user.gid);
    rustix::thread::set_thread_res_gid(gid, gid, gid).or_kind(Kind::Auth, failed)?;
    let uid = Uid::from_raw(user.uid);
    rustix::thread::set_thread_res_uid(uid, uid, uid).or_kind(Kind::Auth, failed)
}

fn find(name: &str) -> Result<User> {
    let (jobs, digests) = (Jobs::default(), std::cell::RefCell::<Digests>::default());
    let user = Probe::new(None, &NoPeer, &jobs, &digests, false).user(name);
    user.ok_or_else(|| Error::step(format!("user `{name}` does not exist on this host")))
}

/// The children, by user.
#[derive(Default)]
pub(super) struct Children(BTreeMap<String, Other>, Inlets);

/// The ways to all children, for the thread that learns first that they have to stop.
#[derive(Clone, Default)]
pub(super) struct Inlets(Arc<Mutex<Vec<Weak<Outlet>>>>);

impl Inlets {
    /// Has the children stop what they run.
    pub(super) fn cancel(&self) {
        let inlets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inlets.iter().filter_map(Weak::upgrade).for_each(|inlet| inlet.send(&to_frame(&ToAgent::Cancel)));
    }
}

struct Other {
    child: Child,
    to: Arc<Outlet>,
    from: BufReader<ChildStdout>,
}

impl Children {
    /// The ways to all of them, also to those that are still to come.
    pub(super) fn inlets(&self) -> Inlets {
        self.1.clone()
    }

    /// Runs one step as another user, passing everything between it and the control side.
    ///
    /// In a check, that user's agent goes on from what was planned so far, and this one from what it plans then.
    pub(super) fn run(&mut self, user: &str, request: &Request, session: &Session, link: &Link) -> Result<FromAgent> {
        if !self.0.contains_key(user) {
            let other = start(user)?;
            self.1.0.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&other.to));
            self.0.insert(user.to_owned(), other);
        }
        let other = self.0.get_mut(user).ok_or_else(|| Error::internal("a child agent that is gone"))?;
        let plan = if request.mode == Mode::Check { session.plan_text() } else { None };
        let shared = plan.is_some().then_some(session);
        if let Some(plan) = plan {
            other.to.send(&to_frame(&ToAgent::Plan { plan }));
        }
        let result = other.relay(request, shared, link);
        if result.is_err() {
            // What it would say next belongs to this step, so nobody may ask it anything more.
            self.0.remove(user);
        }
        result
    }
}

fn start(user: &str) -> Result<Other> {
    let failed = || format!("cannot start an agent for `{user}`");
    let account = find(user)?;
    let mut command = Command::new("/proc/self/exe");
    command.args(["--as", user]).stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
    command
        .current_dir("/")
        .env("HOME", &account.home)
        .env("USER", user)
        .env("LOGNAME", user)
        .env_remove("XDG_RUNTIME_DIR");
    let mut child = command.spawn().or_step(failed)?;
    let (stdin, stdout): (Option<ChildStdin>, Option<ChildStdout>) = (child.stdin.take(), child.stdout.take());
    let (Some(stdin), Some(stdout)) = (stdin, stdout) else { return Err(Error::internal(failed())) };
    let mut other = Other { child, to: Arc::new(Outlet::new(Box::new(stdin))), from: BufReader::new(stdout) };
    match other.next()? {
        Heard::Message(FromAgent::Hello(_)) => Ok(other),
        _ => Err(Error::new(Kind::Protocol, failed())),
    }
}

#[allow(clippy::large_enum_variant, reason = "there is one at a time, and it is taken apart at once")]
enum Heard {
    Message(FromAgent),
    Bytes(Frame),
}

impl Other {
    fn next(&mut self) -> Result<Heard> {
        match read_frame(&mut self.from)? {
            Some(Frame::Message(body)) => from_body(&body).map(Heard::Message),
            Some(frame) => Ok(Heard::Bytes(frame)),
            None => Err(Error::step("the agent of the other user ended before its step did")),
        }
    }

    /// `shared` is where the other's plan goes, if it was given this one's.
    fn relay(&mut self, request: &Request, shared: Option<&Session>, link: &Link) -> Result<FromAgent> {
        let own = Request { user: None, ..request.clone() };
        self.to.send(&to_frame(&ToAgent::Do { steps: vec![own] }));
        loop {
            match self.next()? {
                Heard::Bytes(frame) => link.outlet.send(&frame),
                Heard::Message(FromAgent::Ask { id, ask: Ask::Due { stands } }) => {
                    let answer = link.due(stands).map(|()| serde_json::Value::Null);
                    self.to.send(&to_frame(&ToAgent::Answer { id, answer }));
                }
                Heard::Message(FromAgent::Ask { id, ask }) => {
                    let wants_reply = !matches!(ask, Ask::Take { .. });
                    link.outlet.say(&FromAgent::Ask { id, ask });
                    if wants_reply {
                        self.pass_reply(id, link)?;
                    }
                }
                Heard::Message(FromAgent::Plan { plan }) => {
                    shared.map_or(Ok(()), |session| session.take_plan(&plan))?;
                }
                Heard::Message(done @ FromAgent::Done { .. }) => return Ok(done),
                Heard::Message(_) => {}
            }
        }
    }
}

impl Other {
    /// Hands the control side's reply on: one answer, or a blob to its end.
    fn pass_reply(&self, id: u64, link: &Link) -> Result {
        loop {
            match link.reply()? {
                Reply::Answer(answer) => {
                    self.to.send(&to_frame(&ToAgent::Answer { id, answer }));
                    return Ok(());
                }
                Reply::Blob(piece) => {
                    let ended = piece.is_empty();
                    self.to.send(&Frame::Blob(id, piece));
                    if ended {
                        return Ok(());
                    }
                }
            }
        }
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        // The end of its input makes it stop its own commands and go.
        self.to = Arc::new(Outlet::new(Box::new(std::io::sink())));
        let _ = self.child.wait();
    }
}
