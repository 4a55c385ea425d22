//! Passwords and dialogues, against a server in this process: a test should not need to set a password
//! on the machine it runs on.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use russh::keys::{Algorithm, PrivateKey};
use russh::server::{Auth, Config, Handler, Response, run_stream};
use russh::{MethodKind, MethodSet};
use tokio::net::TcpListener;

use super::{Answers, fault};
use crate::error::Kind;
use crate::inventory::SshWay;
use crate::transport::{Connection, Dialer, Options, Question};

/// Takes the password `sesame`, and in a dialogue the code `42` as well.
struct Server;

impl Handler for Server {
    type Error = russh::Error;

    async fn auth_password(&mut self, _user: &str, password: &str) -> Result<Auth, russh::Error> {
        // Left to itself, this server does not take a method again that failed once; sshd does.
        let again = Some(MethodSet::from([MethodKind::Password].as_slice()));
        let refused = Auth::Reject { proceed_with_methods: again, partial_success: false };
        Ok(if password == "sesame" { Auth::Accept } else { refused })
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        _user: &str,
        _submethods: &str,
        response: Option<Response<'a>>,
    ) -> Result<Auth, russh::Error> {
        const PROMPTS: &[(Cow<'static, str>, bool)] =
            &[(Cow::Borrowed("Password: "), false), (Cow::Borrowed("Code: "), true)];
        let Some(answers) = response else {
            let (name, instructions) = (Cow::Borrowed(""), Cow::Borrowed(""));
            return Ok(Auth::Partial { name, instructions, prompts: Cow::Borrowed(PROMPTS) });
        };
        let right = answers.map(|answer| answer.to_vec()).eq([b"sesame".to_vec(), b"42".to_vec()]);
        Ok(if right { Auth::Accept } else { Auth::reject() })
    }
}

/// Logs in to a server that takes one method, with these answers.
async fn login(method: MethodKind, answers: Answers) -> (crate::error::Result<Connection>, Vec<Question>) {
    let key = PrivateKey::random(&mut russh::keys::key::safe_rng(), Algorithm::Ed25519).unwrap();
    let pin = key.public_key().to_openssh().unwrap();
    let config = Config {
        keys: vec![key],
        methods: MethodSet::from([method].as_slice()),
        auth_rejection_time: Duration::ZERO,
        ..Config::default()
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let session = run_stream(Arc::new(config), stream, Server).await.unwrap();
        let _ = session.await;
    });
    let dir = tempfile::tempdir().unwrap();
    let ssh_config = dir.path().join("config");
    std::fs::write(&ssh_config, "Host *\n  IdentityAgent none\n  IdentityFile /nonexistent\n").unwrap();
    let options = Options { ssh_config: Some(ssh_config), ..Options::default() };
    let answers = Arc::new(answers);
    let dialer = Dialer::new(options, answers.clone());
    let way = SshWay {
        address: Some("127.0.0.1".into()),
        port: Some(port),
        user: Some("ann".into()),
        host_keys: vec![pin],
        ..SshWay::default()
    };
    let result = super::connect(&dialer, &way).await;
    let asked = answers.asked.lock().unwrap().clone();
    (result, asked)
}

fn answering(answers: &[&'static str]) -> Answers {
    Answers { texts: answers.to_vec(), passwords: true, ..Answers::default() }
}

/// The questions as words, without the port that differs each time.
fn words(asked: &[Question]) -> Vec<String> {
    let words = asked.iter().map(|question| match question {
        Question::Passphrase { .. } => "passphrase".to_owned(),
        Question::Password { login, attempt } => {
            assert!(login.starts_with("ann@127.0.0.1:"));
            format!("password {attempt}")
        }
        Question::Challenge { text, echo, .. } => format!("{text}{echo}"),
    });
    words.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_asked_for_until_it_is_right() {
    let (result, asked) = login(MethodKind::Password, answering(&["wrong", "sesame"])).await;
    result.unwrap();
    assert_eq!(words(&asked), ["password 1", "password 2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_stays_wrong_is_refused() {
    let (result, asked) = login(MethodKind::Password, answering(&["a", "b", "c", "d"])).await;
    let fault = fault(result);
    assert_eq!(fault.kind(), Kind::Auth);
    assert_eq!(fault.causes(), ["password: refused", "password: refused", "password: refused", "it takes password"]);
    assert_eq!(asked.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dialogue_asks_what_the_host_asks() {
    let (result, asked) = login(MethodKind::KeyboardInteractive, answering(&["sesame", "42"])).await;
    result.unwrap();
    assert_eq!(words(&asked), ["password 1", "Code: true"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_asked_where_passwords_are_not_allowed() {
    for method in [MethodKind::Password, MethodKind::KeyboardInteractive] {
        let answers = Answers { passwords: false, ..answering(&["sesame"]) };
        let (result, asked) = login(method, answers).await;
        assert_eq!(fault(result).kind(), Kind::Auth);
        assert!(asked.is_empty());
    }
}
