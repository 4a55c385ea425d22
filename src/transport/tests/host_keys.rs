//! Host keys: what is accepted, and what is refused how.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::sshd::{Sshd, keygen, tool};
use super::{connect, dialer, fault, text};
use crate::error::{Error, Kind};
use crate::inventory::SshWay;
use crate::transport::{HostKeyPolicy, Options, Verdict};

fn lenient(sshd: &Sshd) -> Options {
    Options { host_keys: HostKeyPolicy::AcceptNew, ..sshd.options() }
}

async fn refusal(sshd: &Sshd, options: Options) -> Error {
    let fault = fault(connect(&dialer(options), &sshd.way()).await);
    assert_eq!(fault.kind(), Kind::HostKey, "{fault}");
    assert_eq!(fault.host(), Some("target"));
    fault
}

fn fingerprint(path: &Path) -> String {
    let line = tool("ssh-keygen", "openssh-client", &["-l", "-f", &path.to_string_lossy()]);
    line.split_whitespace().nth(1).unwrap().to_owned()
}

/// The name of a fixture in its `known_hosts`.
fn name(sshd: &Sshd) -> String {
    format!("[127.0.0.1]:{}", sshd.port)
}

/// A line with a key of the server's type that is not the server's.
fn other_key(sshd: &Sshd, kind: &str) -> String {
    let path = sshd.path(&format!("other_{kind}"));
    keygen(&path, kind, "");
    format!("{} {}", name(sshd), sshd.public(&format!("other_{kind}.pub")))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_key_is_refused_with_its_fingerprint() {
    let sshd = Sshd::start();
    sshd.known_hosts("");
    let fault = refusal(&sshd, sshd.options()).await;
    assert_eq!(fault.message(), "the host key of `target` is not known");
    let got = format!("got ssh-ed25519 {}", fingerprint(&sshd.path("host_ed25519.pub")));
    assert!(fault.causes().contains(&got), "{fault}");
    assert!(fault.hints()[0].contains("`mk hostkeys scan target`"));
    assert_eq!(sshd.logins(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_key_is_refused_with_both_fingerprints_and_the_line() {
    let sshd = Sshd::start();
    sshd.known_hosts(&format!("# mine\n{}\n", other_key(&sshd, "ed25519")));
    for options in [sshd.options(), lenient(&sshd)] {
        let fault = refusal(&sshd, options).await;
        assert_eq!(fault.message(), "the host key of `target` has changed");
        let place = format!("{}:2", sshd.path("known_hosts").display());
        let expected = format!("expected ssh-ed25519 {} at {place}", fingerprint(&sshd.path("other_ed25519.pub")));
        let got = format!("got ssh-ed25519 {}", fingerprint(&sshd.path("host_ed25519.pub")));
        assert!(fault.causes().contains(&expected) && fault.causes().contains(&got), "{fault}");
        assert_eq!(fault.place().unwrap().to_string(), place);
        assert!(fault.hints()[1].contains(&place), "{:?}", fault.hints());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_another_type_is_refused_even_when_new_hosts_are_accepted() {
    let sshd = Sshd::start();
    sshd.known_hosts(&other_key(&sshd, "ecdsa"));
    for options in [sshd.options(), lenient(&sshd)] {
        let fault = refusal(&sshd, options).await;
        assert_eq!(fault.message(), "the host key of `target` is of another type than the known one");
    }
    assert_eq!(text(&sshd.path("known_hosts")).lines().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_is_refused_even_when_it_is_known() {
    let sshd = Sshd::start();
    let key = sshd.public("host_ed25519.pub");
    for lines in [format!("{} {key}\n@revoked * {key}\n", name(&sshd)), format!("@revoked * {key}\n")] {
        sshd.known_hosts(&lines);
        for options in [sshd.options(), lenient(&sshd)] {
            let fault = refusal(&sshd, options).await;
            assert_eq!(fault.message(), "the host key of `target` is revoked");
        }
    }
    // The list of the SSH configuration counts as well.
    sshd.know("host_ed25519.pub");
    std::fs::write(sshd.path("revoked"), format!("{key}\n")).unwrap();
    sshd.ssh_config(&format!("Host *\n  RevokedHostKeys {}\n", sshd.path("revoked").display()));
    assert_eq!(refusal(&sshd, sshd.options()).await.message(), "the host key of `target` is revoked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_host_is_recorded_once_and_privately() {
    let sshd = Sshd::start();
    let file = sshd.path("new/known_hosts");
    let options = Options { known_hosts: vec![file.clone()], ..lenient(&sshd) };
    let dialer = std::sync::Arc::new(dialer(options.clone()));
    let mut connecting = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (dialer, way) = (std::sync::Arc::clone(&dialer), sshd.way());
        connecting.spawn(async move { connect(&dialer, &way).await.map(|_| ()) });
    }
    for result in connecting.join_all().await {
        result.unwrap();
    }
    let key = sshd.public("host_ed25519.pub").split(' ').take(2).collect::<Vec<_>>().join(" ");
    assert_eq!(text(&file), format!("{} {key}\n", name(&sshd)));
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(dialer.notices()[0].starts_with("recorded the host key of `target`"));
    let strict = Options { host_keys: HostKeyPolicy::Strict, ..options };
    connect(&super::dialer(strict), &sshd.way()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_host_is_recorded_under_a_hash_where_ssh_would() {
    let sshd = Sshd::start();
    sshd.known_hosts("other.example ssh-ed25519 AAAA");
    sshd.ssh_config("Host *\n  HashKnownHosts yes\n");
    connect(&dialer(lenient(&sshd)), &sshd.way()).await.unwrap();
    let lines = text(&sshd.path("known_hosts"));
    let added = lines.lines().nth(1).unwrap();
    assert!(added.starts_with("|1|"), "{added}");
    let file = sshd.path("known_hosts");
    tool("ssh-keygen", "openssh-client", &["-F", &name(&sshd), "-f", &file.to_string_lossy()]);
    connect(&dialer(sshd.options()), &sshd.way()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_named_in_the_inventory_are_the_only_ones() {
    let sshd = Sshd::start();
    sshd.known_hosts("");
    let pinned = SshWay { host_keys: vec![sshd.public("host_ed25519.pub")], ..sshd.way() };
    connect(&dialer(sshd.options()), &pinned).await.unwrap();
    keygen(&sshd.path("else"), "ed25519", "");
    sshd.know("host_ed25519.pub");
    let pinned = SshWay { host_keys: vec![sshd.public("else.pub")], ..sshd.way() };
    let refused = fault(connect(&dialer(lenient(&sshd)), &pinned).await);
    assert_eq!(refused.message(), "the host key of `target` is not one its inventory names");
    assert_eq!(refused.kind(), Kind::HostKey);
    let broken = SshWay { host_keys: vec!["ssh-ed25519 nonsense".into()], ..sshd.way() };
    assert_eq!(fault(connect(&dialer(sshd.options()), &broken).await).kind(), Kind::Inventory);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_host_keys_the_known_one_is_asked_for() {
    for kind in ["rsa", "ecdsa"] {
        let prepare = |dir: &Path| keygen(&dir.join("host_second"), kind, "");
        let sshd = Sshd::prepared("HostKey DIR/host_second", prepare);
        sshd.know("host_second.pub");
        connect(&dialer(sshd.options()), &sshd.way()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_named_in_the_inventory_is_asked_instead_of_the_users() {
    let sshd = Sshd::start();
    std::fs::copy(sshd.path("known_hosts"), sshd.path("of_inventory")).unwrap();
    sshd.known_hosts("");
    let way = SshWay { known_hosts: Some(sshd.path("of_inventory")), ..sshd.way() };
    connect(&dialer(sshd.options()), &way).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alias_and_a_name_without_port_are_known_as_ssh_knows_them() {
    let sshd = Sshd::start();
    sshd.known_hosts(&format!("127.0.0.1 {}", sshd.public("host_ed25519.pub")));
    connect(&dialer(sshd.options()), &sshd.way()).await.unwrap();
    sshd.known_hosts(&format!("Cluster-Node {}", sshd.public("host_ed25519.pub")));
    sshd.ssh_config("Host *\n  HostKeyAlias cluster-node\n");
    connect(&dialer(sshd.options()), &sshd.way()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_cannot_be_read_are_reported() {
    let sshd = Sshd::start();
    sshd.known_hosts(&format!("{} {}\nnonsense\n", name(&sshd), sshd.public("host_ed25519.pub")));
    let dialer = dialer(sshd.options());
    connect(&dialer, &sshd.way()).await.unwrap();
    let file = sshd.path("known_hosts");
    let expected = format!("ignored a line of known_hosts at {}:2: no key type", file.display());
    assert_eq!(dialer.notices(), [expected]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_shows_every_key_and_logs_in_nowhere() {
    let prepare = |dir: &Path| {
        keygen(&dir.join("host_rsa"), "rsa", "");
        keygen(&dir.join("host_ecdsa"), "ecdsa", "");
    };
    let sshd = Sshd::prepared("HostKey DIR/host_rsa\nHostKey DIR/host_ecdsa", prepare);
    let keys = dialer(sshd.options()).scan("target", &sshd.way(), &|_| None).await.unwrap();
    let prints: Vec<_> = keys.iter().map(|key| key.fingerprint.clone()).collect();
    let expected = ["host_ed25519.pub", "host_ecdsa.pub", "host_rsa.pub"].map(|name| fingerprint(&sshd.path(name)));
    assert_eq!(prints, expected);
    assert!(matches!(keys[0].verdict, Some(Verdict::Match(_))));
    assert!(matches!(keys[1].verdict, Some(Verdict::NewType(_))));
    assert_eq!(sshd.logins(), 0);
    sshd.known_hosts(&keys[2].line());
    connect(&dialer(sshd.options()), &sshd.way()).await.unwrap();
}

/// A server whose key is certified by an authority, with these arguments of `ssh-keygen`.
fn certified(arguments: &[&str]) -> Sshd {
    let prepare = |dir: &Path| {
        keygen(&dir.join("ca"), "ed25519", "");
        let (ca, key) = (dir.join("ca"), dir.join("host_ed25519.pub"));
        let (ca, key) = (ca.to_string_lossy(), key.to_string_lossy());
        let arguments = [&["-q", "-s", &*ca, "-I", "test"], arguments, &[&*key]].concat();
        tool("ssh-keygen", "openssh-client", &arguments);
    };
    let sshd = Sshd::prepared("HostCertificate DIR/host_ed25519-cert.pub", prepare);
    sshd.known_hosts(&format!("@cert-authority [127.0.0.1]:* {}\n", sshd.public("ca.pub")));
    sshd
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_a_known_authority_is_accepted() {
    let sshd = certified(&["-h", "-n", "127.0.0.1"]);
    connect(&dialer(sshd.options()), &sshd.way()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_does_not_hold_is_refused() {
    let cases: [(&[&str], &str); 4] = [
        (&["-h", "-n", "10.0.0.1"], "made out to `10.0.0.1`, not to `127.0.0.1`"),
        (&["-h", "-n", "127.0.0.1", "-V", "20200101:20200102"], "it has expired"),
        (&["-h", "-n", "127.0.0.1", "-V", "20990101:20990102"], "it is not valid yet"),
        (&["-h"], "made out to ``"),
    ];
    for (arguments, why) in cases {
        let sshd = certified(arguments);
        for options in [sshd.options(), lenient(&sshd)] {
            let fault = refusal(&sshd, options).await;
            assert!(fault.to_string().contains(why), "{why}: {fault}");
        }
        // Its key may be known for itself.
        sshd.known_hosts(&format!(
            "@cert-authority [127.0.0.1]:* {}\n{} {}\n",
            sshd.public("ca.pub"),
            name(&sshd),
            sshd.public("host_ed25519.pub")
        ));
        connect(&dialer(sshd.options()), &sshd.way()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_or_foreign_authority_is_refused() {
    let sshd = certified(&["-h", "-n", "127.0.0.1"]);
    let ca = sshd.public("ca.pub");
    sshd.known_hosts(&format!("@cert-authority * {ca}\n@revoked * {ca}\n"));
    let fault = refusal(&sshd, sshd.options()).await;
    assert_eq!(fault.message(), "the authority that signed the host key of `target` is revoked");
    keygen(&sshd.path("foreign"), "ed25519", "");
    sshd.known_hosts(&format!("@cert-authority * {}\n", sshd.public("foreign.pub")));
    let fault = refusal(&sshd, sshd.options()).await;
    assert!(fault.to_string().contains("no authority for this host"), "{fault}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bare_key_is_no_new_host_where_an_authority_is_known() {
    let sshd = Sshd::start();
    keygen(&sshd.path("ca"), "ed25519", "");
    sshd.known_hosts(&format!("@cert-authority * {}\n", sshd.public("ca.pub")));
    let fault = refusal(&sshd, lenient(&sshd)).await;
    assert_eq!(fault.message(), "the host key of `target` is not signed by the authority for it");
}

#[tokio::test(flavor = "multi_thread")]
async fn scanned_keys_are_recorded_beside_each_other_and_a_changed_one_is_not() {
    let sshd = Sshd::prepared("HostKey DIR/host_ecdsa", |dir| keygen(&dir.join("host_ecdsa"), "ecdsa", ""));
    let file = sshd.path("scanned");
    let way = SshWay { known_hosts: Some(file.clone()), host_keys: Vec::new(), ..sshd.way() };
    let keys = dialer(sshd.options()).scan("target", &way, &|_| None).await.unwrap();
    assert!(keys.len() > 1, "{keys:?}");
    for key in &keys {
        assert!(key.record().unwrap(), "{key:?}");
        assert!(!key.record().unwrap(), "a key is recorded once");
    }
    let again = dialer(sshd.options()).scan("target", &way, &|_| None).await.unwrap();
    assert!(again.iter().all(|key| matches!(key.verdict, Some(Verdict::Match(_)))), "{again:?}");
    let other = std::fs::read_to_string(&file).unwrap().lines().next().unwrap().to_owned();
    keygen(&sshd.path("stranger"), "ed25519", "");
    let stranger = sshd.public("stranger.pub");
    std::fs::write(&file, format!("{} {stranger}\n", other.split(' ').next().unwrap())).unwrap();
    let changed = dialer(sshd.options()).scan("target", &way, &|_| None).await.unwrap();
    let ed25519 = changed.iter().find(|key| key.key.starts_with("ssh-ed25519")).unwrap();
    assert!(matches!(ed25519.verdict, Some(Verdict::Changed(_))), "{ed25519:?}");
    assert!(!ed25519.record().unwrap());
}
