//! `mk run`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args as ClapArgs;

use super::args::{Common, Connecting};
use super::exit::of_run;
use super::out::{self, complain};
use super::setup::{self, Telling};
use crate::error::{Error, Kind, Result};
use crate::event::EventKind;
use crate::run::Settings;
use crate::script;
use crate::wire::Mode;

/// Run a playbook.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// The playbook.
    playbook: PathBuf,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    connecting: Connecting,
    /// Only these hosts, as a pattern.
    #[arg(short, long, value_name = "PATTERN")]
    limit: Option<String>,
    /// Skip the playbooks that `play` calls where they completed before with the same scripts, sources, variables,
    /// hosts, limit and tasks, on the same machines. What is on the machines is not looked at.
    #[arg(long)]
    resume: bool,
    /// Give every step a round trip of its own, where steps whose result nobody looks at would travel together. What
    /// is done and shown is the same; it takes longer where the network is far.
    #[arg(long)]
    one_by_one: bool,
    /// Run the playbook although `mk lint` finds faults in it. Without this, nothing runs then; what a run may bring about
    /// itself, such as a file that it makes, is no such fault, and neither is a warning.
    #[arg(long)]
    no_lint: bool,
    /// Write a JUnit report to this file: a suite a task, a case a step.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write a report to this file, as one HTML page: the timeline, and every step with its diff.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Show at the end what the time was spent on: this side, connecting, the network, the agent, the programs it
    /// started, and waiting. With a file, also write each stretch of it as a trace, for Perfetto and `chrome://tracing`.
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    profile: Option<Vec<PathBuf>>,
    /// Only these tasks, with what is inside of them: by name, or as OUTER/INNER. Several are given one by one, or with
    /// commas. Outside of them, facts and steps with `reads: true` run, so that their values are there, and all others are
    /// skipped.
    #[arg(short, long, value_name = "TASK")]
    tags: Vec<String>,
}

/// Runs a playbook to its end and gives the exit code.
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    if !args.playbook.is_file() {
        return Err(missing(args));
    }
    if !args.no_lint {
        let wrong = super::lint::before_run(&args.playbook, &args.common)?;
        wrong.iter().for_each(out::fault);
        if !wrong.is_empty() {
            complain!("nothing was run; `--no-lint` runs it as far as it goes");
            return Ok(ExitCode::from(2));
        }
    }
    let settings =
        Settings { tags: args.tags.clone(), resume: args.resume, one_by_one: args.one_by_one, ..Settings::default() };
    let telling =
        Telling { aside: false, junit: args.junit.clone(), report: args.report.clone(), profile: args.profile.clone() };
    let ready = setup::ready(&args.playbook, &args.common, &args.connecting, settings, args.limit.as_deref(), telling)?;
    let run = std::sync::Arc::clone(&ready.run);
    run.started(&args.playbook.display().to_string());
    let result = match script::run(&run, &args.playbook) {
        // A check that cannot know more has done what it can.
        Err(error) if error.kind() == Kind::Unknown && run.fleet.mode() == Mode::Check => {
            let (reason, place) = (error.to_string(), error.place().cloned());
            run.events.tell(EventKind::PredictionEnded { reason, place });
            Ok(())
        }
        result => result,
    };
    if args.resume && !run.played() {
        let text = format!("`--resume` skips what `play` calls, and `{}` calls nothing", args.playbook.display());
        run.events.tell(EventKind::Said { host: None, warning: true, text });
    }
    let ended = result.as_ref().err().cloned();
    // A step that failed was shown when it did; what is wrong with the script is shown now.
    let told = ended.clone().map(|error| error.map_text(|text| run.control.secrets.mask(text)));
    run.events.tell(EventKind::RunDone { error: told.clone() });
    let mut faults: Vec<Error> = run.faults();
    faults.extend(ended);
    let checked = args.connecting.check && args.connecting.exit_code;
    drop(run);
    let recap = ready.end();
    faults.extend(recap.unwritten.iter().cloned());
    if let Some(error) = told.filter(|error| !already_shown(error, &recap)) {
        out::fault(&error);
    }
    Ok(ExitCode::from(of_run(faults.iter(), checked && recap.would_change())))
}

/// Whether a step's failure, which is shown when it happens, is what ended the run.
fn already_shown(error: &Error, recap: &crate::report::Recap) -> bool {
    let total = recap.total();
    error.step_name().is_some() && total.failed + total.caught > 0
}

fn missing(args: &Args) -> Error {
    if args.playbook.exists() {
        let error = Error::usage(format!("`{}` is no file", args.playbook.display()));
        return error.hint("a playbook is a file: what it names is found beside it, and it is read more than once");
    }
    let error = Error::usage(format!("there is no playbook `{}`", args.playbook.display()));
    let folder = args.playbook.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(std::path::Path::new("."));
    let names: Vec<String> = std::fs::read_dir(folder)
        .map(|entries| entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
        .unwrap_or_default();
    let wanted = args.playbook.file_name().unwrap_or_default().to_string_lossy();
    match crate::error::nearest(&wanted, names.iter().map(String::as_str)) {
        Some(near) => error.hint(format!("did you mean `{}`?", folder.join(near).display())),
        None => error,
    }
}
