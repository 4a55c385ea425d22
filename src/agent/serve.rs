//! Reading frames on one thread, running steps on another.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel};
use std::time::{Duration, Instant};

use super::become_user::Children;
use super::link::{Link, Outlet, Reply};
use super::lock::{self, Lock};
use crate::error::{Error, Kind, Result};
use crate::op::{Session, pending};
use crate::ops;
use crate::sys::{Jobs, NoPeer, Probe};
use crate::wire::{BUILD, Frame, FromAgent, Hello, PROTOCOL, Request, ToAgent, from_body, read_frame};

/// The control side pings every 15 seconds; a silence this long means it is gone without a word.
const SILENCE: Duration = Duration::from_secs(60);

/// How long running commands get to end when the control side goes.
const GRACE: Duration = Duration::from_secs(3);

/// What the reader hands on.
enum Work {
    Do(Vec<Request>),
    Lock(String),
}

/// Serves one control side until its input ends.
///
/// # Errors
/// When the other end does not speak the protocol.
pub fn serve(input: impl Read + Send + 'static, output: impl Write + Send + 'static) -> Result {
    let outlet = Arc::new(Outlet::new(Box::new(output)));
    let jobs = Jobs::default();
    outlet.say(&FromAgent::Hello(hello()));
    let (work_sender, work) = channel();
    let reader_outlet = Arc::clone(&outlet);
    let (replies, link) = Link::new(&outlet);
    let reader_jobs = jobs.clone();
    std::thread::spawn(move || {
        let heard = Arc::new(Heard::default());
        watch(&heard, &reader_jobs);
        let result = read(input, &reader_outlet, &heard, &work_sender, &replies, &reader_jobs);
        // The sending ends close with this thread; the runner sees that and ends once its step has.
        reader_jobs.stop(GRACE);
        result
    });
    run(&work, &link, &jobs);
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

/// Ends this process when the control side has been silent for too long: a connection can be lost without an end.
fn watch(heard: &Arc<Heard>, jobs: &Jobs) {
    let (heard, jobs) = (Arc::clone(heard), jobs.clone());
    std::thread::spawn(move || {
        while heard.silent_for() < SILENCE {
            std::thread::sleep(Duration::from_secs(5));
        }
        jobs.stop(GRACE);
        std::process::exit(1);
    });
}

fn read(
    input: impl Read,
    outlet: &Outlet,
    heard: &Heard,
    work: &Sender<Work>,
    replies: &SyncSender<Reply>,
    jobs: &Jobs,
) -> Result {
    let mut input = std::io::BufReader::new(input);
    while let Some(frame) = read_frame(&mut input)? {
        heard.now();
        let delivered = match frame {
            Frame::Blob(_, piece) => replies.send(Reply::Blob(piece)).is_ok(),
            Frame::Output(..) => return Err(Error::new(Kind::Protocol, "output goes the other way")),
            Frame::Message(body) => match from_body(&body)? {
                ToAgent::Do { steps } => work.send(Work::Do(steps)).is_ok(),
                ToAgent::Lock { holder } => work.send(Work::Lock(holder)).is_ok(),
                ToAgent::Answer { answer, .. } => replies.send(Reply::Answer(answer)).is_ok(),
                ToAgent::Ping => {
                    outlet.say(&FromAgent::Pong);
                    true
                }
                ToAgent::Cancel => {
                    jobs.stop(GRACE);
                    true
                }
                ToAgent::Bye => false,
            },
        };
        if !delivered {
            break;
        }
    }
    Ok(())
}

fn run(work: &Receiver<Work>, link: &Link, jobs: &Jobs) {
    let session = Session::new(jobs.clone());
    let mut children = Children::default();
    let mut held: Option<Lock> = None;
    while let Ok(work) = work.recv() {
        match work {
            Work::Lock(holder) => link.outlet.say(&take_lock(&holder, &mut held)),
            Work::Do(steps) => {
                let mut failed = false;
                for step in &steps {
                    let said = if failed {
                        FromAgent::Dropped { id: step.id }
                    } else {
                        one(step, &session, link, &mut children)
                    };
                    failed |= matches!(&said, FromAgent::Done { result: Err(_), .. });
                    link.outlet.say(&said);
                }
                session.digests.borrow_mut().save();
            }
        }
    }
}

/// Takes the lock, and then looks for what an earlier run left to be run.
fn take_lock(holder: &str, held: &mut Option<Lock>) -> FromAgent {
    let refused = |why: String| FromAgent::Locked { holder: Some(why), pending: Vec::new() };
    if held.is_some() {
        return FromAgent::Locked { holder: None, pending: Vec::new() };
    }
    match lock::take(&run_dir(), holder) {
        Ok(Ok(lock)) => {
            *held = Some(lock);
            match pending::all() {
                Ok(pending) => FromAgent::Locked { holder: None, pending },
                Err(e) => refused(e.to_string()),
            }
        }
        Ok(Err(other)) => refused(other),
        Err(e) => refused(e.to_string()),
    }
}

fn one(step: &Request, session: &Session, link: &Link, children: &mut Children) -> FromAgent {
    link.request.set(step.id);
    let result = match &step.user {
        Some(user) => match children.run(user, step, link) {
            Ok(done) => return done,
            Err(e) => Err(e),
        },
        None => ops::find(&step.op).and_then(|spec| (spec.run)(step, session, link)),
    };
    let result = result.and_then(|outcome| {
        if let Some(settled) = &step.settles {
            pending::settle(settled)?;
        }
        Ok(outcome)
    });
    FromAgent::Done { id: step.id, result: result.map_err(|e| e.in_step(&step.op)) }
}

fn hello() -> Hello {
    Hello {
        protocol: PROTOCOL,
        pid: std::process::id(),
        uid: rustix::process::geteuid().as_raw(),
        arch: rustix::system::uname().machine().to_string_lossy().into_owned(),
        boot: std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned(),
        build: BUILD.to_owned(),
    }
}

fn run_dir() -> std::path::PathBuf {
    let (jobs, digests) = (Jobs::default(), std::cell::RefCell::default());
    Probe::new(None, &NoPeer, &jobs, &digests, false).run_dir().to_owned()
}
