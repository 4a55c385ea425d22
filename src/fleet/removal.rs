//! Taking the agent and all it keeps away from a host, over the bare connection.

use std::time::Duration;

use super::bootstrap::{Become, mark, read_by};
use super::pool::Fleet;
use crate::error::{Error, Kind, Result};
use crate::wire::Due;

/// How long a host may take.
const LIMIT: Duration = Duration::from_secs(60);

/// What runs on the host, as the user whose agent it was. A folder that other things may lie in (the control
/// side's own cache, the lab) loses only what is the agent's, and goes when it is empty then.
const SCRIPT: &str = r#"
set -u; m=@MARK@
agents() {
  [ -O "$1" ] && [ ! -L "$1" ] || return 0
  for f in "$1"/agent-* "$1"/.agent.* "$1"/.probe.*; do [ -e "$f" ] && rm -f -- "$f" && echo "$m gone $f"; done
  rmdir -- "$1" 2>/dev/null
}
all() { [ -O "$1" ] && [ ! -L "$1" ] && rm -rf -- "$1" && echo "$m gone $1"; }
if [ "$(id -u)" = 0 ]; then
  state=/var/lib/mk/agent; run=/run/mk; over=/var/lib/mk
else
  state=$HOME/.local/state/mk/agent; run=${XDG_RUNTIME_DIR:-$state/run}; over=$HOME/.local/state/mk
  [ -z "${XDG_RUNTIME_DIR:-}" ] || run=$run/mk
fi
if [ -e "$run/lock" ] && command -v flock >/dev/null && ! flock -n "$run/lock" true; then
  echo "$m held $(head -c 200 "$run/lock" | head -n 1)"; exit 0
fi
for f in "$state"/pending/*.json; do [ -e "$f" ] && echo "$m pending $(head -c 65536 "$f" | tr '\n' ' ')"; done
[ -n "$(ls "$state"/pending/*.json 2>/dev/null)" ] && exit 0
if [ -s "$state/made/@LEDGER@.jsonl" ]; then echo "$m untold"; exit 0; fi
if [ "$(id -u)" = 0 ]; then agents /var/lib/mk/bin; agents /root/.cache/mk
else agents "$HOME/.cache/mk"; agents "/var/tmp/mk-$(id -u)"; agents "/tmp/mk-$(id -u)"; fi
all "$state"; all "$run"; rmdir -- "$over" 2>/dev/null
echo "$m done"
"#;

impl Fleet {
    /// Removes the agent from a host, and gives the paths that went. Blocks the calling thread.
    ///
    /// # Errors
    /// The connection's fault, or that another run is at work there, or that steps which were notified are still to
    /// be run.
    pub(crate) fn remove_agent(&self, host: &str) -> Result<Vec<String>> {
        let other =
            self.connector.become_user(host).map(|user| Become { user, password: self.prompts.become_password() });
        let mark = mark();
        let command =
            read_by(&SCRIPT.replace("@MARK@", &mark).replace("@LEDGER@", self.ledger.id()), &mark, other.as_ref());
        let password = other.as_ref().and_then(|other| other.password.as_ref());
        let stdin = password.map(|password| format!("{password}\n")).unwrap_or_default();
        let raw = self.raw(host, &command, stdin.as_bytes(), LIMIT)?;
        let said = String::from_utf8_lossy(&raw.stdout).into_owned();
        let answers: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix(&mark)).map(str::trim).collect();
        if let Some(holder) = answers.iter().find_map(|answer| answer.strip_prefix("held")) {
            return Err(Error::new(Kind::Locked, "another run is at work on the host").because(holder.trim()).on(host));
        }
        let pending: Vec<&str> = answers.iter().filter_map(|answer| answer.strip_prefix("pending ")).collect();
        if !pending.is_empty() {
            return Err(left_behind(&pending, host));
        }
        if answers.contains(&"untold") {
            return Err(Error::step(
                "what a run made that was killed is not in the ledger yet, and would be lost to it",
            )
            .hint(format!("any step that changes the host makes up for that: `mk do {host} run true`"))
            .on(host));
        }
        if answers.last() != Some(&"done") {
            let error = Error::new(Kind::Unreachable, "the host did not answer").on(host);
            return Err(error.note(String::from_utf8_lossy(&raw.stderr).trim().to_owned()));
        }
        Ok(answers.iter().filter_map(|answer| answer.strip_prefix("gone ")).map(str::to_owned).collect())
    }
}

/// The fault of a host on which steps that were notified have not run: with the agent they would be forgotten.
fn left_behind(pending: &[&str], host: &str) -> Error {
    let named = pending.iter().map(|note| format!("`{}`", Due::noted(String::new(), note.as_bytes()).name));
    let named = named.collect::<Vec<_>>().join(", ");
    Error::step("steps that an earlier run notified have not run yet, and would be lost with the agent")
        .because(named)
        .hint(format!("`mk pending run {host}` runs them, `mk pending forget {host}` strikes them off"))
        .on(host)
}
