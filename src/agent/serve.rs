//! Reading frames on one thread, running steps on another.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel};
use std::time::{Duration, Instant};

use super::become_user::{Children, Inlets};
use super::due::{Notes, boot_id};
use super::link::{Link, Outlet, Reply};
use super::lock::{self, Lock};
use super::record::{Recorder, abandoned};
use crate::change::Maker;
use crate::error::{Error, Kind, Result};
use crate::op::Session;
use crate::ops;
use crate::sys::{Jobs, directories, keep_memory_private};
use crate::wire::{BUILD, Frame, FromAgent, Hello, Mode, PROTOCOL, Request, ToAgent, Worked, from_body, read_frame};

/// The control side pings every 15 seconds; a silence this long means it is gone without a word.
const SILENCE: Duration = Duration::from_secs(60);

/// How long running commands get to end when the control side goes.
const GRACE: Duration = Duration::from_secs(3);

/// What the reader hands on.
enum Work {
    Do(Vec<Request>),
    Plan(String),
    Lock { holder: String, instead_of: Option<u32>, ledger: String },
    Forget(Vec<String>),
}

/// What the threads of an agent share.
#[derive(Clone)]
struct Shared {
    heard: Arc<Heard>,
    jobs: Jobs,
    children: Inlets,
    /// Nobody is left who could answer.
    gone: Arc<AtomicBool>,
    /// A step runs.
    busy: Arc<AtomicBool>,
    /// The control side has said goodbye.
    bye: Arc<AtomicBool>,
}

impl Shared {
    /// Stops what runs, because nobody is left for whom it could run.
    fn end(&self) {
        self.gone.store(true, Ordering::SeqCst);
        self.children.cancel();
        self.jobs.stop(GRACE);
    }
}

/// Serves one control side until its input ends.
///
/// The agent `of_host` keeps the notes of what is due there; one for another user asks it.
///
/// # Errors
/// When the other end does not speak the protocol.
pub fn serve(input: impl Read + Send + 'static, output: impl Write + Send + 'static, of_host: bool) -> Result {
    keep_memory_private();
    let outlet = Arc::new(Outlet::new(Box::new(output)));
    let jobs = Jobs::default();
    outlet.say(&FromAgent::Hello(hello()));
    let (work_sender, work) = channel();
    let reader_outlet = Arc::clone(&outlet);
    let (replies, link) = Link::new(&outlet, of_host.then(Notes::default));
    let children = Children::default();
    let shared = Shared {
        heard: Arc::default(),
        jobs,
        children: children.inlets(),
        gone: link.gone(),
        busy: Arc::default(),
        bye: Arc::default(),
    };
    let reader = shared.clone();
    std::thread::spawn(move || {
        watch(&reader);
        let result = read(input, &reader_outlet, &work_sender, &replies, &reader);
        // The sending ends close with this thread; the runner sees that and ends once its step has.
        reader.end();
        result
    });
    run(&work, &link, &shared, children);
    Ok(())
}

/// When something was last heard, in milliseconds since the start.
struct Heard {
    started: Instant,
    last: AtomicU64,
}

impl Default for Heard {
    fn default() -> Self {
        Self { started: Instant::now(), last: AtomicU64::new(0) }
    }
}

impl Heard {
    fn now(&self) {
        let millis = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(millis, Ordering::Relaxed);
    }

    fn silent_for(&self) -> Duration {
        self.started.elapsed().saturating_sub(Duration::from_millis(self.last.load(Ordering::Relaxed)))
    }
}

/// Ends this process when the control side has been silent for too long, or has come back and started another
/// agent: a connection can be lost without an end.
fn watch(shared: &Shared) {
    let shared = shared.clone();
    let left = abandoned(&run_dir(), std::process::id());
    // One for an earlier process of the same number.
    let _ = std::fs::remove_file(&left);
    std::thread::spawn(move || {
        while shared.heard.silent_for() < SILENCE && !left.exists() {
            std::thread::sleep(Duration::from_millis(500));
        }
        let _ = std::fs::remove_file(&left);
        shared.end();
        // The step writes down how it ended; what must not be cut in half has all the time it needs.
        let begun = Instant::now();
        while shared.busy.load(Ordering::SeqCst) && (shared.jobs.is_finishing() || begun.elapsed() < 2 * GRACE) {
            std::thread::sleep(Duration::from_millis(50));
        }
        std::process::exit(1);
    });
}

