//! `wait`: until something is there.

mod http;

use std::net::{TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use self::http::Url;
use crate::change::{Outcome, Status};
use crate::error::{Error, Result};
use crate::op::{Action, Argv, Danger, Example, HumanDuration, Operation, Shows};
use crate::sys::{Command, Hands, Probe};

/// How long one try may take at most.
const TRY: Duration = Duration::from_secs(5);

/// Waits, on the host, until a port answers, a file is there, a URL answers or a command succeeds.
///
/// It changes nothing. A check looks once and does not wait: what is not there yet is reported as unknown.
/// The outcome has `seconds`, how long it took.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "control", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct Wait {
    /// A TCP port that accepts connections: `"host:port"`, or a number on the host itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<Port>,
    /// A path that exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// A URL that answers with `status`. Plain `http://` only; for TLS, `command` can run `curl`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<String>,
    /// The status that `http` must answer with. 200 by default.
    #[serde(default = "fine")]
    pub status: u16,
    /// A command that exits with 0. It must change nothing: it runs in check mode too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Argv>,
    /// Wait until the port or the file is gone instead.
    #[serde(default)]
    pub absent: bool,
    /// How long to wait. One minute by default.
    #[serde(default = "one_minute")]
    pub timeout: HumanDuration,
    /// The time between two tries. Half a second by default.
    #[serde(default = "half_a_second")]
    pub interval: HumanDuration,
}

/// Where to connect to.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "control", derive(schemars::JsonSchema))]
#[serde(untagged, expecting = "a port's number or \"host:port\"")]
pub(super) enum Port {
    /// On the host itself.
    Here(u16),
    /// A name or address and a port.
    There(String),
}

impl Port {
    fn shown(&self) -> String {
        match self {
            Self::Here(port) => format!("127.0.0.1:{port}"),
            Self::There(address) => address.clone(),
        }
    }
}

/// The status when nothing is said.
fn fine() -> u16 {
    200
}

/// The patience when nothing is said.
fn one_minute() -> HumanDuration {
    HumanDuration::secs(60)
}

/// The interval when nothing is said.
fn half_a_second() -> HumanDuration {
    HumanDuration(Duration::from_millis(500))
}

/// Whether it has come, or else what was seen instead.
type Seen = Result<(), Miss>;

/// What was seen instead.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Miss {
    /// In words.
    words: String,
    /// Whether nothing was seen, because the try had to end.
    cut: bool,
}

impl Miss {
    fn new(words: impl Into<String>) -> Self {
        Self { words: words.into(), cut: false }
    }

    /// What a connection that had so much time met.
    fn of(e: &std::io::Error, limit: Duration) -> Self {
        match e.kind() {
            // The system has two words for it, and neither is one for people.
            std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => {
                Self { words: format!("no answer within {} s", limit.as_secs_f64()), cut: true }
            }
            _ => Self::new(e.to_string()),
        }
    }
}

/// Connects to the first of a name's addresses that lets us.
fn connect(address: &str, limit: Duration) -> Result<TcpStream, Miss> {
    let addresses = address.to_socket_addrs().map_err(|e| Miss::new(e.to_string()))?;
    let mut last = Miss::new("the name has no address");
    for address in addresses {
        match TcpStream::connect_timeout(&address, limit) {
            Ok(stream) => return Ok(stream),
            Err(e) => last = Miss::of(&e, limit),
        }
    }
    Err(last)
}

impl Wait {
    /// What is waited for, in words.
    fn goal(&self) -> String {
        let verb = |come: &'static str, go: &'static str| if self.absent { go } else { come };
        match (&self.port, &self.file, &self.http, &self.command) {
            (Some(port), ..) => format!("port `{}` to {}", port.shown(), verb("accept connections", "close")),
            (_, Some(path), ..) => format!("`{}` to {}", path.display(), verb("exist", "be gone")),
            (_, _, Some(url), _) => format!("`{url}` to answer with status {}", self.status),
            (_, _, _, Some(words)) => format!("`{}` to succeed", Command::new(words.0.clone()).shown()),
            _ => String::new(),
        }
    }

