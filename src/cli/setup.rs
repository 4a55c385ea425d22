//! From arguments to a run that can begin.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use super::args::{Common, Connecting, FORKS, HostKeys, Reach};
use super::connect::Connections;
use super::project::Project;
use super::prompt::{Terminal, asked};
use crate::control::Control;
use crate::error::{Context, Error, Kind, Result};
use crate::event::{Event, EventKind, Events, Receiver, TimeSpentOn, channel};
use crate::fleet::{Agents, Fleet, Options};
use crate::inventory::{Extras, Inventory, LEARNED, Variable, parse_extra};
use crate::report::{Html, Human, JUnit, Json, Live, Profile, Recap, Reporter, Sink, feed, start_log};
use crate::script::{Run, Settings};
use crate::secret::Secrets;
use crate::state::{Learned, StateDir};
use crate::transport::{Dialer, HostKeyPolicy, Options as Dialing};
use crate::trust::Guard;
use crate::wire::Mode;

/// How long a host may take from connection to a ready agent.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Tells whose code may run on this side, as the arguments and the user's own list say.
pub(super) fn guard(common: &Common) -> Result<Guard> {
    Ok(Guard::new(super::trust::trusted()?, common.trust_project))
}

/// Reads the inventory that the arguments, or else the project, name.
pub(super) fn inventory(common: &Common, project: &Project) -> Result<Inventory> {
    let mut extras = Extras { defaults: project.variables(), ..Extras::default() };
    for extra in &common.extra {
        extras.command_line.extend(parse_extra(extra, &project.guard)?);
    }
    let named =
        common.inventory.clone().or_else(|| project.settings.inventory.as_ref().map(|path| project.folder.join(path)));
    match named {
        Some(path) => {
            for (host, learned) in StateDir::of(&project.folder, &path).learned()? {
                let variable = |(key, known): (String, Learned)| {
                    Variable::new(key, known.value, format!("{LEARNED} {}", known.by))
                };
                extras.learned.insert(host, learned.into_iter().map(variable).collect());
            }
            Inventory::load(&path, &extras, &project.guard)
        }
        None => Ok(Inventory::none(&extras)),
    }
}

/// A run ready to begin, and what shows it.
pub(super) struct Ready {
    pub(super) run: Arc<Run>,
    runtime: Runtime,
    reporting: std::thread::JoinHandle<Vec<Error>>,
    recap: Arc<Mutex<Recap>>,
}

/// Counts along, for the exit code.
struct Counting(Arc<Mutex<Recap>>);

impl Reporter for Counting {
    fn event(&mut self, event: &Event) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).add(event);
    }
}

impl Ready {
    /// Ends connections and reports, tells what could not be written, and gives the counts.
    pub(super) fn end(self) -> Recap {
        let begun = Instant::now();
        self.run.fleet.close();
        self.run.events.spent(TimeSpentOn::Connect, None, None, (begun, Instant::now()));
        drop(self.run);
        // Every sender of events is gone with the run, so the reporter comes to its end.
        self.runtime.shutdown_timeout(Duration::from_secs(2));
        let unwritten = self.reporting.join().unwrap_or_default();
        unwritten.iter().for_each(super::out::fault);
        let mut recap = self.recap.lock().unwrap_or_else(PoisonError::into_inner).clone();
        recap.unwritten = unwritten;
        recap
    }
}

/// Where a run is told of.
#[derive(Default)]
pub(super) struct Telling {
    /// Standard output belongs to what the command prints itself.
    pub(super) aside: bool,
    /// The JUnit report.
    pub(super) junit: Option<PathBuf>,
    /// The HTML report.
    pub(super) report: Option<PathBuf>,
    /// What the time was spent on, as a table; where there is a file, also as a trace.
    pub(super) profile: Option<Vec<PathBuf>>,
}

/// Puts everything together.
pub(super) fn ready(
    base: &Path,
    common: &Common,
    connecting: &Connecting,
    settings: Settings,
    limit: Option<&str>,
    telling: Telling,
) -> Result<Ready> {
    let started = Instant::now();
    let secrets = Secrets::default();
    let profiled = telling.profile.is_some();
    let mut shown = reporters(connecting, telling)?;
    if let Some(path) = &connecting.log {
        let filter = std::env::var("MK_LOG").ok();
        shown.push(Box::new(start_log(Sink::file(path)?, filter.as_deref(), secrets.clone())?));
    }
    let project = Project::of(base, guard(common)?)?;
    let inventory = Arc::new(inventory(common, &project)?);
    let mut settings = settings;
    settings.stream |= connecting.verbose > 1 || connecting.json;
    if let Some(pattern) = limit {
        let chosen = inventory.select(pattern)?;
        if chosen.is_empty() {
            return Err(Error::usage(format!("`--limit {pattern}` leaves no host")));
        }
        settings.limit = Some(chosen.into_iter().map(|host| host.name.clone()).collect());
    }
    let (sender, receiver) = channel();
    let events = Events::new(sender, secrets.clone(), started).profiled(profiled);
    let state = StateDir::of(&project.folder, inventory.file());
    let control = Arc::new(Control::new(project.folder.clone(), state, secrets.clone()).guarded_by(&project.guard));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .or_kind(Kind::Internal, || "cannot start the runtime".to_owned())?;
    let reach = &connecting.reach;
    let become_password = match reach.ask_become_pass {
        true => Some(asked("password for sudo: ").or_kind(Kind::Usage, || "cannot ask for the password".to_owned())?),
        false => None,
    };
    become_password.iter().for_each(|password: &String| secrets.know(password));
    let connector = Connections {
        dialer: dialer(reach, project.settings.connect_attempts, &secrets, &project.guard),
        inventory: Arc::clone(&inventory),
        become_root: reach.become_root,
        events: events.clone(),
    };
    let options = Options {
        forks: project.settings.forks.filter(|_| reach.forks == FORKS).unwrap_or(reach.forks),
        mode: if connecting.check { Mode::Check } else { Mode::Apply },
        start_limit: START_LIMIT,
        holder: holder(),
        lock_wait: connecting.lock_wait.0,
    };
    let handle = runtime.handle().clone();
    let fleet = Fleet::new(
        handle,
        options,
        events.clone(),
        Arc::clone(&control),
        Agents::load(&project.guard)?,
        Box::new(connector),
        Box::new(Terminal { passwords: reach.ask_pass, become_password, secrets }),
    );
    let run = Arc::new(Run::new(fleet, control, inventory, events, settings));
    stop_on_signal(&run);
    let recap = Arc::new(Mutex::new(Recap::default()));
    let reporting = report(receiver, shown, Arc::clone(&recap));
    Ok(Ready { run, runtime, reporting, recap })
}

