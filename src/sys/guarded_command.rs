//! A guarded command: one with the guards that say whether it is needed.

use std::path::{Path, PathBuf};

use super::command::{Command, Ran};
use super::hands::Hands;
use super::plan::{Effect, Kind};
use super::probe::Probe;
use crate::change::{Outcome, Status};
use crate::error::{Error, Result};

/// Something to run, and when not to.
#[derive(Debug, Clone, Default)]
pub(crate) struct GuardedCommand {
    /// What runs.
    pub command: Command,
    /// The exit codes that mean success.
    pub ok: Vec<i32>,
    /// Nothing to do when this path exists.
    pub creates: Option<PathBuf>,
    /// Nothing to do when this path does not exist.
    pub removes: Option<PathBuf>,
    /// Nothing to do when this exits with 0.
    pub unless: Option<Vec<String>>,
    /// Nothing to do when this does not exit with 0.
    pub only_if: Option<Vec<String>>,
    /// It only looks, so it runs in check mode too and never counts as a change.
    pub reads: bool,
}

impl GuardedCommand {
    /// Why there is nothing to do; `None` when it is to be done. The cheap guards are asked first.
    ///
    /// # Errors
    /// When a guard cannot be asked, or, in check mode, its answer cannot be known yet.
    pub(crate) fn guard(&self, probe: &Probe) -> Result<Option<String>> {
        if let Some(path) = &self.creates
            && probe.is_there(path)?
        {
            return Ok(Some(format!("`{}` exists", path.display())));
        }
        if let Some(path) = &self.removes
            && !probe.is_there(path)?
        {
            return Ok(Some(format!("`{}` does not exist", path.display())));
        }
        if let Some(cwd) = self.command.cwd.as_deref().filter(|cwd| cwd.is_absolute())
            && !is_dir(probe, cwd)?
        {
            return Err(Error::step(format!("the directory `{}`, where it is to run, does not exist", cwd.display())));
        }
        if let Some(words) = &self.unless
            && self.holds(probe, words)?
        {
            return Ok(Some(format!("`{}` succeeds", Command::new(words.clone()).shown())));
        }
        if let Some(words) = &self.only_if
            && !self.holds(probe, words)?
        {
            return Ok(Some(format!("`{}` does not succeed", Command::new(words.clone()).shown())));
        }
        Ok(None)
    }

    /// Runs it as something that only looks; `None` when it does more than that.
    pub(crate) fn look(&self, probe: &Probe) -> Option<Result<Outcome>> {
        self.reads.then(|| {
            let stdin = self.command.stdin.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
            let mut words = self.words(&self.command.argv);
            words.extend(stdin.split_whitespace().map(str::to_owned));
            if probe.is_concerned(&words, self.command.cwd.as_deref()) {
                return Err(Error::unknown("it looks at what the steps planned so far change"));
            }
            let ran = self.observe(probe, &Command { stream: true, ..self.command.clone() })?;
            match self.judge(&ran, Status::Read) {
                // It looked at a host on which the steps before it have not run.
                Err(e) if probe.is_anything_planned() => {
                    Err(Error::unknown(format!("it fails before the steps planned so far have run: {}", e.message())))
                }
                judged => judged,
            }
        })
    }

    /// Runs it.
    ///
    /// # Errors
    /// When it cannot be started, does not end in time, or exits with a code that is not accepted.
    pub(crate) fn act(&self, hands: &Hands) -> Result<Outcome> {
        if let Some(path) = &self.creates {
            hands.makes(path, false);
        }
        let ran = hands.run(&self.command)?;
        self.judge(&ran, Status::Changed)
    }

