//! Commands on a connection.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::sshd::Sshd;
use super::{connect, dialer};
use crate::error::Kind;
use crate::transport::process::Exit;

const LIMIT: usize = 1 << 20;
const PATIENCE: Duration = Duration::from_mins(1);

/// Bytes that no compression or off-by-one leaves looking right.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            u8::try_from(state & 0xff).unwrap()
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_has_its_output_its_errors_and_its_status() {
    let sshd = Sshd::start();
    let connection = connect(&dialer(sshd.options()), &sshd.way()).await.unwrap();
    let ran = connection.run("cat; echo oops >&2; exit 7", b"hello", LIMIT, PATIENCE).await.unwrap();
    assert_eq!(ran.exit, Exit::Code(7));
    assert_eq!((ran.stdout.as_slice(), ran.stderr.as_slice()), (&b"hello"[..], &b"oops\n"[..]));
    let ran = connection.run("kill -KILL $$", b"", LIMIT, PATIENCE).await.unwrap();
    assert_eq!(ran.exit, Exit::Signal("KILL".into()));
    assert!(connection.describe().ends_with(&format!("@127.0.0.1:{}", sshd.port)), "{}", connection.describe());
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_megabytes_come_back_as_they_were_sent() {
    let sshd = Sshd::start();
    let connection = connect(&dialer(sshd.options()), &sshd.way()).await.unwrap();
    let sent = noise(20 << 20);
    let mut cat = connection.spawn("cat").await.unwrap();
    let copy = sent.clone();
    let feed = tokio::spawn(async move {
        cat.stdin.write_all(&copy).await.unwrap();
        cat.stdin.shutdown().await.unwrap();
    });
    let mut back = Vec::new();
    cat.stdout.read_to_end(&mut back).await.unwrap();
    feed.await.unwrap();
    assert!(back == sent, "{} bytes came back different", back.len());
    for _ in 0..2 {
        assert_eq!(cat.end.wait().await.unwrap(), Exit::Code(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn output_beyond_the_limit_is_read_but_not_kept() {
    let sshd = Sshd::start();
    let connection = connect(&dialer(sshd.options()), &sshd.way()).await.unwrap();
    let ran = connection.run("head -c 3000000 /dev/zero", b"", 1000, PATIENCE).await.unwrap();
    assert_eq!((ran.stdout.len(), ran.truncated, ran.exit), (1000, true, Exit::Code(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_reads_nothing_does_not_block_its_feeder() {
    let sshd = Sshd::start();
    let connection = connect(&dialer(sshd.options()), &sshd.way()).await.unwrap();
    let ran = connection.run("exit 3", &noise(8 << 20), LIMIT, PATIENCE).await.unwrap();
    assert_eq!(ran.exit, Exit::Code(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_takes_too_long_is_a_failed_step_and_the_connection_goes_on() {
    let sshd = Sshd::start();
    let connection = connect(&dialer(sshd.options()), &sshd.way()).await.unwrap();
    let started = Instant::now();
    let fault = connection.run("exec sleep 30", b"", LIMIT, Duration::from_millis(500)).await.unwrap_err();
    assert_eq!(fault.kind(), Kind::Step);
    assert_eq!(fault.message(), "the command did not end within 0.5 s");
    assert_eq!(fault.host(), Some("target"));
    assert!(started.elapsed() < Duration::from_secs(5));
    assert!(connection.run("true", b"", LIMIT, PATIENCE).await.unwrap().exit.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unread_stream_delays_the_others_but_does_not_block_them() {
    let sshd = Sshd::start();
    let connection = connect(&dialer(sshd.options()), &sshd.way()).await.unwrap();
    let mut unread = connection.spawn("head -c 50000000 /dev/zero").await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let ran = connection.run("echo through", b"", LIMIT, Duration::from_secs(20)).await.unwrap();
    assert_eq!(ran.stdout, b"through\n");
    let fault = unread.end.wait().await.unwrap_err();
    assert!(fault.message().contains("the stdout of a command"), "{fault}");
    // What was kept can still be read, and then the stream ends.
    let mut kept = Vec::new();
    unread.stdout.read_to_end(&mut kept).await.unwrap();
    assert!(kept.len() >= 8 << 20 && kept.len() < 50_000_000, "{}", kept.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_stream_is_discarded_and_the_command_ends() {
    let sshd = Sshd::start();
    let connection = connect(&dialer(sshd.options()), &sshd.way()).await.unwrap();
    let process = connection.spawn("head -c 50000000 /dev/zero; exit 4").await.unwrap();
    let mut end = process.end;
    drop((process.stdout, process.stderr, process.stdin));
    assert_eq!(end.wait().await.unwrap(), Exit::Code(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn twelve_commands_at_once_survive_a_host_that_allows_ten() {
    let sshd = Sshd::with("MaxSessions 10");
    let connection = connect(&dialer(sshd.options()), &sshd.way()).await.unwrap();
    let mut running = tokio::task::JoinSet::new();
    for i in 0..12 {
        let connection = connection.clone();
        running.spawn(async move {
            let command = format!("sleep 0.5; echo {i}");
            connection.run(&command, b"", LIMIT, PATIENCE).await.map(|ran| (i, ran))
        });
    }
    for result in running.join_all().await {
        let (i, ran) = result.unwrap();
        assert_eq!(ran.stdout, format!("{i}\n").into_bytes());
    }
    // Without the turns of `run`, twelve short ones get through by trying again.
    let mut spawned = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let connection = connection.clone();
        spawned.spawn(async move { connection.spawn("true").await?.end.wait().await });
    }
    for result in spawned.join_all().await {
        assert_eq!(result.unwrap(), Exit::Code(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_without_room_for_a_command_says_so() {
    let sshd = Sshd::with("MaxSessions 1");
    let connection = connect(&dialer(sshd.options()), &sshd.way()).await.unwrap();
    let _busy = connection.spawn("exec sleep 20").await.unwrap();
    let fault = connection.spawn("true").await.unwrap_err();
    assert_eq!(fault.to_string(), "`target` opened no channel: it has no room for another");
    assert!(fault.hints()[0].contains("MaxSessions"));
    connection.close().await;
}
