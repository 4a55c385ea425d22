//! One SSH session: the handshake, the login, and opening channels.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use russh::client::{self, DisconnectReason, Handle, Msg};
use russh::keys::{Algorithm, PublicKeyOrCertificate};
use russh::{Channel, ChannelOpenFailure, Disconnect, Preferred, cipher};

use super::auth::Login;
use super::dialer::Shared;
use super::route::Route;
use super::stream::{Impatient, Stream, plain};
use super::trust::Trust;
use crate::error::{Error, Kind, Result};

/// What a host may send ahead on one channel. With the default of 2 MiB, a download over a distance of
/// 50 ms stays below 20 MB/s.
pub(super) const WINDOW: u32 = 8 << 20;

/// How many messages of a channel wait for who reads it, before the whole connection waits. Few in tests, so that they
/// find who does not read.
const MESSAGES: usize = if cfg!(test) { 2 } else { 100 };

/// Pauses in milliseconds between attempts to open a channel, the last one over and over: a host frees the
/// slot of a finished command only some time after it reported its end.
const PAUSES: [u64; 5] = [5, 10, 20, 30, 50];

/// How often it is tried: for about three seconds.
const OPENINGS: usize = 60;

/// How long a host may take to open a channel.
const CHANNEL_LIMIT: Duration = Duration::from_secs(30);

/// A session with one host.
pub(super) struct Session {
    handle: Handle<Client>,
    host: String,
    description: String,
    lost: Lost,
    /// The session this one runs through.
    _under: Option<Arc<Session>>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("to", &self.description).finish_non_exhaustive()
    }
}

impl Session {
    /// Shakes hands over `stream`, checks the host key, and logs in.
    pub(super) async fn start(
        stream: Stream,
        route: &Route,
        shared: &Shared,
        under: Option<Arc<Session>>,
    ) -> Result<Arc<Self>> {
        let trust = Arc::new(Trust::load(route, shared.options.host_keys, &shared.notices)?);
        let config = config(trust.algorithms(), trust.certificate_algorithms());
        let lost = Lost::default();
        let client = Client { trust, lost: lost.clone() };
        let mut handle = shake(stream, config, client, route, shared).await?;
        let limit = shared.options.auth_timeout;
        let (keyring, asker) = (&shared.keyring, &shared.asker);
        Login { handle: &mut handle, route, keyring, asker, lost: &lost, limit }.run().await?;
        Ok(Arc::new(Self { handle, host: route.name.clone(), description: route.describe(), lost, _under: under }))
    }

    /// `root@10.0.0.2:22 via jumpbox`.
    pub(super) fn describe(&self) -> &str {
        &self.description
    }

    /// Whether the host is gone.
    pub(super) fn is_closed(&self) -> bool {
        self.handle.is_closed()
    }

    /// What says why the host is gone, once it is.
    pub(super) fn watcher(&self) -> Watcher {
        Watcher { host: self.host.clone(), description: self.description.clone(), lost: self.lost.clone() }
    }

    /// Opens a channel for a command, trying again while the host has no room for one.
    pub(super) async fn open(&self) -> Result<Channel<Msg>> {
        let last = PAUSES[PAUSES.len() - 1];
        let mut pauses = PAUSES.into_iter().chain(std::iter::repeat(last)).take(OPENINGS);
        loop {
            let opened = tokio::time::timeout(CHANNEL_LIMIT, self.handle.channel_open_session()).await;
            let failed = || Error::new(Kind::Unreachable, format!("`{}` opened no channel", self.host));
            match opened {
                Ok(Ok(channel)) => return Ok(channel),
                Ok(Err(russh::Error::ChannelOpenFailure(reason))) => match pauses.next() {
                    Some(pause) => tokio::time::sleep(Duration::from_millis(pause)).await,
                    None => {
                        return Err(failed()
                            .because(open_failure(&reason))
                            .hint("`MaxSessions` in its `sshd_config` bounds how many commands run at once"));
                    }
                },
                Ok(Err(_)) => return Err(self.watcher().error()),
                Err(_) => return Err(failed().because(format!("no answer within {} s", CHANNEL_LIMIT.as_secs()))),
            }
        }
    }

