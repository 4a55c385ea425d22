//! Looking at a host's keys without trusting or logging in: what `mk hostkeys scan` shows.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use russh::client;
use russh::keys::{Algorithm, EcdsaCurve, HashAlg, PublicKey, PublicKeyOrCertificate};

use super::dialer::{Dialer, Hops};
use super::jumps::stream_to;
use super::known_hosts::{Verdict, fingerprint};
use super::remember::{bare, remember_type};
use super::session::{Broken, config, shake};
use super::trust::Trust;
use crate::error::{Context, Error, Kind, Result};
use crate::inventory::SshWay;

/// One of a host's keys, as it presented it. Nothing vouches for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ScannedKey {
    /// How `known_hosts` calls the host.
    pub name: String,
    /// The key, `ssh-ed25519 AAAA…`, as it stands in `host_keys` of an inventory.
    pub key: String,
    /// `SHA256:…`.
    pub fingerprint: String,
    /// What the `known_hosts` files say of it. Absent where the inventory names the host's keys.
    pub verdict: Option<Verdict>,
    /// The `known_hosts` file that it would be recorded in, if any.
    pub file: Option<PathBuf>,
    hash: bool,
}

impl ScannedKey {
    /// Adds it to its file, where that knows no other key of this type of the host. Says whether it did.
    ///
    /// # Errors
    /// When there is no such file, or it cannot be written.
    pub(crate) fn record(&self) -> Result<bool> {
        let Some(file) = &self.file else {
            return Err(Error::usage(format!("no `known_hosts` file is named for `{}`", self.name)));
        };
        let key = PublicKey::from_openssh(&self.key).or_kind(Kind::Internal, || "a key that is none".to_owned())?;
        remember_type(file, &self.name, &key, self.hash)
    }

    /// The line for a `known_hosts` file.
    #[cfg(test)]
    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.name, self.key)
    }
}

impl Dialer {
    /// The keys of a host, one of each type it has. Jump hosts on the way are checked and logged in to as
    /// ever; the host itself is not.
    pub(crate) async fn scan(&self, host: &str, way: &SshWay, hops: Hops<'_>) -> Result<Vec<ScannedKey>> {
        self.scan_by(host, way, hops).await.map_err(|e| e.on(host))
    }

    async fn scan_by(&self, host: &str, way: &SshWay, hops: Hops<'_>) -> Result<Vec<ScannedKey>> {
        let shared = self.shared();
        let route = self.route(host, way, hops).await?;
        let trust = Trust::load(&route, shared.options.host_keys, &shared.notices)?;
        let mut keys = Vec::new();
        let mut fault = None;
        for algorithms in kinds() {
            let (stream, _under) = stream_to(&route, shared).await?;
            let seen = Seen::default();
            let config = config(algorithms, Vec::new());
            let shaken = shake(stream, config, Look(seen.clone()), &route, shared).await;
            match (seen.take(), shaken) {
                (Some(key), _) => keys.push(ScannedKey {
                    name: trust.known_as().to_owned(),
                    key: bare(&key),
                    fingerprint: fingerprint(&key),
                    verdict: trust.opinion(&key),
                    file: trust.records_in().map(Path::to_owned),
                    hash: trust.hashes(),
                }),
                // A host without a key of this type.
                (None, Err(e)) => fault = fault.or(Some(e)),
                (None, Ok(_)) => {}
            }
        }
        match fault {
            Some(fault) if keys.is_empty() => Err(fault),
            _ => Ok(keys),
        }
    }
}

/// The types of keys, one connection each: a handshake shows one key.
fn kinds() -> [Vec<Algorithm>; 5] {
    let rsa = |hash| Algorithm::Rsa { hash: Some(hash) };
    [
        vec![Algorithm::Ed25519],
        vec![Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 }],
        vec![Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 }],
        vec![Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 }],
        vec![rsa(HashAlg::Sha512), rsa(HashAlg::Sha256)],
    ]
}

#[derive(Debug, Clone, Default)]
struct Seen(Arc<Mutex<Option<PublicKey>>>);

impl Seen {
    fn take(&self) -> Option<PublicKey> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Looks at the key and goes away.
struct Look(Seen);

impl client::Handler for Look {
    type Error = Broken;

    async fn check_server_key(&mut self, presented: &PublicKeyOrCertificate) -> Result<bool, Broken> {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(presented.public_key());
        Err(Broken::Refused(Error::new(Kind::HostKey, "only looked at")))
    }
}