    /// Tries once, for at most `limit`.
    fn attempt(&self, probe: &Probe, limit: Duration) -> Result<Seen> {
        if let Some(port) = &self.port {
            return Ok(match (connect(&port.shown(), limit), self.absent) {
                (Ok(_), true) => Err(Miss::new("it accepts connections")),
                (Ok(_), false) | (Err(_), true) => Ok(()),
                (Err(why), false) => Err(why),
            });
        }
        if let Some(path) = &self.file {
            return Ok(match (probe.is_there(path)?, self.absent) {
                (true, true) => Err(Miss::new("it exists")),
                (false, false) => Err(Miss::new("it does not exist")),
                _ => Ok(()),
            });
        }
        if let Some(url) = &self.http {
            let url = Url::parse(url)?;
            return Ok(match http::get(&url, limit) {
                Ok(status) if status == self.status => Ok(()),
                Ok(status) => Err(Miss::new(format!("it answered with status {status}"))),
                Err(why) => Err(why),
            });
        }
        let words = self.command.clone().map(|words| words.0).unwrap_or_default();
        let command = Command::new(words).timeout(self.timeout.0.max(limit));
        let ran = probe.observe(&command)?;
        Ok(if ran.success() { Ok(()) } else { Err(Miss::new([ran.ending(), ran.tail()].join("\n").trim())) })
    }

    fn wait(&self, probe: &Probe) -> Result<Outcome> {
        let started = Instant::now();
        let done = |started: Instant| Ok(Outcome::new(Status::Read).with("seconds", started.elapsed().as_secs_f64()));
        if probe.is_check() {
            return match self.attempt(probe, TRY)? {
                Ok(()) => done(started),
                Err(_) => Err(Error::unknown(format!("waits for {}", self.goal()))),
            };
        }
        let mut before = None;
        loop {
            let left = self.timeout.0.saturating_sub(started.elapsed());
            // The last try is made when the time is up, so that what came during the last pause counts.
            let limit = left.clamp(Duration::from_millis(200), TRY);
            match self.attempt(probe, limit)? {
                Ok(()) => return done(started),
                Err(seen) if left.is_zero() => {
                    // The last try has little time; what an earlier one saw says more than that.
                    let Miss { words: seen, .. } = before.filter(|_| seen.cut).unwrap_or(seen);
                    let message = format!("waited {} s in vain for {}", self.timeout.0.as_secs_f64(), self.goal());
                    return Err(Error::step(message).note(format!("last seen: {seen}")));
                }
                Err(seen) => {
                    before = Some(seen).filter(|seen| !seen.cut).or(before);
                    probe.pause(self.interval.0.min(self.timeout.0.saturating_sub(started.elapsed())))?;
                }
            }
        }
    }
}

impl Operation for Wait {
    const NAME: &'static str = "wait";
    const SUBJECT: &'static str = "port";
    const VALUES: &'static [&'static str] = &["seconds"];
    const DANGER: Danger = Danger::Read;
    const SHOWS: Shows = Shows::AllBut(&["port", "file", "http"]);
    const EXAMPLES: &'static [Example] = &[
        Example { title: "For a port of the host itself.", code: r#"host.wait(22, #{ timeout: "10s" });"# },
        Example {
            title: "For a file to be gone.",
            code: r#"host.wait(#{ file: "/run/mk-demo.lock", absent: true });"#,
        },
        Example {
            title: "For a command to succeed.",
            code: r#"host.wait(#{ command: ["test", "-d", "/run/systemd/system"], interval: "1s" });"#,
        },
    ];

    fn validate(&self) -> Result {
        let goals = [self.port.is_some(), self.file.is_some(), self.http.is_some(), self.command.is_some()];
        if goals.iter().filter(|goal| **goal).count() != 1 {
            return Err(Error::playbook("exactly one of `port`, `file`, `http` and `command` is needed"));
        }
        if self.absent && (self.http.is_some() || self.command.is_some()) {
            return Err(Error::parameter("absent", "is only for `port` and `file`"));
        }
        if let Some(Port::There(address)) = &self.port {
            let port = address
                .rsplit_once(':')
                .filter(|(host, _)| !host.is_empty())
                .and_then(|(_, port)| port.parse::<u16>().ok());
            port.ok_or_else(|| Error::playbook(format!("`{address}` is not of the form `host:port`")))?;
        }
        self.http.as_deref().map_or(Ok(()), |url| Url::parse(url).map(drop))
    }
}