    /// Opens a channel to an address as seen from the host.
    pub(super) async fn tunnel(&self, host: &str, port: u16, limit: Duration) -> Result<Channel<Msg>, String> {
        let opened = self.handle.channel_open_direct_tcpip(host, u32::from(port), "127.0.0.1", 0);
        match tokio::time::timeout(limit, opened).await {
            Ok(Ok(channel)) => Ok(channel),
            Ok(Err(russh::Error::ChannelOpenFailure(reason))) => Err(match reason {
                ChannelOpenFailure::ConnectFailed => format!("`{}` cannot connect to it", self.host),
                ChannelOpenFailure::AdministrativelyProhibited => {
                    format!("`{}` does not forward connections (`AllowTcpForwarding`, `PermitOpen`)", self.host)
                }
                other => format!("`{}` does not connect: {}", self.host, open_failure(&other)),
            }),
            Ok(Err(_)) => Err(self.watcher().error().to_string()),
            Err(_) => Err(format!("`{}` did not connect to it within {} s", self.host, limit.as_secs_f32())),
        }
    }

    /// Says goodbye.
    pub(super) async fn close(&self) {
        let goodbye = self.handle.disconnect(Disconnect::ByApplication, "", "");
        let _ = tokio::time::timeout(Duration::from_secs(1), goodbye).await;
    }
}

/// Tells why a session ended, without keeping it alive.
#[derive(Debug, Clone)]
pub(super) struct Watcher {
    host: String,
    description: String,
    lost: Lost,
}

impl Watcher {
    /// The loss as a fault.
    pub(super) fn error(&self) -> Error {
        let error =
            Error::new(Kind::Unreachable, format!("lost the connection to `{}` ({})", self.host, self.description));
        match self.lost.reason() {
            Some(reason) => error.because(reason),
            None => error,
        }
    }

    /// The host's name.
    pub(super) fn host(&self) -> &str {
        &self.host
    }
}

/// Why a session ended, and what the host said before the login.
#[derive(Debug, Clone, Default)]
pub(super) struct Lost {
    reason: Arc<OnceLock<String>>,
    banner: Arc<Mutex<String>>,
}

impl Lost {
    pub(super) fn reason(&self) -> Option<String> {
        self.reason.get().cloned()
    }

    pub(super) fn banner(&self) -> Option<String> {
        let banner = self.banner.lock().unwrap_or_else(PoisonError::into_inner);
        Some(banner.trim().to_owned()).filter(|banner| !banner.is_empty())
    }
}

/// What goes wrong inside a session: SSH's own faults, and our refusal of a host key.
#[derive(Debug)]
pub(super) enum Broken {
    Ssh(russh::Error),
    Refused(Error),
}

impl From<russh::Error> for Broken {
    fn from(e: russh::Error) -> Self {
        Self::Ssh(e)
    }
}

/// What russh calls back.
pub(super) struct Client {
    trust: Arc<Trust>,
    lost: Lost,
}

impl client::Handler for Client {
    type Error = Broken;

    async fn check_server_key(&mut self, presented: &PublicKeyOrCertificate) -> Result<bool, Broken> {
        self.trust.check(presented).await.map(|()| true).map_err(Broken::Refused)
    }

    async fn auth_banner(&mut self, banner: &str, _session: &mut client::Session) -> Result<(), Broken> {
        const MOST: usize = 4096;
        let mut text = self.lost.banner.lock().unwrap_or_else(PoisonError::into_inner);
        let room = MOST.saturating_sub(text.len());
        text.extend(tame(banner).chars().take(room));
        Ok(())
    }

