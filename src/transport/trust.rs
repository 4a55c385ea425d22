//! Whether the key a host presents is the right one. Strict unless told otherwise.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use russh::keys::ssh_key::certificate::CertType;
use russh::keys::{Algorithm, Certificate, EcdsaCurve, HashAlg, PublicKey, PublicKeyOrCertificate};

use super::dialer::Notices;
use super::known_hosts::{Known, KnownHosts, Verdict, fingerprint, name};
use super::options::HostKeyPolicy;
use super::remember::{Remembered, remember};
use super::route::Route;
use crate::error::{Error, Kind, Place, Result};

/// The host key algorithms accepted, best first. SHA-1 and DSA are not among them.
const ALGORITHMS: [Algorithm; 6] = [
    Algorithm::Ed25519,
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
    Algorithm::Rsa { hash: Some(HashAlg::Sha512) },
    Algorithm::Rsa { hash: Some(HashAlg::Sha256) },
];

/// What is known of one host's keys before it is asked for one.
#[derive(Debug)]
pub(super) struct Trust {
    host: String,
    address: String,
    /// What certificates must be made out to.
    principal: String,
    /// How `known_hosts` calls the host: by its alias, or address and port.
    names: Vec<String>,
    /// How it calls the host when the port is left out, which counts for keys that match.
    portless: Vec<String>,
    pins: Vec<PublicKey>,
    known: KnownHosts,
    looked_in: Vec<PathBuf>,
    remember_in: Option<PathBuf>,
    hash: bool,
    policy: HostKeyPolicy,
    notices: Notices,
}

impl Trust {
    /// Gathers what is known of a route's host.
    pub(super) fn load(route: &Route, policy: HostKeyPolicy, notices: &Notices) -> Result<Self> {
        let config = &route.config;
        let (names, portless, principal) = match &config.host_key_alias {
            Some(alias) => (vec![name(alias, 22)], Vec::new(), alias.to_lowercase()),
            None if config.port == 22 => (vec![name(&config.hostname, 22)], Vec::new(), config.hostname.to_lowercase()),
            None => {
                let portless = name(&config.hostname, 22);
                (vec![name(&config.hostname, config.port)], vec![portless], config.hostname.to_lowercase())
            }
        };
        let mut pins = Vec::new();
        for pin in &route.pins {
            pins.push(PublicKey::from_openssh(pin.trim()).map_err(|_| {
                Error::inventory(format!("a host key of `{}` is not a public key: `{pin}`", route.name))
                    .hint("a host key looks like `ssh-ed25519 AAAA…`, as in `/etc/ssh/ssh_host_ed25519_key.pub`")
            })?);
        }
        let mut known = KnownHosts::default();
        if pins.is_empty() {
            for path in &route.known_hosts {
                if let Err(e) = known.add_file(path) {
                    notices.add(format!("cannot read `{}`: {e}", path.display()));
                }
            }
        }
        if let Some(path) = &config.revoked_host_keys {
            // Unlike a known_hosts file, one that cannot be read might revoke anything.
            let text = std::fs::read(path).map_err(|e| refuse(path, &e.to_string()))?;
            if text.starts_with(b"SSHKRL\n\0") {
                return Err(refuse(path, "binary revocation lists are not supported"));
            }
            known.add_revoked(&path.display().to_string(), &text);
        }
        for (place, why) in known.bad_lines() {
            notices.add(format!("ignored a line of known_hosts at {place}: {why}"));
        }
        Ok(Self {
            host: route.name.clone(),
            address: route.address(),
            principal,
            names,
            portless,
            pins,
            known,
            looked_in: route.known_hosts.clone(),
            remember_in: route.remember_in.clone(),
            hash: config.hash_known_hosts,
            policy,
            notices: notices.clone(),
        })
    }

    /// The algorithms to ask for, those of known keys first: a host that has several keys then presents
    /// one that can be recognised.
    pub(super) fn algorithms(&self) -> Vec<Algorithm> {
        let known: Vec<Algorithm> = self
            .pins
            .iter()
            .chain(self.known.keys(&self.names))
            .chain(self.known.keys(&self.portless))
            .map(PublicKey::algorithm)
            .collect();
        let is_known = |algorithm: &Algorithm| {
            known.iter().any(|known| known == algorithm || (known.is_rsa_kind() && algorithm.is_rsa_kind()))
        };
        let (first, rest): (Vec<_>, Vec<_>) = ALGORITHMS.into_iter().partition(is_known);
        first.into_iter().chain(rest).collect()
    }

