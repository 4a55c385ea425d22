//! Keys, from files and from an agent.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::sshd::{Sshd, keygen, private, tool};
use super::{Answers, connect, dialer, fault};
use crate::error::Kind;
use crate::inventory::SshWay;
use crate::transport::{Dialer, Options, Question};

fn authorize(sshd: &Sshd, public: &str) {
    std::fs::write(sshd.path("authorized_keys"), format!("{}\n", sshd.public(public))).unwrap();
}

fn with_key(sshd: &Sshd, name: &str) -> SshWay {
    SshWay { keys: vec![sshd.path(name)], ..sshd.way() }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_key_logs_in() {
    let sshd = Sshd::start();
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let name = format!("key_{kind}");
        keygen(&sshd.path(&name), kind, "");
        authorize(&sshd, &format!("{name}.pub"));
        connect(&dialer(sshd.options()), &with_key(&sshd, &name)).await.unwrap();
    }
    // The format of old: an RSA key in PEM.
    let key = sshd.path("key_rsa").to_string_lossy().into_owned();
    tool("ssh-keygen", "openssh-client", &["-q", "-p", "-m", "PEM", "-N", "", "-f", &key]);
    connect(&dialer(sshd.options()), &with_key(&sshd, "key_rsa")).await.unwrap();
}

/// One in 512 keys of nistp256 that `ssh-keygen` makes has a secret number shorter than its curve.
#[tokio::test(flavor = "multi_thread")]
async fn an_ecdsa_key_with_a_short_number_logs_in() {
    let sshd = Sshd::start();
    for (name, passphrase, cipher) in [
        ("plain", "", "aes256-ctr"),
        ("locked", "four words", "aes256-ctr"),
        ("sealed", "four words", "aes256-gcm@openssh.com"),
    ] {
        let path = sshd.path(name);
        std::fs::write(&path, sec1([&[0, 0][..], &[7; 30]].concat())).unwrap();
        private(&path);
        let file = path.to_string_lossy().into_owned();
        tool("ssh-keygen", "openssh-client", &["-q", "-p", "-P", "", "-N", passphrase, "-Z", cipher, "-f", &file]);
        let public = tool("ssh-keygen", "openssh-client", &["-y", "-P", passphrase, "-f", &file]);
        std::fs::write(sshd.path("authorized_keys"), public).unwrap();
        let answers = Answers { texts: vec!["wrong", passphrase], ..Answers::default() };
        connect(&Dialer::new(sshd.options(), Arc::new(answers)), &with_key(&sshd, name)).await.unwrap();
    }
}

