//! The grammar of `known_hosts`.

use proptest::prelude::*;
use russh::keys::PublicKey;

use crate::transport::known_hosts::{KnownHosts, Verdict, hashed, name};

const ED: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
const ED2: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA6rWI3G1sz07DnfFlrouTcysQlj2P+jpNSOEWD9OJ3X";
const EC: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBHwf2HMM5TRXvo2SQJjsNkiDD5KqiiNjrGVv3UUh+mMT5RHxiRtOnlqvjhQtBq0VpmpCV/PwUdhOig4vkbqAcEc=";

fn key(text: &str) -> PublicKey {
    PublicKey::from_openssh(text).unwrap()
}

fn read(text: &str) -> KnownHosts {
    let mut known = KnownHosts::default();
    known.add("kh", text.as_bytes());
    known
}

/// What `text` says about the first key, of a host of that name: a word and the first line it is from.
fn verdict(text: &str, host: &str) -> (&'static str, usize) {
    match read(text).verdict(&[host.to_owned()], &key(ED)) {
        Verdict::Match(place) => ("match", place.line),
        Verdict::Unknown { authority: None } => ("unknown", 0),
        Verdict::Unknown { authority: Some(place) } => ("unsigned", place.line),
        Verdict::Changed(known) => ("changed", known[0].place.line),
        Verdict::NewType(known) => ("new type", known[0].place.line),
        Verdict::Revoked(place) => ("revoked", place.line),
    }
}

#[test]
fn the_grammar_is_read_as_openssh_reads_it() {
    let h = |text: &str| text.replace("ED2", ED2).replace("ED", ED).replace("EC", EC);
    let cases: &[(&str, &str, (&str, usize))] = &[
        ("web ED", "web", ("match", 1)),
        ("web ED a comment # and more", "web", ("match", 1)),
        ("\n# web ED\n\n  web\tED  \r\n", "web", ("match", 4)),
        ("#web ED", "web", ("unknown", 0)),
        ("WEB.Example ED", "web.example", ("match", 1)),
        ("db,web,10.0.0.1 ED", "10.0.0.1", ("match", 1)),
        ("db, web ED", "web", ("unknown", 0)),
        ("*.example ED", "a.b.example", ("match", 1)),
        ("*.example ED", "example", ("unknown", 0)),
        ("web? ED", "web1", ("match", 1)),
        ("web? ED", "web12", ("unknown", 0)),
        ("*.example,!db.example ED", "db.example", ("unknown", 0)),
        ("!db.example,*.example ED", "db.example", ("unknown", 0)),
        ("!db.example ED", "web.example", ("unknown", 0)),
        ("[web]:2222 ED", "[web]:2222", ("match", 1)),
        ("[web]:2222 ED", "web", ("unknown", 0)),
        ("[web]:22 ED", "web", ("match", 1)),
        ("[*.example]:2222 ED", "[a.example]:2222", ("match", 1)),
        ("* ED", "[a.example]:2222", ("match", 1)),
        ("web ED2", "web", ("changed", 1)),
        ("web ED2\nweb EC\nweb ED", "web", ("match", 3)),
        ("web EC", "web", ("new type", 1)),
        ("web EC\nweb ED2", "web", ("changed", 2)),
        ("db ED\nweb EC", "web", ("new type", 2)),
        ("@revoked * ED", "web", ("revoked", 1)),
        ("web ED\n@revoked web ED", "web", ("revoked", 2)),
        ("web ED\n@revoked db ED", "web", ("match", 1)),
        ("web ED\n@revoked * ED2", "web", ("match", 1)),
        ("@revoked * ED2", "web", ("unknown", 0)),
        ("@cert-authority *.example ED", "a.example", ("unsigned", 1)),
        ("@cert-authority\t*.example\tED\na.example ED", "a.example", ("match", 2)),
        ("|1|JfKTdBh7rNbXkVAQCRp4OQoPfmI=|USECr3SWf1JUPsms5AqfD5QfxkM= ED", "web", ("unknown", 0)),
    ];
    for (text, host, expected) in cases {
        assert_eq!(verdict(&h(text), host), *expected, "{text} for {host}");
    }
}