    fn judge(&self, ran: &Ran, status: Status) -> Result<Outcome> {
        let Some(code) = ran.code.filter(|code| self.ok.is_empty() || self.ok.contains(code)) else {
            return Err(self.command.failure(ran));
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end_matches('\n').to_owned();
        let outcome = Outcome::new(status)
            .with("stdout", text(&ran.stdout))
            .with("stderr", text(&ran.stderr))
            .with("code", code)
            .with("truncated", ran.truncated);
        Ok(if ran.truncated { outcome.because("its output was too long and is cut") } else { outcome })
    }

    /// What it leaves behind as far as it declares that, and what it may have changed besides.
    pub(crate) fn effects(&self) -> Vec<Effect> {
        let absolute = |path: &Option<PathBuf>| path.clone().filter(|path| path.is_absolute());
        let ran = Effect::Ran(self.command.argv.iter().skip(1).cloned().collect(), absolute(&self.command.cwd));
        // That it needs something does not say that it takes it away.
        let unsure = absolute(&self.removes).map(Effect::Unsure);
        let made = absolute(&self.creates).map(Effect::Made);
        unsure.into_iter().chain(made).chain([ran]).collect()
    }

    /// Words that it is given, and what the values of its variables name.
    fn words(&self, words: &[String]) -> Vec<String> {
        let values = self.command.env.values().flat_map(|value| value.split([':', '=']));
        words.iter().cloned().chain(values.map(str::to_owned)).collect()
    }

    fn holds(&self, probe: &Probe, words: &[String]) -> Result<bool> {
        if let Some(answer) = tested(probe, words) {
            return answer;
        }
        let cwd = self.command.cwd.as_deref();
        let named = self.words(words);
        let absolute = named.iter().map(Path::new).filter(|path| path.is_absolute());
        if probe.is_concerned(&named, cwd) || absolute.chain(cwd).any(|path| probe.is_handled(path)) {
            let shown = Command::new(words.to_vec()).shown();
            return Err(Error::unknown(format!("`{shown}` depends on what the steps planned so far change")));
        }
        let guard = Command { argv: words.to_vec(), stdin: None, ..self.command.clone() };
        let ran = self.observe(probe, &guard)?;
        if ran.code.is_none() { Err(guard.failure(&ran)) } else { Ok(ran.success()) }
    }

    fn observe(&self, probe: &Probe, command: &Command) -> Result<Ran> {
        if let Some(cwd) = self.command.cwd.as_deref().filter(|cwd| !cwd.exists() && is_coming(probe, cwd)) {
            return Err(Error::unknown(format!("the directory `{}` is not on the host yet", cwd.display())));
        }
        probe.observe(command)
    }
}

/// Whether a command can run in a directory, then.
fn is_dir(probe: &Probe, path: &Path) -> Result<bool> {
    if probe.is_made(path) {
        return Ok(true);
    }
    Ok(match probe.aside(|| probe.follow(path))? {
        Some(look) => look.kind == Kind::Dir,
        None => probe.may_be_brought(path) && probe.assume_brought(format_args!("`{}`", path.display())),
    })
}

fn is_coming(probe: &Probe, path: &Path) -> bool {
    probe.is_planned(path) || probe.is_made(path) || probe.may_be_brought(path)
}

/// What `test` would say of a path of the planned host; `None` for any other command, and where nothing is planned.
fn tested(probe: &Probe, words: &[String]) -> Option<Result<bool>> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (["test", asked @ ..] | ["[", asked @ .., "]"]) = words.as_slice() else { return None };
    let (flag, path, negated) = match asked {
        ["!", flag, path] => (*flag, Path::new(path), true),
        [flag, path] => (*flag, Path::new(path), false),
        _ => return None,
    };
    if !path.is_absolute() || !probe.is_anything_planned() {
        return None;
    }
    if probe.is_handled(path) {
        return Some(Err(Error::unknown(format!("an earlier command may change `{}`", path.display()))));
    }
    let of = |kind: Kind| probe.follow(path).map(|found| found.is_some_and(|look| look.kind == kind));
    let said = match flag {
        "-e" if probe.is_made(path) => Ok(true),
        "-e" => probe.follow(path).map(|found| found.is_some()),
        "-f" => of(Kind::File),
        "-d" => of(Kind::Dir),
        "-L" | "-h" => probe.look(path).map(|found| found.is_some_and(|look| look.kind == Kind::Link)),
        _ => return None,
    };
    Some(said.map(|said| said != negated))
}