fn read(
    input: impl Read,
    outlet: &Outlet,
    work: &Sender<Work>,
    replies: &SyncSender<Reply>,
    shared: &Shared,
) -> Result {
    let mut input = std::io::BufReader::new(input);
    while let Some(frame) = read_frame(&mut input)? {
        shared.heard.now();
        let delivered = match frame {
            Frame::Blob(_, piece) => replies.send(Reply::Blob(piece)).is_ok(),
            Frame::Output(..) => return Err(Error::new(Kind::Protocol, "output goes the other way")),
            Frame::Message(body) => match from_body(&body)? {
                ToAgent::Do { steps } => work.send(Work::Do(steps)).is_ok(),
                ToAgent::Plan { plan } => work.send(Work::Plan(plan)).is_ok(),
                ToAgent::Lock { holder, instead_of, ledger } => {
                    work.send(Work::Lock { holder, instead_of, ledger }).is_ok()
                }
                ToAgent::Forget { due } => work.send(Work::Forget(due)).is_ok(),
                ToAgent::Answer { answer, .. } => replies.send(Reply::Answer(answer)).is_ok(),
                ToAgent::Ping => {
                    outlet.say(&FromAgent::Pong);
                    true
                }
                ToAgent::Cancel => {
                    shared.children.cancel();
                    shared.jobs.stop(GRACE);
                    true
                }
                ToAgent::Bye => {
                    shared.bye.store(true, Ordering::SeqCst);
                    false
                }
            },
        };
        if !delivered {
            break;
        }
    }
    Ok(())
}

fn run(work: &Receiver<Work>, link: &Link, shared: &Shared, mut children: Children) {
    let session = Session::new(shared.jobs.clone());
    let mut held: Option<(Lock, Recorder)> = None;
    let mut shares_plan = false;
    while let Ok(work) = work.recv() {
        match work {
            Work::Plan(plan) => shares_plan = session.take_plan(&plan).is_ok(),
            Work::Lock { holder, instead_of, ledger } => {
                link.outlet.say(&take_lock(&holder, instead_of, &ledger, &session, link, &mut held));
            }
            Work::Forget(due) => {
                let result = due.iter().try_for_each(|id| link.strike(id));
                link.outlet.say(&FromAgent::Forgotten { result });
            }
            Work::Do(steps) => {
                let mut failed = false;
                if let Some((_, recorder)) = &held {
                    recorder.list_begins();
                    session.creations.borrow_mut().clear();
                }
                for step in &steps {
                    shared.busy.store(true, Ordering::SeqCst);
                    let watch = Watch::start(&shared.jobs, link);
                    let mut said = if failed || shared.gone.load(Ordering::SeqCst) {
                        FromAgent::Dropped { id: step.id }
                    } else {
                        recorded(step, &session, link, &mut children, held.as_ref().map(|(_, recorder)| recorder))
                    };
                    shared.jobs.step_ended();
                    shared.busy.store(false, Ordering::SeqCst);
                    // The agent that this one works for has to know before the step is over for it.
                    if shares_plan && let Some(plan) = session.plan_text() {
                        link.outlet.say(&FromAgent::Plan { plan });
                    }
                    if let FromAgent::Done { result, worked, .. } = &mut said {
                        failed |= result.is_err();
                        *worked = step.timed.then(|| watch.read(*worked));
                    }
                    link.outlet.say(&said);
                }
                session.digests.borrow_mut().save();
            }
        }
    }
    // A control side that has said goodbye asks for nothing any more; one that was lost may.
    if let Some((_, recorder)) = held.filter(|_| shared.bye.load(Ordering::SeqCst)) {
        recorder.done();
        session.creations.borrow_mut().clear();
    }
}

/// What was spent before a step, to tell afterwards what it spent itself.
struct Watch<'a> {
    jobs: &'a Jobs,
    link: &'a Link<'a>,
    begun: Instant,
    taken: u64,
    waited: Duration,
}

impl<'a> Watch<'a> {
    fn start(jobs: &'a Jobs, link: &'a Link) -> Self {
        Self { jobs, link, begun: Instant::now(), taken: jobs.taken(), waited: link.waited() }
    }

