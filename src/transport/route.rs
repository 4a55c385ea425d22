//! Inventory, command line and SSH configuration together: where to connect, as whom, through what.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;

use super::config::{Config, at_home};
use super::dialer::Hops;
use super::options::Options;
use super::settings::{Query, Settings};
use crate::error::{Error, Kind, Result};
use crate::inventory::{SshWay, Way};

/// Everything needed to connect to one host by one way.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Route {
    /// The host as the user calls it.
    pub name: String,
    pub config: Config,
    /// Keys named by the inventory or the command line, tried first.
    pub keys: Vec<PathBuf>,
    /// The only host keys accepted, if there are any.
    pub pins: Vec<String>,
    /// Where a new host key is recorded.
    pub remember_in: Option<PathBuf>,
    /// Where host keys are looked up.
    pub known_hosts: Vec<PathBuf>,
    pub via: Via,
}

/// What carries the bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Via {
    /// TCP.
    Direct,
    /// The stdin and stdout of a command.
    Command(String),
    /// A channel through another host, by the first of these routes to it that works.
    Jump(Vec<Route>),
}

impl Route {
    /// `user@address:port`, as SSH writes it.
    pub(super) fn login(&self) -> String {
        format!("{}@{}", self.config.user, self.address())
    }

    /// `address:port`.
    pub(super) fn address(&self) -> String {
        address(&self.config.hostname, self.config.port)
    }

    /// `root@10.0.0.2:22 via jumpbox`.
    pub(super) fn describe(&self) -> String {
        let mut text = self.login();
        match &self.via {
            Via::Direct => {}
            Via::Command(_) => text.push_str(" via a proxy command"),
            Via::Jump(routes) => {
                let mut hops = Vec::new();
                let mut routes = routes;
                while let Some(hop) = routes.first() {
                    hops.push(hop.name.as_str());
                    match &hop.via {
                        Via::Jump(next) => routes = next,
                        _ => break,
                    }
                }
                hops.reverse();
                text.push_str(" via ");
                text.push_str(&hops.join(", "));
            }
        }
        text
    }

    /// The OpenSSH command that does the same, to try by hand.
    pub(super) fn ssh_command(&self) -> String {
        let mut words = vec!["ssh".to_owned(), "-v".to_owned()];
        if self.config.port != 22 {
            words.extend(["-p".to_owned(), self.config.port.to_string()]);
        }
        for key in &self.keys {
            words.extend(["-i".to_owned(), key.display().to_string()]);
        }
        match &self.via {
            Via::Direct => {}
            Via::Command(command) => words.extend(["-o".to_owned(), format!("ProxyCommand={command}")]),
            Via::Jump(routes) => words.extend(routes.first().map(|hop| format!("-J {}", hop.login()))),
        }
        words.push(format!("{}@{}", self.config.user, self.config.hostname));
        let quote = |word: &String| {
            // `-J host` is two words already.
            if word.starts_with("-J ") {
                return word.clone();
            }
            shlex::try_quote(word).map_or_else(|_| word.clone(), std::borrow::Cow::into_owned)
        };
        words.iter().map(quote).collect::<Vec<_>>().join(" ")
    }
}

/// `address:port`, in brackets where a colon would be ambiguous.
pub(super) fn address(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Who asks for a host, outermost first, to notice going round in circles. Names of the inventory and of
/// the SSH configuration are not the same names.
#[derive(Clone, Default)]
struct Trail(Vec<(bool, String)>);

impl Trail {
    fn with(&self, inventory: bool, name: &str) -> Result<Self> {
        let step = (inventory, name.to_owned());
        let mut names = self.0.clone();
        let round = names.contains(&step);
        names.push(step);
        if !round {
            return Ok(Self(names));
        }
        let circle = names.iter().map(|(_, name)| format!("`{name}`")).collect::<Vec<_>>().join(" → ");
        let error = Error::new(Kind::Inventory, format!("the jump hosts go round in a circle: {circle}"));
        Err(if inventory {
            error
        } else {
            error.hint(format!("`ProxyJump none` for `{name}` in the SSH configuration breaks it"))
        })
    }
}

/// Finds routes.
pub(super) struct Planner<'a> {
    pub settings: &'a Settings,
    pub options: &'a Options,
    pub hops: Hops<'a>,
}

type Planned<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

