//! Jump hosts, proxy commands, and the user's SSH configuration.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::sshd::Sshd;
use super::{connect, dialer, fault, hops};
use crate::error::Kind;
use crate::inventory::{SshWay, Way};
use crate::transport::{Connection, Options};

async fn works(connection: &Connection) {
    let ran = connection.run("cat", b"through", 100, Duration::from_secs(30)).await.unwrap();
    assert_eq!(ran.stdout, b"through");
}

fn jumping(sshd: &Sshd, jump: &[&str]) -> SshWay {
    SshWay { jump: jump.iter().map(|hop| (*hop).to_owned()).collect(), ..sshd.way() }
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_behind_one_jump_host_share_its_connection() {
    let sshd = Sshd::start();
    let known = hops(HashMap::from([("jumpbox", sshd.way())]));
    let (dialer, known) = (Arc::new(dialer(sshd.options())), Arc::new(known));
    let mut connecting = tokio::task::JoinSet::new();
    for i in 0..5 {
        let (dialer, known) = (Arc::clone(&dialer), Arc::clone(&known));
        let way = [Way::Ssh(jumping(&sshd, &["jumpbox"]))];
        connecting.spawn(async move { dialer.connect(&format!("node-{i}"), &way, &*known).await });
    }
    let connections = connecting.join_all().await.into_iter().collect::<Result<Vec<_>, _>>().unwrap();
    for connection in &connections {
        works(connection).await;
        assert!(connection.describe().ends_with(" via jumpbox"), "{}", connection.describe());
    }
    assert_eq!(sshd.logins(), 6);
    // With the last of them the jump host's connection ends; a later one makes it anew.
    drop(connections);
    let way = [Way::Ssh(jumping(&sshd, &["jumpbox"]))];
    works(&dialer.connect("node-9", &way, &*known).await.unwrap()).await;
    assert_eq!(sshd.logins(), 8);
}

/// A session that writes does not read. What is told to it meanwhile, by the host and by the jump host, must not fill
/// what it is read from: the connection to the jump host would wait for the session, and the session for it.
#[tokio::test(flavor = "multi_thread")]
async fn much_goes_through_a_jump_host_to_several_hosts_at_once() {
    let sshd = Sshd::start();
    let known = hops(HashMap::from([("hop", sshd.way())]));
    let dialer = dialer(sshd.options());
    let way = [Way::Ssh(jumping(&sshd, &["hop"]))];
    let upload = async || {
        let connection = dialer.connect("node", &way, &known).await.unwrap();
        let mut cat = connection.spawn("cat").await.unwrap();
        let sent = vec![7; 16 << 20];
        let mut back = Vec::new();
        let (wrote, read) = tokio::join!(
            async {
                cat.stdin.write_all(&sent).await?;
                cat.stdin.shutdown().await
            },
            cat.stdout.read_to_end(&mut back),
        );
        wrote.and(read.map(drop)).unwrap();
        assert!(back == sent, "{} bytes came back", back.len());
    };
    let all = async { tokio::join!(upload(), upload(), upload()) };
    tokio::time::timeout(Duration::from_secs(60), all).await.expect("the uploads do not end");
}

#[tokio::test(flavor = "multi_thread")]
async fn chains_of_jump_hosts_work_however_they_are_written() {
    let sshd = Sshd::start();
    let nested = SshWay { jump: vec!["outer".into()], ..sshd.way() };
    let known = hops(HashMap::from([("outer", sshd.way()), ("inner", nested)]));
    for jump in [vec!["inner"], vec!["outer", "inner"]] {
        let way = [Way::Ssh(jumping(&sshd, &jump))];
        let connection = dialer(sshd.options()).connect("node", &way, &known).await.unwrap();
        works(&connection).await;
        assert!(connection.describe().ends_with(" via outer, inner"), "{}", connection.describe());
    }
    assert_eq!(sshd.logins(), 6);
    // What is no name of the inventory is an address; its keys are those of the command line.
    let literal = format!("{}@127.0.0.1:{}", std::env::var("USER").unwrap_or_else(|_| "root".into()), sshd.port);
    let options = Options { keys: vec![sshd.path("user_ed25519")], ..sshd.options() };
    works(&connect(&dialer(options), &jumping(&sshd, &[&literal])).await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ssh_configuration_is_followed() {
    let sshd = Sshd::start();
    let key = sshd.path("user_ed25519").display().to_string();
    sshd.ssh_config(&format!(
        "Host outer inner node\n  HostName 127.0.0.1\n  Port {}\n  IdentityFile {key}\n\
         Match host 127.0.0.1 originalhost node\n  ProxyJump inner\n\
         Match originalhost inner\n  ProxyJump outer\n",
        sshd.port
    ));
    let dialer = dialer(sshd.options());
    let connection = dialer.connect("node", &[Way::Ssh(SshWay::default())], &|_| None).await.unwrap();
    works(&connection).await;
    assert!(connection.describe().ends_with(" via outer, inner"), "{}", connection.describe());
    assert_eq!(sshd.logins(), 3);
    // The inventory's word wins.
    let way = SshWay { jump: vec!["none".into()], ..SshWay::default() };
    let connection = dialer.connect("node", &[Way::Ssh(way)], &|_| None).await.unwrap();
    assert!(!connection.describe().contains("via"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_circle_of_jump_hosts_is_named() {
    let sshd = Sshd::start();
    let to = |hop: &str| SshWay { jump: vec![hop.into()], ..sshd.way() };
    let known = hops(HashMap::from([("a", to("b")), ("b", to("a"))]));
    let refused = fault(dialer(sshd.options()).connect("a", &[Way::Ssh(to("b"))], &known).await);
    assert_eq!(refused.to_string(), "the jump hosts go round in a circle: `a` → `b` → `a`");
    assert_eq!(refused.kind(), Kind::Inventory);
    let circle = "Host 127.0.0.1 b\n  ProxyJump a\nHost a\n  ProxyJump b\n";
    sshd.ssh_config(circle);
    let refused = fault(connect(&dialer(sshd.options()), &sshd.way()).await);
    assert!(refused.message().ends_with("`target` → `a` → `b` → `a`"), "{refused}");
    assert!(refused.hints()[0].contains("ProxyJump none"));
    // A host that jumps through itself is seen by `ssh -G` already.
    sshd.ssh_config("Host *\n  ProxyJump bastion\n");
    let refused = fault(connect(&dialer(sshd.options()), &sshd.way()).await);
    assert!(refused.notes()[0].contains("loop via bastion"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_of_a_jump_host_is_the_fault_of_the_host_behind_it() {
    let sshd = Sshd::start();
    let stranger = SshWay {
        host_keys: vec!["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ".into()],
        ..sshd.way()
    };
    let known = hops(HashMap::from([("jumpbox", stranger)]));
    let way = [Way::Ssh(jumping(&sshd, &["jumpbox"]))];
    let refused = fault(dialer(sshd.options()).connect("node", &way, &known).await);
    assert_eq!(refused.kind(), Kind::HostKey);
    assert_eq!(refused.message(), "cannot reach `node` through `jumpbox`");
    assert_eq!(refused.causes()[0], "the host key of `jumpbox` is not one its inventory names");
    // The jump host works, but does not get any further.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let known = hops(HashMap::from([("jumpbox", sshd.way())]));
    let way = [Way::Ssh(SshWay { port: Some(closed), ..jumping(&sshd, &["jumpbox"]) })];
    let refused = fault(dialer(sshd.options()).connect("node", &way, &known).await);
    let expected = format!("cannot reach `node` at 127.0.0.1:{closed}: `jumpbox` cannot connect to it");
    assert_eq!((refused.kind(), refused.to_string()), (Kind::Unreachable, expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jump_host_that_forbids_forwarding_is_named() {
    let sshd = Sshd::with("AllowTcpForwarding no");
    let known = hops(HashMap::from([("jumpbox", sshd.way())]));
    let way = [Way::Ssh(jumping(&sshd, &["jumpbox"]))];
    let refused = fault(dialer(sshd.options()).connect("node", &way, &known).await);
    assert!(refused.to_string().contains("`jumpbox` does not forward connections"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_command_carries_the_connection() {
    let sshd = Sshd::start();
    let (key, known) = (sshd.path("user_ed25519"), sshd.path("known_hosts"));
    let command = format!(
        "ssh -F none -o IdentityAgent=none -o UserKnownHostsFile={} -i {} -p %p -W %h:%p %r@%h",
        known.display(),
        key.display()
    );
    let way = SshWay { proxy: Some(command.clone()), ..sshd.way() };
    let connection = connect(&dialer(sshd.options()), &way).await.unwrap();
    works(&connection).await;
    assert!(connection.describe().ends_with(" via a proxy command"));
    assert_eq!(sshd.logins(), 2);
    // The same from the configuration.
    sshd.ssh_config(&format!("Host *\n  ProxyCommand {command}\n"));
    works(&connect(&dialer(sshd.options()), &sshd.way()).await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_program_that_others_may_write_is_not_run() {
    use std::os::unix::fs::PermissionsExt as _;
    let sshd = Sshd::start();
    let (program, ran) = (sshd.path("proxy"), sshd.path("ran"));
    std::fs::write(&program, format!("#!/bin/sh\ntouch {}\n", ran.display())).unwrap();
    let way = SshWay { proxy: Some(format!("{} %h %p", program.display())), ..sshd.way() };
    for (mode, runs) in [(0o777, false), (0o755, true)] {
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(mode)).unwrap();
        let refused = fault(connect(&dialer(sshd.options()), &way).await);
        assert_eq!(ran.exists(), runs, "{refused}");
        assert_eq!(refused.message().contains("anybody may write to"), !runs, "{refused}");
        assert_eq!(refused.kind() == Kind::Inventory, !runs, "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_command_that_fails_has_its_last_words_shown() {
    let sshd = Sshd::start();
    let way = SshWay { proxy: Some("sh -c 'echo no route today >&2; exit 1'".into()), ..sshd.way() };
    let refused = fault(connect(&dialer(sshd.options()), &way).await);
    assert_eq!(refused.kind(), Kind::Unreachable);
    assert_eq!(refused.notes(), ["no route today"], "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_name_never_becomes_a_shell_command() {
    let sshd = Sshd::start();
    let mark = sshd.path("mark");
    let user = format!("$(touch${{IFS}}{})", mark.display());
    let way = SshWay { proxy: Some("nc %h %p %r".into()), user: Some(user), ..sshd.way() };
    // Newer versions of `ssh -G` refuse such a user; mk does in any case.
    let options = Options { ssh: "/nonexistent/ssh".into(), ..sshd.options() };
    let refused = fault(connect(&dialer(options), &way).await);
    assert!(refused.message().ends_with("cannot stand in a proxy command"), "{refused}");
    let way = SshWay { address: Some("-oProxyCommand=touch".into()), ..sshd.way() };
    let refused = fault(connect(&dialer(sshd.options()), &way).await);
    assert_eq!(refused.to_string(), "`-oProxyCommand=touch` is not a host name");
    assert!(!mark.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_ssh_its_defaults_hold() {
    let sshd = Sshd::start();
    let options = Options { ssh: "/nonexistent/ssh".into(), ..sshd.options() };
    works(&connect(&dialer(options), &sshd.way()).await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_configuration_is_shown_as_ssh_complains_of_it() {
    let sshd = Sshd::start();
    sshd.ssh_config("Host *\n  NoSuchOption yes\n");
    let refused = fault(connect(&dialer(sshd.options()), &sshd.way()).await);
    assert_eq!(refused.message(), "cannot read the SSH configuration of `127.0.0.1` with `ssh -G`");
    assert!(refused.notes()[0].to_lowercase().contains("nosuchoption"), "{:?}", refused.notes());
}

#[tokio::test(flavor = "multi_thread")]
async fn jump_and_proxy_exclude_each_other() {
    let sshd = Sshd::start();
    let way = SshWay { proxy: Some("nc %h %p".into()), ..jumping(&sshd, &["x"]) };
    assert_eq!(fault(connect(&dialer(sshd.options()), &way).await).kind(), Kind::Inventory);
}
