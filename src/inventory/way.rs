//! How a host can be reached: an ordered list of ways in, tried in turn.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::Result;

use super::decode::Fields;
use super::names;
use super::yaml::{Node, Text, Yaml};

/// One way in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Way {
    /// This machine, without SSH.
    Local {},
    /// SSH, straight or through other hosts.
    Ssh(SshWay),
}

/// The settings of an SSH way. What is absent comes from the command line, then from the user's SSH
/// configuration, then from SSH's own defaults.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SshWay {
    /// The name or address to connect to. Default: the host's own name, as the SSH configuration maps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The port. Default: as the SSH configuration says, else 22.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The user to log in as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Private key files, tried before the agent's keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<PathBuf>,
    /// Host keys that the host must present one of: `ssh-ed25519 AAAA…`. No `known_hosts` file is asked then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub host_keys: Vec<String>,
    /// A `known_hosts` file to ask instead of the user's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_hosts: Option<PathBuf>,
    /// Hosts to jump through, first hop first: names in this inventory, or `user@address:port`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub jump: Vec<String>,
    /// A command whose stdin and stdout are the connection, as SSH's `ProxyCommand`; `%h`, `%p`, `%r` are filled in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
    /// How often it is tried to reach the host, a second apart: for hosts that may still be booting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect_attempts: Option<u32>,
}

/// What a way is decoded against.
pub(super) struct Setting<'a> {
    /// The folder that relative paths are relative to, absolute.
    pub(super) folder: &'a Path,
    /// Every host of the inventory.
    pub(super) hosts: &'a HashMap<String, usize>,
    /// The host whose way it is.
    pub(super) host: &'a str,
}

impl Way {
    /// Decodes one item of a list of ways.
    pub(super) fn decode(node: Node, setting: &Setting) -> Result<Self> {
        let mut fields = Fields::of(node, "a way", &["local", "ssh"])?;
        match (fields.take("local"), fields.take("ssh")) {
            (Some(local), None) => Fields::of(local, "`local`", &[]).map(|_| Self::Local {}),
            (None, Some(ssh)) => SshWay::decode(ssh, setting).map(Self::Ssh),
            (None, None) => {
                Err(fields.at.fault("a way is empty").hint("`ssh: {}` takes everything from your SSH configuration"))
            }
            (Some(_), Some(_)) => {
                Err(fields.at.fault("a way is both `local` and `ssh`").hint("write them as two items of the list"))
            }
        }
    }
}

impl SshWay {
    const KEYS: &[&str] =
        &["address", "port", "user", "keys", "host_keys", "known_hosts", "jump", "proxy", "connect_attempts"];

    fn decode(node: Node, setting: &Setting) -> Result<Self> {
        let mut fields = Fields::of(node, "`ssh`", Self::KEYS)?;
        let mut text = |key: &str| fields.take(key).map(|node| filled(node, key, setting)).transpose();
        let (address, user, proxy) = (text("address")?, text("user")?, text("proxy")?);
        let known_hosts = text("known_hosts")?.map(|path| setting.path(&path)).transpose()?;
        let port = fields.take("port").as_ref().map(port).transpose()?;
        let connect_attempts = fields.take("connect_attempts").as_ref().map(attempts).transpose()?;
        let mut texts = |key: &str| -> Result<Vec<Text>> {
            let items = fields.take(key).map(|node| node.items(&format!("`{key}`"))).transpose()?.unwrap_or_default();
            items.into_iter().map(|item| filled(item, key, setting)).collect()
        };
        let plain = |text: Text| text.text;
        Ok(Self {
            address: address.map(plain),
            port,
            user: user.map(plain),
            keys: texts("keys")?.iter().map(|path| setting.path(path)).collect::<Result<_>>()?,
            host_keys: texts("host_keys")?.into_iter().map(plain).collect(),
            known_hosts,
            jump: texts("jump")?.into_iter().map(|jump| setting.jump(jump)).collect::<Result<_>>()?,
            proxy: proxy.map(plain),
            connect_attempts,
        })
    }
}

/// The text that `node` must be, in which nothing may be left to fill in.
fn filled(node: Node, key: &str, setting: &Setting) -> Result<Text> {
    let text = node.text(&format!("`{key}`"))?;
    if text.text.contains("{n}") {
        return Err(text.at.fault(format!("`{{n}}` has no number to stand for: `{}` is not one range", setting.host)));
    }
    Ok(text)
}

/// A port, also as text: that is what `22{n}` becomes.
fn port(node: &Node) -> Result<u16> {
    let port = match &node.kind {
        Yaml::Number(number) => number.as_u64().and_then(|port| u16::try_from(port).ok()),
        Yaml::Text(text) => text.parse().ok(),
        _ => None,
    };
    port.filter(|port| *port > 0).ok_or_else(|| node.at.fault("`port` must be a number from 1 to 65535"))
}

/// A number of attempts.
fn attempts(node: &Node) -> Result<u32> {
    let number = match &node.kind {
        Yaml::Number(number) => number.as_u64().and_then(|number| u32::try_from(number).ok()),
        _ => None,
    };
    number.filter(|number| *number > 0).ok_or_else(|| node.at.fault("`connect_attempts` must be a number from 1"))
}