impl Planner<'_> {
    /// The route to a host of the inventory by one of its ways.
    pub(super) async fn route(&self, name: &str, way: &SshWay) -> Result<Route> {
        self.plan(name, way, None, Trail::default().with(true, name)?).await
    }

    fn plan<'a>(&'a self, name: &'a str, way: &'a SshWay, via: Option<Via>, trail: Trail) -> Planned<'a, Route> {
        Box::pin(async move {
            let target = trail.0.len() == 1;
            let user = way.user.clone().or_else(|| self.options.user.clone().filter(|_| target));
            if let Some(user) = &user {
                check_user(user)?;
            }
            let host = way.address.clone().unwrap_or_else(|| name.to_owned());
            let config = self.settings.of(&Query { host, user, port: way.port }).await?;
            let via = match via {
                Some(via) => via,
                None => self.via(name, way, &config, &trail).await?,
            };
            let home = &self.settings.me.home;
            let own = way.known_hosts.as_ref().map(|path| at_home(path, home));
            let (remember_in, known_hosts) = match own {
                Some(path) => (Some(path.clone()), vec![path]),
                None if !self.options.known_hosts.is_empty() => {
                    (self.options.known_hosts.first().cloned(), self.options.known_hosts.clone())
                }
                None => {
                    let all = config.user_known_hosts.iter().chain(&config.global_known_hosts).cloned();
                    (config.user_known_hosts.first().cloned(), all.collect())
                }
            };
            let mut keys = Vec::new();
            for key in way.keys.iter().chain(&self.options.keys).map(|path| at_home(path, home)) {
                if !keys.contains(&key) {
                    keys.push(key);
                }
            }
            Ok(Route {
                name: name.to_owned(),
                config,
                keys,
                pins: way.host_keys.clone(),
                remember_in,
                known_hosts,
                via,
            })
        })
    }

    async fn via(&self, name: &str, way: &SshWay, config: &Config, trail: &Trail) -> Result<Via> {
        let none = |text: &str| text.eq_ignore_ascii_case("none");
        if !way.jump.is_empty() && way.proxy.is_some() {
            return Err(Error::inventory(format!("`{name}` has both `jump` and `proxy`, which exclude each other")));
        }
        if let Some(command) = &way.proxy {
            self.may_run(command)?;
            return Ok(if none(command) { Via::Direct } else { Via::Command(command.clone()) });
        }
        if !way.jump.is_empty() {
            return if way.jump.iter().all(|hop| none(hop)) {
                Ok(Via::Direct)
            } else {
                self.chain(&way.jump, true, trail).await
            };
        }
        if !config.proxy_jump.is_empty() {
            return self.chain(&config.proxy_jump, false, trail).await;
        }
        Ok(config.proxy_command.clone().map_or(Via::Direct, Via::Command))
    }

    /// Refuses a program, named by its path, that others could have written. One that is looked up in the search path is
    /// the user's own choice, and so is what the SSH configuration names.
    fn may_run(&self, command: &str) -> Result {
        let first = shlex::split(command).and_then(|words| words.into_iter().next()).unwrap_or_default();
        if !first.contains('/') {
            return Ok(());
        }
        let path = at_home(Path::new(&first), &self.settings.me.home);
        self.options.guard.check(&path).map_err(|e| e.as_kind(Kind::Inventory))
    }

    /// A chain of hops. As with `ssh -J`, only the first one is reached as its own settings say.
    async fn chain(&self, hops: &[String], inventory: bool, trail: &Trail) -> Result<Via> {
        let mut via = None;
        for hop in hops {
            let before = via.take();
            via = Some(Via::Jump(self.hop(hop, inventory, before, trail).await?));
        }
        Ok(via.unwrap_or(Via::Direct))
    }

    async fn hop(&self, name: &str, inventory: bool, via: Option<Via>, trail: &Trail) -> Result<Vec<Route>> {
        let ways = if inventory { (self.hops)(name) } else { None };
        let Some(ways) = ways else {
            let trail = trail.with(false, name)?;
            let way = parse_hop(name)?;
            let name = way.address.clone().unwrap_or_default();
            return Ok(vec![self.plan(&name, &way, via, trail).await?]);
        };
        let trail = trail.with(true, name)?;
        let mut routes = Vec::new();
        for way in &ways {
            match way {
                Way::Ssh(way) => routes.push(self.plan(name, way, via.clone(), trail.clone()).await?),
                Way::Local {} => {
                    return Err(Error::inventory(format!("`{name}` is this machine, which is no jump host")));
                }
            }
        }
        if routes.is_empty() {
            return Err(Error::inventory(format!("the jump host `{name}` has no way in")));
        }
        Ok(routes)
    }
}

/// Reads `[user@]host[:port]`, with or without `ssh://` before it; an IPv6 address with a port is in brackets.
pub(super) fn parse_hop(text: &str) -> Result<SshWay> {
    let wrong = || {
        Error::inventory(format!("`{}` is not a jump host", text.escape_debug()))
            .hint("a jump host is a name in the inventory or `user@address:port`")
    };
    let rest = text.strip_prefix("ssh://").unwrap_or(text).trim_end_matches('/');
    let (user, rest) = match rest.rsplit_once('@') {
        Some((user, rest)) => (Some(user.to_owned()), rest),
        None => (None, rest),
    };
    let (host, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, port)) => (host, Some(port.strip_prefix(':').ok_or_else(wrong)?)),
        None => match rest.split_once(':') {
            Some((host, port)) if !port.contains(':') => (host, Some(port)),
            _ => (rest, None),
        },
    };
    let port = port.map(|port| port.parse().ok().filter(|port| *port != 0).ok_or_else(wrong)).transpose()?;
    if host.is_empty() || user.as_ref().is_some_and(String::is_empty) {
        return Err(wrong());
    }
    Ok(SshWay { address: Some(host.to_owned()), port, user, ..SshWay::default() })
}

fn check_user(user: &str) -> Result {
    if user.is_empty() || user.starts_with('-') || user.contains(char::is_control) {
        return Err(Error::inventory(format!("`{}` is not a user name", user.escape_debug())));
    }
    Ok(())
}