    /// What the step spent; a child agent that ran it for another user knows of its programs.
    fn read(&self, of_child: Option<Worked>) -> Worked {
        let all = self.begun.elapsed().saturating_sub(self.link.waited().saturating_sub(self.waited));
        let all = u64::try_from(all.as_micros()).unwrap_or(u64::MAX);
        let child = of_child.map_or_else(|| self.jobs.taken().saturating_sub(self.taken), |worked| worked.child);
        Worked { own: all.saturating_sub(child), child }
    }
}

/// Runs a step, and writes down that it began and how it ended.
fn recorded(
    step: &Request,
    session: &Session,
    link: &Link,
    children: &mut Children,
    recorder: Option<&Recorder>,
) -> FromAgent {
    if step.mode == Mode::Apply {
        session.creations.borrow_mut().begin(Maker { place: step.place.clone(), user: step.user.clone() }, step.secret);
    }
    let Some(recorder) = recorder else { return one(step, session, link, children) };
    recorder.begun(step);
    let said = one(step, session, link, children);
    if let FromAgent::Done { result, .. } = &said {
        recorder.ended(step, result);
    }
    said
}

/// Takes the lock, and then looks for what an earlier run left to be run.
fn take_lock(
    holder: &str,
    instead_of: Option<u32>,
    ledger: &str,
    session: &Session,
    link: &Link,
    held: &mut Option<(Lock, Recorder)>,
) -> FromAgent {
    let locked = |holder| FromAgent::Locked { holder, pending: Vec::new(), records: Vec::new(), left: Vec::new() };
    let refused = |why: String| locked(Some(why));
    if held.is_some() {
        return locked(None);
    }
    let folder = run_dir();
    match lock::take(&folder, holder) {
        Ok(Ok(lock)) => {
            let (recorder, records) = Recorder::new(&folder, holder);
            *held = Some((lock, recorder));
            if let Some(pid) = instead_of {
                let _ = std::fs::remove_file(abandoned(&folder, pid));
            }
            // A name of the other side's choice, so it may not lead anywhere else.
            let name: String = ledger.chars().filter(char::is_ascii_alphanumeric).collect();
            let left = session.creations.borrow_mut().keep_in(&made_file(&name));
            FromAgent::Locked { holder: None, pending: link.pending(), records, left }
        }
        Ok(Err(other)) => {
            if let Some(pid) = instead_of.filter(|_| other == holder) {
                let _ = std::fs::write(abandoned(&folder, pid), "");
            }
            refused(other)
        }
        Err(e) => refused(e.to_string()),
    }
}

fn one(step: &Request, session: &Session, link: &Link, children: &mut Children) -> FromAgent {
    link.begin(step);
    let (result, worked) = match &step.user {
        Some(user) if step.mode == Mode::Check && session.lacks(user) => {
            (Err(Error::step(format!("user `{user}` does not exist on this host"))), None)
        }
        Some(user) if step.mode == Mode::Apply || !session.awaits(user) => {
            match children.run(user, step, session, link) {
                Ok(FromAgent::Done { result, worked, made, .. }) => {
                    session.creations.borrow_mut().adopt(&made);
                    (result, worked)
                }
                Ok(other) => return other,
                Err(e) => (Err(e), None),
            }
        }
        // For a user that is only planned this agent foretells itself; it runs no command for it.
        _ => (ops::find(&step.op).and_then(|spec| (spec.run)(step, session, link)), None),
    };
    let result = result.and_then(|outcome| {
        step.settles.as_deref().map_or(Ok(()), |id| link.strike(id))?;
        Ok(outcome)
    });
    let made = session.creations.borrow_mut().finish();
    let result = result.map_err(|e| e.in_step(&step.op));
    FromAgent::Done { id: step.id, result, worked, made, due: link.standing() }
}

fn hello() -> Hello {
    Hello {
        protocol: PROTOCOL,
        pid: std::process::id(),
        uid: rustix::process::geteuid().as_raw(),
        arch: rustix::system::uname().machine().to_string_lossy().into_owned(),
        boot: boot_id(),
        machine: std::fs::read_to_string("/etc/machine-id").unwrap_or_default().trim().to_owned(),
        build: BUILD.to_owned(),
    }
}

/// Where it is noted what is made for a ledger.
fn made_file(ledger: &str) -> std::path::PathBuf {
    directories().0.join(format!("made/{ledger}.jsonl"))
}

fn run_dir() -> std::path::PathBuf {
    directories().1
}
