//! What the connections of a run share, and the making of one.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::config::Me;
use super::connection::Connection;
use super::jumps::{Jumps, establish};
use super::keys::{Asker, Keyring};
use super::options::{Options, Prompt};
use super::route::{Planner, Route};
use super::settings::Settings;
use crate::error::{Error, Kind, Result};
use crate::inventory::{SshWay, Way};

/// How long a TCP connection or a handshake may take when nobody says otherwise.
const CONNECT: Duration = Duration::from_secs(10);

/// The time between two attempts to reach a host, as for ssh.
const BETWEEN: Duration = Duration::from_secs(1);

/// Finds the ways into a host of the inventory by its name, for the names in `jump`. A name it does not
/// know is taken for `user@address:port`, or a name of the SSH configuration.
pub(crate) type Hops<'a> = &'a (dyn Fn(&str) -> Option<Vec<Way>> + Sync);

/// Makes connections. One serves a whole run, from any number of tasks at once.
pub(crate) struct Dialer {
    shared: Shared,
}

/// What the connections of a run share.
pub(super) struct Shared {
    pub options: Options,
    pub settings: Settings,
    pub keyring: Keyring,
    pub asker: Asker,
    pub jumps: Jumps,
    pub notices: Notices,
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialer").field("options", &self.shared.options).finish_non_exhaustive()
    }
}

impl Dialer {
    /// A dialer for one run.
    pub(crate) fn new(options: Options, prompt: Arc<dyn Prompt>) -> Self {
        super::files::raise();
        let settings = Settings::new(options.ssh.clone(), options.ssh_config.clone(), Me::of_process());
        Self {
            shared: Shared {
                options,
                settings,
                keyring: Keyring::default(),
                asker: Asker::new(prompt),
                jumps: Jumps::default(),
                notices: Notices::default(),
            },
        }
    }

    /// Connects to `host` by the first of its ways that works. If none does, the fault names each and why.
    ///
    /// Faults are of [`Kind::Unreachable`], [`Kind::HostKey`], [`Kind::Auth`] or [`Kind::Inventory`].
    pub(crate) async fn connect(&self, host: &str, ways: &[Way], hops: Hops<'_>) -> Result<Connection> {
        let mut faults = Vec::new();
        for way in ways {
            match self.by(host, way, hops).await {
                Ok(connection) => {
                    for (way, fault) in &faults {
                        self.shared.notices.add(format!("`{host}` was not reached by {way}: {fault}"));
                    }
                    return Ok(connection);
                }
                Err(fault) => faults.push((describe(way), fault)),
            }
        }
        Err(every_way_failed(host, faults).on(host))
    }

    async fn by(&self, host: &str, way: &Way, hops: Hops<'_>) -> Result<Connection> {
        match way {
            Way::Local {} => Ok(Connection::local(host)),
            Way::Ssh(way) => {
                let route = self.route(host, way, hops).await?;
                let wanted = way.connect_attempts.or(self.shared.options.connect_attempts);
                let mut left = wanted.or(route.config.connection_attempts).unwrap_or(1);
                loop {
                    left = left.saturating_sub(1);
                    match establish(&route, &self.shared).await {
                        Ok(session) => return Ok(Connection::ssh(host, session)),
                        // A refusal is an answer, and would be the same a second later.
                        Err(e) if e.kind() != Kind::Unreachable || left == 0 => return Err(e),
                        Err(_) => tokio::time::sleep(BETWEEN).await,
                    }
                }
            }
        }
    }

    /// Where and how a way leads to its host.
    pub(super) async fn route(&self, host: &str, way: &SshWay, hops: Hops<'_>) -> Result<Route> {
        let planner = Planner { settings: &self.shared.settings, options: &self.shared.options, hops };
        planner.route(host, way).await
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// What a user should hear about although nothing failed: recorded host keys, ignored lines of
    /// `known_hosts`, ways that were passed over. Each is returned once, the same one never again.
    pub(crate) fn notices(&self) -> Vec<String> {
        self.shared.notices.take()
    }
}

impl Shared {
    /// How long each step of connecting may take.
    pub(super) fn connect_limit(&self, route: &Route) -> Duration {
        self.options.connect_timeout.or(route.config.connect_timeout).unwrap_or(CONNECT)
    }

    /// After how much silence a host is asked for a sign of life, and how often before it counts as lost.
    pub(super) fn keepalive(&self, route: &Route) -> (Duration, usize) {
        let own = (self.options.keepalive_interval, self.options.keepalive_max);
        route.config.alive_interval.map_or(own, |interval| (interval, route.config.alive_max))
    }

    /// After how long a host that takes nothing counts as lost.
    pub(super) fn dead_after(&self, route: &Route) -> Duration {
        let (interval, times) = self.keepalive(route);
        interval.saturating_mul(u32::try_from(times).unwrap_or(u32::MAX).saturating_add(1))
    }
}

fn describe(way: &Way) -> String {
    match way {
        Way::Local {} => "`local`".to_owned(),
        Way::Ssh(way) => {
            let address = way.address.as_deref().map_or("its name".to_owned(), |address| format!("`{address}`"));
            match way.jump.as_slice() {
                [] => format!("ssh to {address}"),
                hops => format!("ssh to {address} through `{}`", hops.join(", ")),
            }
        }
    }
}

fn every_way_failed(host: &str, mut faults: Vec<(String, Error)>) -> Error {
    if faults.len() == 1 {
        return faults.remove(0).1;
    }
    let mut kinds = faults.iter().map(|(_, fault)| fault.kind());
    let kind = kinds
        .next()
        .map_or(Kind::Inventory, |first| if kinds.all(|kind| kind == first) { first } else { Kind::Unreachable });
    if faults.is_empty() {
        return Error::new(kind, format!("`{host}` has no way in"));
    }
    let mut error = Error::new(kind, format!("no way into `{host}` works"));
    let mut hints: Vec<String> = Vec::new();
    for (way, fault) in &faults {
        error = error.because(format!("{way}: {fault}"));
        hints.extend(fault.hints().iter().cloned());
        error = fault.notes().iter().cloned().fold(error, Error::note);
    }
    hints.dedup();
    hints.into_iter().fold(error, Error::hint)
}

/// Remarks for the user, each told once.
#[derive(Debug, Clone, Default)]
pub(super) struct Notices(Arc<Mutex<(Vec<String>, usize)>>);

impl Notices {
    pub(super) fn add(&self, notice: String) {
        let mut notices = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !notices.0.contains(&notice) {
            notices.0.push(notice);
        }
    }

    fn take(&self) -> Vec<String> {
        let mut notices = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let told = notices.1;
        notices.1 = notices.0.len();
        notices.0[told..].to_vec()
    }
}