/// What makes connections as the arguments say; `attempts` is what the project says where they do not.
pub(super) fn dialer(reach: &Reach, attempts: Option<u32>, secrets: &Secrets, guard: &Guard) -> Dialer {
    let dialing = Dialing {
        connect_attempts: reach.connect_attempts.or(attempts),
        user: reach.user.clone(),
        keys: reach.private_key.clone(),
        host_keys: match reach.hostkeys {
            HostKeys::Strict => HostKeyPolicy::Strict,
            HostKeys::AcceptNew => HostKeyPolicy::AcceptNew,
        },
        guard: guard.clone(),
        ..Dialing::default()
    };
    let secrets = secrets.clone();
    Dialer::new(dialing, Arc::new(Terminal { passwords: reach.ask_pass, become_password: None, secrets }))
}

/// What shows a run, as the arguments say.
fn reporters(connecting: &Connecting, telling: Telling) -> Result<Vec<Box<dyn Reporter + Send>>> {
    let mut all: Vec<Box<dyn Reporter + Send>> = Vec::new();
    let moves = std::env::var_os("TERM").is_some_and(|term| term != "dumb");
    let (verbose, diffs) = (connecting.verbose, connecting.diff);
    let human = |out: Sink| Human::new(out, verbose, diffs).quiet(connecting.quiet);
    if connecting.json {
        all.push(Box::new(Json(Sink::stdout())));
    } else if telling.aside {
        all.push(Box::new(human(Sink::stderr())));
    } else {
        let out = Sink::stdout();
        if out.is_terminal() && moves && !connecting.quiet {
            let rows = Live::new();
            let above = rows.above(out);
            // The rows hear of an end first, so that they are right when the line about it goes above them.
            all.push(Box::new(rows));
            all.push(Box::new(human(above)));
        } else {
            all.push(Box::new(human(out)));
        }
    }
    if let Some(path) = telling.junit {
        all.push(Box::new(JUnit::new(Sink::file(&path)?)));
    }
    if let Some(path) = telling.report {
        all.push(Box::new(Html::new(Sink::file(&path)?)));
    }
    if let Some(trace) = telling.profile {
        // Where standard output is for machines, or belongs to others, the table goes aside.
        let out = if connecting.json || telling.aside { Sink::stderr() } else { Sink::stdout() };
        let trace = trace.last().map(|path| Sink::file(path)).transpose()?;
        all.push(Box::new(Profile::new(out, trace, verbose)));
    }
    Ok(all)
}

fn report(
    events: Receiver,
    shown: Vec<Box<dyn Reporter + Send>>,
    recap: Arc<Mutex<Recap>>,
) -> std::thread::JoinHandle<Vec<Error>> {
    std::thread::spawn(move || {
        let mut reporters: Vec<Box<dyn Reporter + Send>> = vec![Box::new(Counting(recap))];
        reporters.extend(shown);
        feed(&events, &mut reporters)
    })
}

/// The first Ctrl-C stops the steps, on the hosts too; the second ends mk at once. It is listened to until mk ends, in
/// a thread of its own: also while what shows the run stands still.
fn stop_on_signal(run: &Arc<Run>) {
    let run = Arc::downgrade(run);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        if let Ok(runtime) = runtime {
            runtime.block_on(on_signal(&run));
        }
    });
}

async fn on_signal(run: &Weak<Run>) {
    let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).ok();
    let mut times = 0;
    loop {
        let terminated = async {
            match &mut term {
                Some(term) => drop(term.recv().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            () = terminated => {}
        }
        times += 1;
        match run.upgrade() {
            Some(run) if times == 1 => {
                run.fleet.stop();
                // What shows it may stand still, and the second one must be heard.
                let events = run.events.clone();
                std::thread::spawn(move || events.tell(stopping()));
            }
            _ => std::process::exit(130),
        }
    }
}

/// What is said of the first Ctrl-C at once, also while no host says anything.
fn stopping() -> EventKind {
    let text = "stopping: the steps that run are stopped on their hosts; Ctrl-C once more ends mk at once".to_owned();
    EventKind::Said { host: None, warning: true, text }
}

/// Who holds the locks, for whoever meets them.
fn holder() -> String {
    let user = std::env::var("USER").unwrap_or_else(|_| rustix::process::getuid().as_raw().to_string());
    let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{user}@{machine}, process {}, since {}", std::process::id(), jiff::Timestamp::now().strftime("%F %T UTC"))
}