    /// The algorithms to ask for certificates in: none unless an authority for this host is known, since
    /// a host that shows a certificate does not show its key.
    pub(super) fn certificate_algorithms(&self) -> Vec<Algorithm> {
        let wanted = self.pins.is_empty() && self.known.has_authority(&self.names);
        if wanted { ALGORITHMS.to_vec() } else { Vec::new() }
    }

    /// Accepts what a host presents, or says why not.
    pub(super) async fn check(self: &Arc<Self>, presented: &PublicKeyOrCertificate) -> Result {
        let key = presented.public_key();
        if let Some(place) = self.revoked(&key) {
            return Err(self.is_revoked("the host key", &key, place));
        }
        if !self.pins.is_empty() {
            return self.check_pins(&key);
        }
        let Some(certificate) = presented.certificate() else {
            return self.check_key(&key).await;
        };
        match self.check_certificate(certificate)? {
            Ok(()) => Ok(()),
            // As OpenSSH does: a certificate that proves nothing leaves the key in it, which may be known.
            Err(why) => match self.verdict(&key) {
                Verdict::Match(_) => Ok(()),
                _ => Err(self
                    .refused(format!("the host certificate of `{}` is not valid", self.host))
                    .because(why)
                    .because(format!("got {}", shown(&key)))),
            },
        }
    }

    fn check_pins(&self, key: &PublicKey) -> Result {
        if self.pins.iter().any(|pin| pin.key_data() == key.key_data()) {
            return Ok(());
        }
        let expected = self.pins.iter().map(shown).collect::<Vec<_>>().join(" or ");
        Err(self
            .refused(format!("the host key of `{}` is not one its inventory names", self.host))
            .because(format!("expected {expected}"))
            .because(format!("got {}", shown(key)))
            .hint(format!("if the host was reinstalled, correct `host_keys` of `{}`", self.host)))
    }

    async fn check_key(self: &Arc<Self>, key: &PublicKey) -> Result {
        let verdict = self.verdict(key);
        let new = matches!(verdict, Verdict::Unknown { authority: None });
        let (Some(path), true) = (&self.remember_in, new && self.policy == HostKeyPolicy::AcceptNew) else {
            return self.judge(verdict, key);
        };
        let (trust, path, key) = (Arc::clone(self), path.clone(), key.clone());
        let remembering = tokio::task::spawn_blocking(move || {
            let name = trust.names.first().map_or("", String::as_str);
            match remember(&path, name, &key, trust.hash)? {
                Remembered::Known(verdict) => trust.judge(verdict, &key),
                Remembered::Added => {
                    let (host, path) = (&trust.host, path.display());
                    trust.notices.add(format!("recorded the host key of `{host}` in `{path}`: {}", shown(&key)));
                    Ok(())
                }
            }
        });
        remembering.await.map_err(|e| Error::internal("recording a host key failed").because(e))?
    }

    fn judge(&self, verdict: Verdict, key: &PublicKey) -> Result {
        let host = &self.host;
        let got = format!("got {}", shown(key));
        match verdict {
            Verdict::Match(_) => Ok(()),
            Verdict::Revoked(place) => Err(self.is_revoked("the host key", key, &place)),
            Verdict::Changed(known) => Err(self
                .expected(self.refused(format!("the host key of `{host}` has changed")), &known)
                .because(got)
                .hint("someone may be listening in; ask whoever runs the host before trusting the new key")
                .hint(removal(host, &known))),
            Verdict::NewType(known) => Err(self
                .expected(
                    self.refused(format!("the host key of `{host}` is of another type than the known one")),
                    &known,
                )
                .because(got)
                .hint(removal(host, &known))
                .hint(format!("`mk hostkeys scan {host}` lists all keys the host has"))),
            Verdict::Unknown { authority: Some(place) } => Err(self
                .refused(format!("the host key of `{host}` is not signed by the authority for it"))
                .because(format!("expected a certificate of the authority at {place}"))
                .because(got)
                .at(place)),
            Verdict::Unknown { authority: None } => {
                let looked = self.looked_in.iter().map(|path| format!("`{}`", path.display())).collect::<Vec<_>>();
                let looked = if looked.is_empty() { "no file".to_owned() } else { looked.join(", ") };
                Err(self
                    .refused(format!("the host key of `{host}` is not known"))
                    .because(got)
                    .because(format!("looked in {looked}"))
                    .hint(format!("`mk hostkeys scan {host}` shows its keys, to be compared with the host's own")))
            }
        }
    }

