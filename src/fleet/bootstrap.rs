//! Starting an agent over a bare connection, copying it first where the host does not have it.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::agents::{Agent, Agents};
use super::pool::Pipe;
use crate::error::{Error, Kind, Result};

/// How much noise a login may print before the script speaks.
const NOISE: usize = 256 * 1024;

/// The agent is sent in pieces of so many bytes, with a pause after each. What an SSH session is given at once it
/// encrypts into one buffer, which it keeps as long as that became: a megabyte a host, for the rest of the run.
const PIECE: usize = 32 * 1024;

/// The pause.
const BREATH: Duration = Duration::from_millis(1);

/// What runs on the host until the agent does. It answers with one line, then becomes the agent.
///
/// The agent lies in a folder that only its user can enter, under a name that is its digest, and is hashed
/// again before every start. Agents that nobody has started for a day go: a younger one may be about to be started
/// by another mk; `touch -c` says so without opening the file, which nobody could start meanwhile. Folders on file systems that forbid programs are passed over. The agent, and so
/// every command it runs, gets the umask of the login.
const SCRIPT: &str = r#"
set -u; u=$(umask); umask 077; m=@MARK@; a=$(uname -m)
case $a in @CASES@ *) echo "$m arch $a"; exit 3;; esac
sum() { sha256sum "$1" 2>/dev/null | cut -c 1-64; }
start() { touch -c "$f" 2>/dev/null; echo "$m have"; cd /; umask "$u"; exec "$f"; }
if [ "$(id -u)" = 0 ]; then ds="/var/lib/mk/bin /run/mk/bin /root/.cache/mk"; else ds="$HOME/.cache/mk /var/tmp/mk-$(id -u) /tmp/mk-$(id -u)"; fi
for d in $ds; do
  f=$d/agent-$s
  if [ -O "$d" ] && [ ! -L "$f" ] && [ -x "$f" ] && [ "$(sum "$f")" = "$s" ]; then start; fi
done
for d in $ds; do
  mkdir -p "$d" 2>/dev/null && chmod 700 "$d" 2>/dev/null && [ -O "$d" ] && [ ! -L "$d" ] || continue
  p=$d/.probe.$$; cp /bin/true "$p" 2>/dev/null && "$p" 2>/dev/null; ok=$?; rm -f "$p"; [ $ok = 0 ] || continue
  f=$d/agent-$s; t=$d/.agent.$$
  echo "$m need $a"
  head -c "$n" >"$t" && [ "$(sum "$t")" = "$s" ] || { rm -f "$t"; echo "$m broken"; exit 3; }
  chmod 700 "$t" && mv "$t" "$f"
  find "$d" -name 'agent-*' ! -name "agent-$s" -mmin +1440 -exec rm -f {} + 2>/dev/null
  start
done
echo "$m noexec $ds"; exit 3
"#;

/// How another user is become before the agent starts.
#[derive(Debug, Clone)]
pub(super) struct Become {
    /// The user.
    pub user: String,
    /// The password, where sudo wants one.
    pub password: Option<String>,
}

/// The command that starts the agent, and the mark its answers carry.
pub(super) fn command(agents: &Agents, other: Option<&Become>) -> (String, String) {
    let mark = mark();
    let case = |(arch, agent): (&str, &Agent)| format!("{arch}) s={} n={};;", agent.sha256, agent.bytes.len());
    let cases = agents.all().map(case).collect::<Vec<_>>().join(" ");
    let script = SCRIPT.replace("@MARK@", &mark).replace("@CASES@", &cases);
    (read_by(&script, &mark, other), mark)
}

/// The command that has a shell of that user read a script.
pub(super) fn read_by(script: &str, mark: &str, other: Option<&Become>) -> String {
    let quoted = word(script.trim());
    match other {
        None => format!("exec /bin/sh -c {quoted}"),
        Some(Become { user, password: None }) => format!("exec sudo -n -H -u {} -- /bin/sh -c {quoted}", word(user)),
        // The prompt carries the mark, so that nothing else on stderr can be taken for it.
        Some(Become { user, .. }) => {
            format!("exec sudo -S -k -H -p {mark}-password: -u {} -- /bin/sh -c {quoted}", word(user))
        }
    }
}

/// A word that no host prints by chance.
pub(super) fn mark() -> String {
    let mut random = [0; 8];
    let _ = rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty());
    format!("mk-{}", crate::change::hex(&random))
}

