//! Hosts that cannot be reached, and hosts that are lost.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::relay::Relay;
use super::sshd::{Sshd, tool};
use super::{connect, dialer, fault};
use crate::error::Kind;
use crate::inventory::{SshWay, Way};
use crate::transport::Options;

fn hasty(sshd: &Sshd) -> Options {
    Options { keepalive_interval: Duration::from_millis(500), keepalive_max: 2, ..sshd.options() }
}

/// The way through a relay, whose port is known as the server's.
fn through(sshd: &Sshd, relay: &Relay) -> SshWay {
    sshd.known_hosts(&format!("[127.0.0.1]:{} {}", relay.port, sshd.public("host_ed25519.pub")));
    SshWay { port: Some(relay.port), ..sshd.way() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_port_is_named_with_the_reason() {
    let sshd = Sshd::start();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let way = SshWay { port: Some(port), ..sshd.way() };
    let fault = fault(connect(&dialer(sshd.options()), &way).await);
    assert_eq!(fault.to_string(), format!("cannot reach `target` at 127.0.0.1:{port}: connection refused"));
    assert_eq!((fault.kind(), fault.host()), (Kind::Unreachable, Some("target")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_still_booting_is_reached_when_more_attempts_are_allowed() {
    let sshd = Sshd::start();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let target = sshd.port;
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let (mut from, _) = listener.accept().await.unwrap();
        let mut to = tokio::net::TcpStream::connect(("127.0.0.1", target)).await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
    });
    let host_keys = vec![sshd.public("host_ed25519.pub")];
    let way = SshWay { port: Some(port), host_keys, ..sshd.way() };
    let twice = Options { connect_attempts: Some(2), ..sshd.options() };
    assert_eq!(fault(connect(&dialer(twice), &way).await).kind(), Kind::Unreachable);
    let patient = SshWay { connect_attempts: Some(10), ..way };
    let connection = connect(&dialer(sshd.options()), &patient).await.unwrap();
    assert!(connection.run("true", b"", 10, Duration::from_secs(20)).await.unwrap().exit.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_does_not_resolve_is_named_with_the_reason() {
    let sshd = Sshd::start();
    let way = SshWay { address: Some("no-such-host.invalid".into()), ..sshd.way() };
    let fault = fault(connect(&dialer(sshd.options()), &way).await);
    assert!(fault.to_string().contains("its name cannot be resolved"), "{fault}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_says_nothing_is_given_up_on() {
    let sshd = Sshd::start();
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let way = SshWay { port: Some(mute.local_addr().unwrap().port()), ..sshd.way() };
    let options = Options { connect_timeout: Some(Duration::from_millis(300)), ..sshd.options() };
    let fault = fault(connect(&dialer(options), &way).await);
    assert!(fault.to_string().ends_with("no SSH handshake within 0.3 s"), "{fault}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_something_else_is_recognised() {
    let sshd = Sshd::start();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let way = SshWay { port: Some(listener.local_addr().unwrap().port()), ..sshd.way() };
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"220 mail.example ESMTP ready\r\n".repeat(100).as_slice()).await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    let options = Options { connect_timeout: Some(Duration::from_secs(2)), ..sshd.options() };
    let fault = fault(connect(&dialer(options), &way).await);
    assert_eq!(fault.kind(), Kind::Unreachable);
    assert!(fault.to_string().contains("handshake"), "{fault}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_that_failed_is_named() {
    let sshd = Sshd::start();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let closed = Way::Ssh(SshWay { port: Some(port), ..sshd.way() });
    let nowhere = Way::Ssh(SshWay { address: Some("no-such-host.invalid".into()), ..sshd.way() });
    let dialer = dialer(sshd.options());
    let fault = fault(dialer.connect("target", &[closed.clone(), nowhere], &|_| None).await);
    assert_eq!(fault.message(), "no way into `target` works");
    assert!(fault.causes()[0].starts_with("ssh to `127.0.0.1`: cannot reach"), "{fault}");
    assert!(fault.causes()[1].starts_with("ssh to `no-such-host.invalid`: cannot reach"), "{fault}");
    // A later way that works is taken, and what was passed over is told once.
    let connection = dialer.connect("target", &[closed, Way::Ssh(sshd.way())], &|_| None).await.unwrap();
    assert!(connection.run("true", b"", 10, Duration::from_secs(20)).await.unwrap().exit.success());
    let notices = dialer.notices();
    assert!(notices[0].contains("`target` was not reached by ssh to `127.0.0.1`"), "{notices:?}");
    assert!(dialer.notices().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_is_unreachable() {
    let sshd = Sshd::start();
    let connection = connect(&dialer(hasty(&sshd)), &sshd.way()).await.unwrap();
    let mut process = connection.spawn("echo $PPID; exec sleep 60").await.unwrap();
    let mut pid = [0; 32];
    let n = process.stdout.read(&mut pid).await.unwrap();
    let pid = String::from_utf8_lossy(&pid[..n]).trim().to_owned();
    tool("kill", "procps", &["-KILL", &pid]);
    let fault = process.end.wait().await.unwrap_err();
    assert_eq!(fault.kind(), Kind::Unreachable);
    assert!(fault.message().starts_with("lost the connection to `target` ("), "{fault}");
    let fault = connection.run("true", b"", 10, Duration::from_secs(20)).await.unwrap_err();
    assert_eq!((fault.kind(), fault.host()), (Kind::Unreachable, Some("target")));
    assert!(connection.is_closed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_network_is_noticed_within_the_keepalive_time() {
    let sshd = Sshd::start();
    let relay = Relay::to(sshd.port).await;
    let way = through(&sshd, &relay);
    let connection = connect(&dialer(hasty(&sshd)), &way).await.unwrap();
    let mut process = connection.spawn("exec sleep 60").await.unwrap();
    relay.fall_silent();
    let since = Instant::now();
    let fault = process.end.wait().await.unwrap_err();
    assert_eq!(fault.kind(), Kind::Unreachable);
    assert!(fault.to_string().ends_with("the host no longer answers"), "{fault}");
    // Half a second, asked twice without an answer: 1.5 s.
    assert!(since.elapsed() < Duration::from_secs(6), "{:?}", since.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_falls_silent_during_an_upload_is_noticed_too() {
    let sshd = Sshd::start();
    let relay = Relay::to(sshd.port).await;
    let way = through(&sshd, &relay);
    let connection = connect(&dialer(hasty(&sshd)), &way).await.unwrap();
    let mut process = connection.spawn("cat >/dev/null").await.unwrap();
    relay.fall_silent();
    let since = Instant::now();
    let chunk = vec![0; 1 << 20];
    while process.stdin.write_all(&chunk).await.is_ok() {
        assert!(since.elapsed() < Duration::from_secs(10), "still writing");
    }
    let fault = process.end.wait().await.unwrap_err();
    assert_eq!(fault.kind(), Kind::Unreachable);
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_connection_ends_its_commands() {
    let sshd = Sshd::start();
    let connection = connect(&dialer(sshd.options()), &sshd.way()).await.unwrap();
    let mut process = connection.spawn("exec sleep 20").await.unwrap();
    connection.close().await;
    let ended = tokio::time::timeout(Duration::from_secs(5), process.end.wait()).await;
    assert_eq!(ended.unwrap().unwrap_err().kind(), Kind::Unreachable);
}