impl Setting<'_> {
    /// A path of the inventory: `~` is the home folder, a relative one is relative to the inventory's.
    fn path(&self, text: &Text) -> Result<PathBuf> {
        let Some(rest) = text.text.strip_prefix('~') else {
            return Ok(self.folder.join(&text.text));
        };
        match (rest.strip_prefix('/'), std::env::home_dir().filter(|home| home.is_absolute())) {
            (Some(below), Some(home)) => Ok(home.join(below)),
            (None, _) => Err(text.at.fault(format!("`{}`: only `~/` is known, no other user's home", text.text))),
            (_, None) => Err(text.at.fault(format!("`{}`: the home folder is not known", text.text))),
        }
    }

    /// A hop: a host of this inventory, or an address, which has a `@`, a `:` or a dot in it.
    fn jump(&self, jump: Text) -> Result<String> {
        if jump.text == self.host {
            return Err(jump
                .at
                .fault(format!("`{}` would jump through itself", self.host))
                .hint(format!("give `{}` its own `ways`", self.host)));
        }
        if self.hosts.contains_key(&jump.text) || jump.text.contains(['@', ':', '.']) {
            return Ok(jump.text);
        }
        let fault = jump.at.fault(format!("`jump` names the host `{}`, which is not under `hosts`", jump.text));
        Err(names::suggest(fault, &jump.text, self.hosts.keys().map(String::as_str))
            .hint("a hop outside the inventory is written `user@address`"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{complaint, load};
    use super::*;

    #[test]
    fn a_host_without_ways_is_left_to_the_ssh_configuration() {
        let inventory = load("hosts: { a: , b: { ways: [ { local: } ] } }").unwrap();
        assert_eq!(inventory.host("a").unwrap().ways, [Way::Ssh(SshWay::default())]);
        assert_eq!(inventory.host("b").unwrap().ways, [Way::Local {}]);
    }

    #[test]
    fn every_setting_is_read_and_filled() {
        let inventory = load(
            "hosts:\n  j:\n  'w-[07..08]':\n    become: '{name}'\n    ways:\n      - ssh:\n          address: 10.0.0.{n}\n          port: '22{n}'\n          \
             user: u{n}\n          keys: ['keys/{name}', /abs, ~/k]\n          host_keys: [ssh-ed25519 AAAA]\n          \
             known_hosts: known_hosts\n          jump: [j, 'root@10.0.0.1:22']\n          proxy: nc %h {n}\n          connect_attempts: 5\n",
        )
        .unwrap();
        let folder = inventory.file().parent().unwrap();
        let way = SshWay {
            address: Some("10.0.0.07".to_owned()),
            port: Some(2207),
            user: Some("u07".to_owned()),
            keys: vec![folder.join("keys/w-07"), "/abs".into(), std::env::home_dir().unwrap().join("k")],
            host_keys: vec!["ssh-ed25519 AAAA".to_owned()],
            known_hosts: Some(folder.join("known_hosts")),
            jump: vec!["j".to_owned(), "root@10.0.0.1:22".to_owned()],
            proxy: Some("nc %h 07".to_owned()),
            connect_attempts: Some(5),
        };
        let host = inventory.host("w-07").unwrap();
        assert_eq!((host.ways.as_slice(), host.become_user.as_deref()), ([Way::Ssh(way)].as_slice(), Some("w-07")));
    }

    #[test]
    fn defaults_are_for_hosts_that_do_not_say_otherwise() {
        let inventory = load(
            "defaults: { become: root, ways: [{ ssh: { address: '{name}.lab' } }] }\n\
             hosts: { a: , b: { become: ~, ways: [{ local: {} }] } }",
        )
        .unwrap();
        let (a, b) = (inventory.host("a").unwrap(), inventory.host("b").unwrap());
        assert_eq!(a.become_user.as_deref(), Some("root"));
        assert_eq!(a.ways, [Way::Ssh(SshWay { address: Some("a.lab".to_owned()), ..SshWay::default() })]);
        assert_eq!((b.become_user.as_deref(), b.ways.as_slice()), (None, [Way::Local {}].as_slice()));
    }

    #[test]
    fn a_way_that_leads_nowhere_is_refused() {
        let way = |way: &str| complaint(&format!("hosts: {{ jumpbox: , a: {{ ways: [{way}] }} }}"));
        assert_eq!(
            way("{ ssh: { jump: [jmupbox] } }"),
            "inventory.yml:1:49: `jump` names the host `jmupbox`, which is not under `hosts` \
             (did you mean `jumpbox`?) (a hop outside the inventory is written `user@address`)"
        );
        assert_eq!(
            way("{ ssh: { jump: [a] } }"),
            "inventory.yml:1:49: `a` would jump through itself (give `a` its own `ways`)"
        );
        assert_eq!(
            way("{ ssh: { address: '10.0.0.{n}' } }"),
            "inventory.yml:1:51: `{n}` has no number to stand for: `a` is not one range"
        );
        assert_eq!(
            way("{ ssh: { keys: [~bob/k] } }"),
            "inventory.yml:1:49: `~bob/k`: only `~/` is known, no other user's home"
        );
        assert_eq!(
            way("{ ssh: { connect_attempts: 0 } }"),
            "inventory.yml:1:60: `connect_attempts` must be a number from 1"
        );
        assert_eq!(
            way("{}"),
            "inventory.yml:1:33: a way is empty (`ssh: {}` takes everything from your SSH configuration)"
        );
        assert_eq!(
            way("{ ssh: , local: }"),
            "inventory.yml:1:33: a way is both `local` and `ssh` (write them as two items of the list)"
        );
        assert_eq!(
            way(""),
            "inventory.yml:1:32: `ways` is empty (without `ways` a host is reached by your SSH configuration)"
        );
    }
}