fn word(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Brings the agent up on a started pipe. Says whether it had to be copied.
///
/// # Errors
/// When the host has no place for it, is of an unknown architecture, or sudo refuses.
pub(super) async fn start(
    pipe: &mut Pipe,
    agents: &Agents,
    mark: &str,
    other: Option<&Become>,
    limit: Duration,
) -> Result<bool> {
    let talk = async {
        if let Some(password) = other.and_then(|other| other.password.as_deref()) {
            give_password(pipe, mark, password).await?;
        }
        let mut pushed = false;
        loop {
            let line = answer(&mut pipe.stdout, mark).await?;
            let mut words = line.split_whitespace();
            match (words.next(), words.next()) {
                (Some("have"), _) => return Ok(pushed),
                (Some("need"), Some(arch)) if !pushed => {
                    let agent = agents.get(arch).ok_or_else(|| unknown_arch(arch))?;
                    for piece in agent.bytes.chunks(PIECE) {
                        send(&mut pipe.stdin, piece).await?;
                        tokio::time::sleep(BREATH).await;
                    }
                    pushed = true;
                }
                (Some("arch"), arch) => return Err(unknown_arch(arch.unwrap_or("?"))),
                (Some("noexec"), _) => {
                    let folders = line.trim_start_matches("noexec").trim();
                    return Err(Error::new(
                        Kind::Unreachable,
                        format!("no folder for the agent allows programs to run: {folders}"),
                    )
                    .hint("`host.raw(…)` works without an agent"));
                }
                _ => return Err(Error::new(Kind::Protocol, format!("the agent could not be started: `{line}`"))),
            }
        }
    };
    match tokio::time::timeout(limit, talk).await {
        Ok(Ok(pushed)) => Ok(pushed),
        Ok(Err(e)) => Err(explain(e, pipe).await),
        Err(_) => {
            let error = Error::new(Kind::Unreachable, format!("the agent did not start within {} s", limit.as_secs()));
            Err(explain(error, pipe).await)
        }
    }
}

/// Adds what the host complained of.
async fn explain(error: Error, pipe: &mut Pipe) -> Error {
    let mut said = vec![0; 4096];
    let read = tokio::time::timeout(Duration::from_millis(300), pipe.stderr.read(&mut said)).await;
    let count = read.ok().and_then(std::result::Result::ok).unwrap_or(0);
    let said = String::from_utf8_lossy(&said[..count]).trim().to_owned();
    if said.starts_with("sudo:") || said.contains("a password is required") {
        let error = Error::new(Kind::Auth, "sudo refused").because(said.lines().next().unwrap_or_default());
        return error.hint("`-K` asks for the password that sudo wants");
    }
    if said.is_empty() { error } else { error.note(said) }
}

fn unknown_arch(arch: &str) -> Error {
    Error::new(Kind::Unreachable, format!("there is no agent for the architecture `{arch}`"))
        .hint("`host.raw(…)` works without an agent")
}

async fn send(stdin: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> Result {
    let lost = |e| Error::new(Kind::Unreachable, "the connection broke while the agent was copied").because(e);
    stdin.write_all(bytes).await.map_err(lost)?;
    stdin.flush().await.map_err(lost)
}

/// Waits for sudo's prompt and answers it. A second prompt means that the password was wrong.
async fn give_password(pipe: &mut Pipe, mark: &str, password: &str) -> Result {
    let prompt = format!("{mark}-password:");
    let mut heard = Vec::new();
    let mut buffer = [0; 1024];
    loop {
        let count = pipe.stderr.read(&mut buffer).await.unwrap_or(0);
        if count == 0 || heard.len() > NOISE {
            let said = String::from_utf8_lossy(&heard).trim().to_owned();
            return Err(Error::new(Kind::Auth, "sudo refused").because(said));
        }
        heard.extend_from_slice(&buffer[..count]);
        if String::from_utf8_lossy(&heard).contains(&prompt) {
            break;
        }
    }
    send(&mut pipe.stdin, format!("{password}\n").as_bytes()).await?;
    // Either the script answers on stdout, or sudo asks again on stderr.
    let mut again = Vec::new();
    let wrong = async {
        loop {
            let count = pipe.stderr.read(&mut buffer).await.unwrap_or(0);
            again.extend_from_slice(&buffer[..count]);
            if count == 0 || String::from_utf8_lossy(&again).contains(&prompt) {
                return;
            }
        }
    };
    let mut first = [0; 1];
    tokio::select! {
        read = pipe.stdout.read(&mut first) => match read {
            Ok(1) => {
                pipe.unread(&first);
                Ok(())
            }
            _ => Err(Error::new(Kind::Auth, "sudo refused the password")),
        },
        () = wrong => Err(Error::new(Kind::Auth, "sudo refused the password")),
    }
}

/// The script's next line, without the mark. What a login prints before it is passed over.
async fn answer(stdout: &mut (impl AsyncRead + Unpin), mark: &str) -> Result<String> {
    let mut line = Vec::new();
    let mut seen = 0;
    loop {
        // Byte by byte, because what follows the line belongs to the agent.
        let Ok(byte) = stdout.read_u8().await else {
            let last = String::from_utf8_lossy(&line).into_owned();
            return Err(
                Error::new(Kind::Unreachable, "the host closed the connection before its agent started").because(last)
            );
        };
        seen += 1;
        if seen > NOISE {
            return Err(Error::new(Kind::Protocol, "the host prints too much at login for an agent to be started"));
        }
        if byte != b'\n' {
            line.push(byte);
            continue;
        }
        let text = String::from_utf8_lossy(&line).trim().to_owned();
        if let Some(answer) = text.strip_prefix(mark) {
            return Ok(answer.trim().to_owned());
        }
        line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::SCRIPT;

    #[test]
    fn the_agent_never_gets_the_umask_of_its_own_folder() {
        assert_eq!(SCRIPT.matches("exec \"").count(), 1);
        assert!(SCRIPT.contains(r#"umask "$u"; exec "$f""#));
    }
}
