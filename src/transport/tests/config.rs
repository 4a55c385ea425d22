//! Reading what `ssh -G` prints.

use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;

use crate::transport::config::{Config, Me, at_home, percent};
use crate::transport::route::parse_hop;

/// OpenSSH 9.2, for a host with much to say.
const CAPTURED: &str = "\
user deploy
hostname 10.0.0.9
port 2022
addressfamily any
batchmode no
checkhostip no
hashknownhosts yes
identitiesonly yes
proxyusefdpass no
stricthostkeychecking ask
hostkeyalias al
identityagent ~/agents/%r@%h.sock
identityfile ~/.ssh/%h_%r
identityfile %d/keys/id_%u
identityfile none
certificatefile ~/.ssh/signed-cert.pub
globalknownhostsfile /etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2
userknownhostsfile ~/a /tmp/b none
sendenv LANG
sendenv LC_*
connecttimeout 3
connectionattempts 4
serveraliveinterval 5
serveralivecountmax 2
serveraliveinterval 0
revokedhostkeys /etc/ssh/revoked
tunneldevice any:any
controlpersist no
escapechar ~
ipqos lowdelay throughput
proxyjump jb,root@x:2222
syslogfacility USER
";

fn me() -> Me {
    Me { user: "ann".into(), home: "/home/ann".into(), agent: Some("/run/agent".into()) }
}

fn paths(paths: &[&str]) -> Vec<PathBuf> {
    paths.iter().map(PathBuf::from).collect()
}

#[test]
fn everything_that_matters_is_read() {
    let expected = Config {
        hostname: "10.0.0.9".into(),
        user: "deploy".into(),
        port: 2022,
        identity_files: paths(&["/home/ann/.ssh/10.0.0.9_deploy", "/home/ann/keys/id_ann"]),
        certificate_files: paths(&["/home/ann/.ssh/signed-cert.pub"]),
        identities_only: true,
        agent: Some("/home/ann/agents/deploy@10.0.0.9.sock".into()),
        proxy_jump: vec!["jb".into(), "root@x:2222".into()],
        proxy_command: None,
        user_known_hosts: paths(&["/home/ann/a", "/tmp/b"]),
        global_known_hosts: paths(&["/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"]),
        host_key_alias: Some("al".into()),
        hash_known_hosts: true,
        revoked_host_keys: Some("/etc/ssh/revoked".into()),
        connect_timeout: Some(Duration::from_secs(3)),
        connection_attempts: Some(4),
        alive_interval: Some(Duration::from_secs(5)),
        alive_max: 2,
    };
    assert_eq!(Config::parse("web", CAPTURED, &me()), expected);
}

#[test]
fn what_is_not_said_stays_at_its_default() {
    let config = Config::parse("web", "connecttimeout none\nproxyjump none\nproxycommand nc %h %p\n", &me());
    let expected = Config { proxy_command: Some("nc %h %p".into()), ..Config::defaults("web", &me()) };
    assert_eq!(config, expected);
    assert_eq!((config.hostname.as_str(), config.user.as_str(), config.port), ("web", "ann", 22));
}

#[test]
fn the_agent_is_the_environments_unless_named() {
    let agent = |line: &str| Config::parse("web", line, &me()).agent;
    assert_eq!(agent(""), Some("/run/agent".into()));
    assert_eq!(agent("identityagent SSH_AUTH_SOCK"), Some("/run/agent".into()));
    assert_eq!(agent("identityagent none"), None);
    assert_eq!(agent("identityagent $MK_TEST_NO_SUCH_VARIABLE"), None);
    assert_eq!(agent("identityagent /a b"), Some("/a b".into()));
}

#[test]
fn tokens_are_filled_in() {
    let value = |token| (token == 'h').then(|| "web".to_owned());
    for (text, filled) in [("nc %h", "nc web"), ("%%h", "%h"), ("%x%", "%x%"), ("100%% %h%h", "100% webweb")] {
        assert_eq!(percent(text, value), filled);
    }
    assert_eq!(at_home(Path::new("~/x"), Path::new("/h")), PathBuf::from("/h/x"));
    assert_eq!(at_home(Path::new("/~/x"), Path::new("/h")), PathBuf::from("/~/x"));
}

#[test]
fn hops_are_read_as_ssh_reads_them() {
    let hop = |text: &str| {
        parse_hop(text).ok().map(|way| (way.user.unwrap_or_default(), way.address.unwrap(), way.port.unwrap_or(22)))
    };
    let read = |user: &str, host: &str, port| Some((user.to_owned(), host.to_owned(), port));
    assert_eq!(hop("box"), read("", "box", 22));
    assert_eq!(hop("ann@box:2222"), read("ann", "box", 2222));
    assert_eq!(hop("ssh://ann@box:2222/"), read("ann", "box", 2222));
    assert_eq!(hop("a@b@box"), read("a@b", "box", 22));
    assert_eq!(hop("[fe80::1]:24"), read("", "fe80::1", 24));
    assert_eq!(hop("ann@fe80::1"), read("ann", "fe80::1", 22));
    for wrong in ["", "@box", "box:", "box:0", "box:99999", "ann@", "[::1]22"] {
        assert_eq!(hop(wrong), None, "{wrong}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC*(\n\\PC*){0,8}") {
        let _ = Config::parse("web", &text, &me());
        let _ = parse_hop(&text);
    }

    #[test]
    fn a_text_without_percent_is_its_own_filling(text in "[^%]*") {
        prop_assert_eq!(percent(&text, |_| None), text);
    }
}