#[test]
fn lines_that_mean_nothing_are_reported_with_their_reason() {
    let text = format!(
        "web\nweb ssh-ed25519\nweb ssh-ed25519 AAAA\n@else web {ED}\n|2|a|b {ED}\n|1|a {ED}\n|1||AAAA {ED}\n, {ED}\n\
         web 1024 37 159\nweb ssh-rsa {}\n@revoked\nweb {ED}",
        ED.split(' ').nth(1).unwrap()
    );
    let known = read(&text);
    let lines: Vec<_> = known.bad_lines().iter().map(|(place, why)| (place.line, *why)).collect();
    let expected = [
        (1, "no key type"),
        (2, "no key"),
        (3, "not a public key"),
        (4, "unknown marker"),
        (5, "unknown hash of a host"),
        (6, "unknown hash of a host"),
        (7, "broken hash of a host"),
        (8, "no host"),
        (9, "not a public key"),
        (10, "not a public key"),
        (11, "no host"),
    ];
    assert_eq!(lines, expected);
    assert_eq!(verdict(&text, "web"), ("match", 12));
}

#[test]
fn a_name_hashed_by_ssh_keygen_is_recognised() {
    // `ssh-keygen -H` of `[web.example]:2222`.
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("kh");
    std::fs::write(&file, format!("[web.example]:2222 {ED}\n")).unwrap();
    super::sshd::tool("ssh-keygen", "openssh-client", &["-q", "-H", "-f", &file.to_string_lossy()]);
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.starts_with("|1|"));
    assert_eq!(verdict(&text, "[web.example]:2222"), ("match", 1));
    assert_eq!(verdict(&text, "web.example"), ("unknown", 0));
}

#[test]
fn a_hostile_pattern_takes_no_exponential_time() {
    let pattern = "*a".repeat(2000);
    assert_eq!(verdict(&format!("{pattern}b {ED}"), &"a".repeat(2000)).0, "unknown");
}

#[test]
fn several_files_are_one_list() {
    let mut known = read(&format!("db {ED}"));
    known.add("other", format!("\nweb {ED}").as_bytes());
    let verdict = known.verdict(&["web".to_owned()], &key(ED));
    assert!(matches!(verdict, Verdict::Match(place) if place.to_string() == "other:2"));
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), host in "\\PC{0,20}") {
        let mut known = KnownHosts::default();
        known.add("kh", &bytes);
        let _ = known.verdict(&[host], &key(ED));
    }

    #[test]
    fn nothing_like_a_line_makes_the_reader_panic(
        line in "(@[a-z-]{0,16}[ \t])?[|1!*?,\\[\\]:a-z0-9=]{0,40}[ \t](ssh-ed25519|ssh-rsa)?[ \t][A-Za-z0-9+/=]{0,90}",
        host in "[a-z.*?\\[\\]:0-9]{0,12}",
    ) {
        let _ = read(&line).verdict(&[host], &key(ED));
    }

    #[test]
    fn a_hashed_name_is_recognised_and_no_other(
        salt in proptest::collection::vec(any::<u8>(), 1..40), host in "[a-z0-9.-]{1,30}", port in 1_u16..,
    ) {
        let called = name(&host, port);
        let text = format!("{} {ED}", hashed(&salt, &called));
        prop_assert_eq!(verdict(&text, &called), ("match", 1));
        let other = format!("{called}x");
        prop_assert_eq!(verdict(&text, &other), ("unknown", 0));
    }

    #[test]
    fn a_name_matches_itself_and_the_star(host in "[a-z0-9.-]{1,30}", port in 1_u16..) {
        let called = name(&host, port);
        prop_assert_eq!(verdict(&format!("{called} {ED}"), &called), ("match", 1));
        prop_assert_eq!(verdict(&format!("* {ED}"), &called), ("match", 1));
        let negated = format!("*,!{called} {ED}");
        prop_assert_eq!(verdict(&negated, &called), ("unknown", 0));
    }
}