/// An ECDSA key of nistp256 with this secret number, in the form of SEC 1.
fn sec1(number: Vec<u8>) -> String {
    use base64::Engine as _;
    let curve = [0xa0, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    let der = [vec![0x30, 0x31, 0x02, 0x01, 0x01, 0x04, 0x20], number, curve.to_vec()].concat();
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let (first, second) = text.split_at(64);
    format!("-----BEGIN EC PRIVATE KEY-----\n{first}\n{second}\n-----END EC PRIVATE KEY-----\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_lists_what_was_tried() {
    let sshd = Sshd::start();
    keygen(&sshd.path("stranger"), "ed25519", "");
    keygen(&sshd.path("open"), "ed25519", "");
    std::fs::set_permissions(sshd.path("open"), std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::write(sshd.path("garbage"), "nothing like a key").unwrap();
    private(&sshd.path("garbage"));
    let keys = ["stranger", "missing", "open", "garbage"].map(|name| sshd.path(name));
    let way = SshWay { keys: keys.to_vec(), user: Some("nobody-here".into()), ..sshd.way() };
    let fault = fault(connect(&dialer(sshd.options()), &way).await);
    assert_eq!(fault.kind(), Kind::Auth);
    assert_eq!(fault.message(), format!("`nobody-here@127.0.0.1:{}` refused every way to log in", sshd.port));
    let causes = fault.causes().join("\n");
    for part in ["missing`: no such file", "open` others may read it (mode 0644)", "garbage` is not a private key"] {
        assert!(causes.contains(part), "{part}: {causes}");
    }
    assert!(causes.contains("stranger` (SHA256:") && causes.contains("): refused"), "{causes}");
    assert!(causes.contains("it takes publickey"), "{causes}");
    let hint = &fault.hints()[0];
    assert!(hint.contains(&format!("ssh -v -p {} -i ", sshd.port)), "{hint}");
    assert!(hint.ends_with("nobody-here@127.0.0.1` tries the same with OpenSSH"), "{hint}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_without_any_key_says_so() {
    let sshd = Sshd::start();
    let way = SshWay { keys: Vec::new(), ..sshd.way() };
    let fault = fault(connect(&dialer(sshd.options()), &way).await);
    assert!(fault.to_string().contains("there is no key to offer"), "{fault}");
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_keys_are_explained() {
    let sshd = Sshd::with("MaxAuthTries 2");
    let names = ["a", "b", "c"];
    for name in names {
        keygen(&sshd.path(name), "ed25519", "");
    }
    let way = SshWay { keys: names.map(|name| sshd.path(name)).to_vec(), ..sshd.way() };
    let fault = fault(connect(&dialer(sshd.options()), &way).await);
    assert_eq!(fault.kind(), Kind::Auth);
    assert!(fault.message().ends_with("ended the login"), "{fault}");
    assert!(fault.causes()[0].contains("Too many authentication failures"), "{fault}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passphrase_is_asked_for_once_a_file() {
    let sshd = Sshd::start();
    keygen(&sshd.path("sealed"), "ed25519", "open sesame");
    authorize(&sshd, "sealed.pub");
    let answers = Arc::new(Answers { texts: vec!["wrong", "open sesame"], ..Answers::default() });
    let dialer = Arc::new(Dialer::new(sshd.options(), answers.clone()));
    let mut connecting = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let (dialer, way) = (Arc::clone(&dialer), with_key(&sshd, "sealed"));
        connecting.spawn(async move { connect(&dialer, &way).await.map(|_| ()) });
    }
    for result in connecting.join_all().await {
        result.unwrap();
    }
    let key = sshd.path("sealed");
    let expected = [1, 2].map(|attempt| Question::Passphrase { key: key.clone(), attempt });
    assert_eq!(*answers.asked.lock().unwrap(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_passphrase_of_a_key_the_host_does_not_know_is_not_asked_for() {
    let sshd = Sshd::start();
    keygen(&sshd.path("sealed"), "ed25519", "open sesame");
    let answers = Arc::new(Answers::default());
    let way = SshWay { keys: vec![sshd.path("sealed"), sshd.path("user_ed25519")], ..sshd.way() };
    connect(&Dialer::new(sshd.options(), answers.clone()), &way).await.unwrap();
    assert!(answers.asked.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passphrase_that_is_not_given_is_named() {
    let sshd = Sshd::start();
    keygen(&sshd.path("sealed"), "rsa", "open sesame");
    let key = sshd.path("sealed").to_string_lossy().into_owned();
    authorize(&sshd, "sealed.pub");
    for format in ["RFC4716", "PKCS8", "PEM"] {
        let change = ["-q", "-p", "-m", format, "-P", "open sesame", "-N", "open sesame", "-f", &key];
        tool("ssh-keygen", "openssh-client", &change);
        let refused = fault(connect(&dialer(sshd.options()), &with_key(&sshd, "sealed")).await);
        assert!(refused.to_string().contains("is encrypted, and its passphrase was not given"), "{format}: {refused}");
        let answers = Answers { texts: vec!["open sesame"], ..Answers::default() };
        let dialer = Dialer::new(sshd.options(), Arc::new(answers));
        connect(&dialer, &with_key(&sshd, "sealed")).await.unwrap_or_else(|e| panic!("{format}: {e}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_a_user_thinks_is_not_the_hosts() {
    struct Slow;
    impl crate::transport::Prompt for Slow {
        fn answer(&self, _: &Question) -> Option<secrecy::SecretString> {
            std::thread::sleep(Duration::from_secs(3));
            Some("open sesame".into())
        }
    }
    let sshd = Sshd::start();
    keygen(&sshd.path("sealed"), "ed25519", "open sesame");
    authorize(&sshd, "sealed.pub");
    let options = Options { auth_timeout: Duration::from_secs(2), ..sshd.options() };
    connect(&Dialer::new(options, Arc::new(Slow)), &with_key(&sshd, "sealed")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_beside_the_key_logs_in() {
    let prepare = |dir: &Path| {
        keygen(&dir.join("ca"), "ed25519", "");
        for kind in ["ed25519", "rsa"] {
            keygen(&dir.join(kind), kind, "");
            let (ca, key) = (dir.join("ca"), dir.join(format!("{kind}.pub")));
            let user = std::env::var("USER").unwrap_or_else(|_| "root".into());
            let (ca, key) = (ca.to_string_lossy(), key.to_string_lossy());
            tool("ssh-keygen", "openssh-client", &["-q", "-s", &ca, "-I", "test", "-n", &user, &key]);
        }
    };
    let sshd = Sshd::prepared("TrustedUserCAKeys DIR/ca.pub", prepare);
    for kind in ["ed25519", "rsa"] {
        connect(&dialer(sshd.options()), &with_key(&sshd, kind)).await.unwrap_or_else(|e| panic!("{kind}: {e}"));
    }
}

struct SshAgent(Child);

impl Drop for SshAgent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An agent that holds keys of the fixture, known to the SSH configuration.
fn agent(sshd: &Sshd, keys: &[&str], more: &str) -> SshAgent {
    let socket = sshd.path("agent");
    let child = Command::new("ssh-agent")
        .arg("-D")
        .arg("-a")
        .arg(&socket)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap_or_else(|e| panic!("cannot run `ssh-agent`: {e}; install `openssh-client`"));
    let agent = SshAgent(child);
    // The socket's file is there a moment before anything listens on it.
    let started = Instant::now();
    while let Err(e) = UnixStream::connect(&socket) {
        assert!(started.elapsed() < Duration::from_secs(20), "ssh-agent does not listen: {e}");
        std::thread::sleep(Duration::from_millis(5));
    }
    for key in keys {
        let added = Command::new("ssh-add").arg("-q").arg(sshd.path(key)).env("SSH_AUTH_SOCK", &socket).status();
        assert!(added.unwrap().success());
    }
    sshd.ssh_config(&format!("Host *\n  IdentityAgent {}\n  IdentityFile /nonexistent\n{more}", socket.display()));
    agent
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agents_keys_log_in() {
    let sshd = Sshd::start();
    for kind in ["ed25519", "rsa"] {
        let name = format!("held_{kind}");
        keygen(&sshd.path(&name), kind, "");
        authorize(&sshd, &format!("{name}.pub"));
        let agent = agent(&sshd, &[&name], "");
        let way = SshWay { keys: Vec::new(), ..sshd.way() };
        connect(&dialer(sshd.options()), &way).await.unwrap();
        drop(agent);
        std::fs::remove_file(sshd.path("agent")).ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_spares_the_passphrase_of_a_key_it_holds() {
    let sshd = Sshd::start();
    keygen(&sshd.path("held"), "ed25519", "");
    let _agent = agent(&sshd, &["held"], "  IdentitiesOnly yes\n");
    let key = sshd.path("held").to_string_lossy().into_owned();
    tool("ssh-keygen", "openssh-client", &["-q", "-p", "-P", "", "-N", "open sesame", "-f", &key]);
    authorize(&sshd, "held.pub");
    connect(&dialer(sshd.options()), &with_key(&sshd, "held")).await.unwrap();
    // Naming the public half is how a key is picked that only the agent has.
    connect(&dialer(sshd.options()), &with_key(&sshd, "held.pub")).await.unwrap();
    // With `IdentitiesOnly`, a key nobody named is not offered.
    let way = SshWay { keys: Vec::new(), ..sshd.way() };
    assert_eq!(fault(connect(&dialer(sshd.options()), &way).await).kind(), Kind::Auth);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_gone_is_named() {
    let sshd = Sshd::start();
    sshd.ssh_config(&format!("Host *\n  IdentityAgent {}\n", sshd.path("gone").display()));
    let way = SshWay { keys: Vec::new(), user: Some("nobody-here".into()), ..sshd.way() };
    let fault = fault(connect(&dialer(sshd.options()), &way).await);
    assert!(fault.to_string().contains("no such file or directory"), "{fault}");
    connect(&dialer(sshd.options()), &sshd.way()).await.unwrap();
}