    /// Whether a certificate vouches for the host; if not, why. A revoked authority is an error of its own.
    fn check_certificate(&self, certificate: &Certificate) -> Result<Result<(), String>> {
        let signer = PublicKey::new(certificate.signature_key().clone(), "");
        if let Some(place) = self.revoked(&signer) {
            return Err(self.is_revoked("the authority that signed the host key", &signer, place));
        }
        if self.known.authority(&self.names, &signer).is_none() {
            return Ok(Err(format!("it is signed by {}, no authority for this host", shown(&signer))));
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs());
        let weak = matches!(certificate.signature().algorithm(), Algorithm::Rsa { hash: None } | Algorithm::Dsa);
        Ok(if certificate.cert_type() != CertType::Host {
            Err("it is made out to a user, not to a host".to_owned())
        } else if weak {
            Err("it is signed with SHA-1".to_owned())
        } else if now < certificate.valid_after() {
            Err("it is not valid yet".to_owned())
        } else if now >= certificate.valid_before() {
            Err("it has expired".to_owned())
        } else if !certificate.valid_principals().iter().any(|name| name.to_lowercase() == self.principal) {
            let names = certificate.valid_principals().join(", ");
            Err(format!("it is made out to `{}`, not to `{}`", names.escape_debug(), self.principal))
        } else if certificate.critical_options().iter().next().is_some() {
            Err("it has conditions that are not understood".to_owned())
        } else {
            let authority = signer.fingerprint(HashAlg::Sha256);
            certificate.validate_at(now, [&authority]).map_err(|_| "its signature is wrong".to_owned())
        })
    }

    /// What is known of a plain key. One recorded without its port counts, as it does for OpenSSH.
    fn verdict(&self, key: &PublicKey) -> Verdict {
        let verdict = self.known.verdict(&self.names, key);
        if matches!(verdict, Verdict::Unknown { .. }) && !self.portless.is_empty() {
            let portless = self.known.verdict(&self.portless, key);
            if matches!(portless, Verdict::Match(_) | Verdict::Revoked(_)) {
                return portless;
            }
        }
        verdict
    }

    fn revoked(&self, key: &PublicKey) -> Option<&Place> {
        self.known.revoked(&self.names, key).or_else(|| self.known.revoked(&self.portless, key))
    }

    /// What the files know of a key, for a scan that trusts nothing.
    pub(super) fn opinion(&self, key: &PublicKey) -> Option<Verdict> {
        self.pins.is_empty().then(|| self.verdict(key))
    }

    /// The file that new keys are recorded in.
    pub(super) fn records_in(&self) -> Option<&Path> {
        self.remember_in.as_deref()
    }

    /// Whether names are recorded as hashes.
    pub(super) fn hashes(&self) -> bool {
        self.hash
    }

    /// How `known_hosts` calls the host.
    pub(super) fn known_as(&self) -> &str {
        self.names.first().map_or("", String::as_str)
    }

    fn refused(&self, message: String) -> Error {
        Error::new(Kind::HostKey, message).because(format!("at {}", self.address))
    }

    fn is_revoked(&self, what: &str, key: &PublicKey, place: &Place) -> Error {
        self.refused(format!("{what} of `{}` is revoked", self.host))
            .because(format!("got {}", shown(key)))
            .because(format!("revoked at {place}"))
            .at(place.clone())
    }

    #[expect(clippy::unused_self, reason = "reads as a sentence beside `refused`")]
    fn expected(&self, error: Error, known: &[Known]) -> Error {
        let error = known.iter().fold(error, |error, known| error.because(format!("expected {known}")));
        match known.first() {
            Some(known) => error.at(known.place.clone()),
            None => error,
        }
    }
}

/// `ssh-ed25519 SHA256:…`.
pub(super) fn shown(key: &PublicKey) -> String {
    format!("{} {}", key.algorithm(), fingerprint(key))
}

fn removal(host: &str, known: &[Known]) -> String {
    let places = known.iter().map(|known| format!("`{}`", known.place)).collect::<Vec<_>>().join(" and ");
    format!("if `{host}` was reinstalled, remove {places}, then `mk hostkeys scan {host}`")
}

fn refuse(path: &std::path::Path, why: &str) -> Error {
    Error::new(Kind::HostKey, format!("cannot tell which host keys `{}` revokes", path.display())).because(why)
}

trait RsaKind {
    fn is_rsa_kind(&self) -> bool;
}

impl RsaKind for Algorithm {
    /// RSA with whatever hash: the key is the same.
    fn is_rsa_kind(&self) -> bool {
        matches!(self, Algorithm::Rsa { .. })
    }
}
