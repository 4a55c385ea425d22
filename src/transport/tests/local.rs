//! Commands on this machine.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::dialer;
use crate::error::Kind;
use crate::inventory::Way;
use crate::transport::process::Exit;
use crate::transport::{Connection, Options};

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn this_machine_needs_no_ssh() {
    let way = [Way::Local {}];
    let connection = dialer(Options::default()).connect("here", &way, &|_| None).await.unwrap();
    assert_eq!((connection.describe(), connection.is_local()), ("this machine", true));
    let ran = connection.run("cat; echo oops >&2; exit 5", b"hello", 100, PATIENCE).await.unwrap();
    assert_eq!((ran.exit, ran.stdout, ran.stderr), (Exit::Code(5), b"hello".to_vec(), b"oops\n".to_vec()));
    let ran = connection.run("kill -TERM $$", b"", 100, PATIENCE).await.unwrap();
    assert_eq!((ran.exit.code(), ran.exit.to_string()), (143, "killed by SIGTERM".to_owned()));
}

#[tokio::test]
async fn a_killed_command_takes_its_children_along() {
    let connection = Connection::local("here");
    let mut process = connection.spawn("sleep 60 & echo $!; wait").await.unwrap();
    let mut pid = String::new();
    while !pid.ends_with('\n') {
        let mut byte = [0];
        process.stdout.read_exact(&mut byte).await.unwrap();
        pid.push(char::from(byte[0]));
    }
    process.end.kill();
    assert_eq!(process.end.wait().await.unwrap(), Exit::Signal("KILL".into()));
    let status = format!("/proc/{}/stat", pid.trim());
    for _ in 0..100 {
        match std::fs::read_to_string(&status) {
            Ok(text) if !text.contains(") Z") => tokio::time::sleep(Duration::from_millis(20)).await,
            _ => return,
        }
    }
    panic!("the child {pid} lives on");
}

#[tokio::test]
async fn a_local_command_that_takes_too_long_is_a_failed_step() {
    let fault = Connection::local("here").run("sleep 30", b"", 10, Duration::from_millis(100)).await.unwrap_err();
    assert_eq!((fault.kind(), fault.host()), (Kind::Step, Some("here")));
}

#[tokio::test]
async fn stdin_ends_when_it_is_shut_down() {
    let mut process = Connection::local("here").spawn("wc -c").await.unwrap();
    process.stdin.write_all(b"12345").await.unwrap();
    process.stdin.shutdown().await.unwrap();
    drop(process.stdin);
    let mut out = String::new();
    process.stdout.read_to_string(&mut out).await.unwrap();
    assert_eq!(out.trim(), "5");
}