    async fn disconnected(&mut self, reason: DisconnectReason<Broken>) -> Result<(), Broken> {
        let text = match &reason {
            DisconnectReason::ReceivedDisconnect(info) => format!("the host ended it: {}", tame(&info.message)),
            DisconnectReason::Error(Broken::Ssh(e)) => describe(e),
            DisconnectReason::Error(Broken::Refused(e)) => e.to_string(),
        };
        let _ = self.lost.reason.set(text);
        Ok(())
    }
}

/// Shakes hands: versions, keys, and the check of the host key.
pub(super) async fn shake<H>(
    stream: Stream,
    config: client::Config,
    handler: H,
    route: &Route,
    shared: &Shared,
) -> Result<Handle<H>>
where
    H: client::Handler<Error = Broken> + 'static,
{
    let limit = shared.connect_limit(route);
    let bytes = Impatient::new(stream.bytes, shared.dead_after(route));
    let (interval, times) = shared.keepalive(route);
    let config = client::Config { keepalive_interval: Some(interval), keepalive_max: times, ..config };
    let shaken = tokio::time::timeout(limit, client::connect_stream(Arc::new(config), bytes, handler)).await;
    let why = match shaken {
        Ok(Ok(handle)) => return Ok(handle),
        Ok(Err(Broken::Refused(error))) => return Err(error),
        Ok(Err(Broken::Ssh(e))) => format!("the SSH handshake failed: {}", describe(&e)),
        Err(_) => format!("no SSH handshake within {} s", limit.as_secs_f32()),
    };
    let error = Error::new(Kind::Unreachable, format!("cannot reach `{}` at {}", route.name, route.address()));
    Err(stream.complaints.explain(error.because(why)).await)
}

/// The client's side of the negotiation.
pub(super) fn config(keys: Vec<Algorithm>, certificates: Vec<Algorithm>) -> client::Config {
    client::Config {
        nodelay: true,
        window_size: WINDOW,
        channel_buffer_size: MESSAGES,
        inactivity_timeout: None,
        preferred: Preferred {
            key: Cow::Owned(keys),
            host_key_certificates: Cow::Owned(certificates),
            // AES in hardware is twice as fast as ChaCha20.
            cipher: Cow::Borrowed(&[
                cipher::AES_256_GCM,
                cipher::AES_128_GCM,
                cipher::CHACHA20_POLY1305,
                cipher::AES_256_CTR,
                cipher::AES_192_CTR,
                cipher::AES_128_CTR,
            ]),
            ..Preferred::DEFAULT
        },
        ..client::Config::default()
    }
}

/// A fault of russh in our words, where it has none a user understands.
fn describe(e: &russh::Error) -> String {
    match e {
        russh::Error::Version => "what answers does not speak SSH 2".to_owned(),
        russh::Error::HUP | russh::Error::Disconnect => "the host closed the connection".to_owned(),
        russh::Error::KeepaliveTimeout => "the host no longer answers".to_owned(),
        russh::Error::NoCommonAlgo { kind, theirs, .. } => {
            let kind = format!("{kind:?}").to_lowercase();
            format!("no {kind} algorithm in common, it offers {}", tame(&theirs.join(", ")))
        }
        russh::Error::IO(e) => match e.kind() {
            std::io::ErrorKind::UnexpectedEof => "the host closed the connection".to_owned(),
            _ => plain(e),
        },
        other => other.to_string().to_lowercase(),
    }
}

fn open_failure(reason: &ChannelOpenFailure) -> String {
    match reason {
        ChannelOpenFailure::AdministrativelyProhibited => "it is not allowed".to_owned(),
        ChannelOpenFailure::ConnectFailed => "it has no room for another".to_owned(),
        ChannelOpenFailure::UnknownChannelType => "it does not know the kind".to_owned(),
        ChannelOpenFailure::ResourceShortage => "it is short of resources".to_owned(),
        ChannelOpenFailure::Other { reason, .. } => tame(reason),
    }
}

/// A host's words without what a terminal would interpret.
fn tame(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() || *c == '\n').collect()
}