impl Action for Wait {
    fn look(&self, probe: &Probe) -> Option<Result<Outcome>> {
        Some(self.wait(probe))
    }

    fn act(&self, hands: &Hands) -> Result<Outcome> {
        self.wait(hands)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use serde_json::json;

    use super::*;
    use crate::op::contract::{Host, refusal};

    #[test]
    fn what_is_there_is_not_waited_for() {
        let host = Host::new();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(host.apply("wait", json!({ "port": port })).status, Status::Read);
        assert_eq!(host.check("wait", json!({ "port": format!("localhost:{port}") })).status, Status::Read);
        assert_eq!(host.apply("wait", json!({ "file": "/no/such", "absent": true })).status, Status::Read);
        assert_eq!(host.apply("wait", json!({ "command": ["true"] })).status, Status::Read);
    }

    #[test]
    fn what_comes_late_is_waited_for() {
        let host = Host::new();
        let path = host.path("late");
        let late = path.clone();
        let thread = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(150));
            std::fs::write(late, "").unwrap();
        });
        let done = host.apply("wait", json!({ "file": path, "interval": "20ms", "timeout": "10s" }));
        assert!(done.values["seconds"].as_f64().unwrap() > 0.1);
        thread.join().unwrap();
    }

    #[test]
    fn in_vain_says_what_for_and_what_was_seen() {
        let host = Host::new();
        let fails = |args| host.try_apply("wait", args).unwrap_err();
        let error = fails(json!({ "file": "/no/such", "timeout": "30ms", "interval": "10ms" }));
        assert_eq!(error.message(), "waited 0.03 s in vain for `/no/such` to exist");
        assert_eq!(error.notes(), ["last seen: it does not exist"]);
        let error = fails(json!({ "command": ["sh", "-c", "echo why >&2; exit 3"], "timeout": 0 }));
        assert_eq!(error.notes(), ["last seen: exited with status 3\nwhy"]);
        let error = fails(json!({ "port": 1, "timeout": 0 }));
        assert!(error.notes()[0].contains("refused"), "{error:?}");
    }

    #[test]
    fn a_slow_answer_is_told_though_the_last_try_is_too_short_for_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        // It serves as long as the test runs.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                std::thread::spawn(move || {
                    let mut stream = stream.unwrap();
                    let _ = stream.read(&mut [0; 512]);
                    std::thread::sleep(Duration::from_millis(400));
                    let _ = stream.write_all(b"HTTP/1.1 500 Broken\r\n\r\n");
                });
            }
        });
        let host = Host::new();
        let seen = |timeout: &str| {
            let wish = json!({ "http": url, "timeout": timeout, "interval": "100ms" });
            host.try_apply("wait", wish).unwrap_err().notes().join("\n")
        };
        assert_eq!(seen("1200ms"), "last seen: it answered with status 500");
        let never = seen("100ms");
        assert!(never.starts_with("last seen: no answer within 0."), "{never}");
    }

    #[test]
    fn a_check_looks_once() {
        let host = Host::new();
        let outcome = host.check("wait", json!({ "file": "/no/such", "timeout": "1h" }));
        assert_eq!(
            (outcome.status, outcome.reason.as_deref()),
            (Status::Unknown, Some("waits for `/no/such` to exist"))
        );
        host.check("copy", json!({ "dest": host.path("f"), "content": "" }));
        assert_eq!(host.check("wait", json!({ "file": host.path("f") })).status, Status::Read);
    }

    #[test]
    fn wishes_that_make_no_sense_are_refused() {
        assert!(refusal("wait", json!({})).contains("exactly one of"));
        assert!(refusal("wait", json!({ "port": 1, "file": "/a" })).contains("exactly one of"));
        assert!(refusal("wait", json!({ "port": "localhost" })).contains("`host:port`"));
        assert!(refusal("wait", json!({ "http": "https://a/" })).contains("only `http://`"));
        assert!(refusal("wait", json!({ "command": ["true"], "absent": true })).contains("only for"));
    }
}
