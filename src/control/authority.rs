//! Certificate authorities: made once, kept in mk's state, never re-issued silently.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType, SerialNumber, SubjectPublicKeyInfo,
};
use serde::Deserialize;
use time::OffsetDateTime;

use crate::error::{Context, Error, Kind, Result};
use crate::op::HumanDuration;
use crate::ops::{Cert, Usage};
use crate::secret::Secrets;
use crate::state::StateDir;
use crate::wire::Mode;

/// How a new authority is wished for.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthoritySpec {
    /// The common name of its subject.
    pub cn: String,
    /// How long it is valid. Ten years by default.
    #[serde(default = "ten_years")]
    pub valid: HumanDuration,
}

fn ten_years() -> HumanDuration {
    HumanDuration::secs(3650 * 86_400)
}

/// One authority.
#[derive(Debug, Clone)]
pub struct Authority {
    /// Its certificate, as PEM.
    pub cert: String,
    key: String,
    /// The digest of its certificate.
    pub fingerprint: String,
}

/// The authorities of a run.
pub struct Authorities {
    state: StateDir,
    known: Mutex<BTreeMap<String, Authority>>,
}

impl Authorities {
    /// Those kept in a state.
    pub fn new(state: StateDir) -> Self {
        Self { state, known: Mutex::default() }
    }

    /// The token of an authority's key, for a program that signs in its place.
    ///
    /// # Errors
    /// When there is no such authority.
    pub fn key_token(&self, name: &str, secrets: &Secrets) -> Result<String> {
        secrets.add(&format!("ca:{name}"), self.get(name)?.key())
    }

    /// The authority of that name, made when there is none yet. A check makes one for itself only, and forgets it.
    ///
    /// # Errors
    /// When its kept parts do not fit together, or were made for another name.
    pub fn ensure(&self, name: &str, wish: &AuthoritySpec, mode: Mode) -> Result<(Authority, bool)> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(authority) = known.get(name) {
            return Ok((authority.clone(), false));
        }
        let (authority, new) = match self.load(name)? {
            Some(authority) => {
                let subject = super::certificate::subject(&authority.cert)?;
                let wanted = Cert::subject(&wish.cn, None);
                if subject != wanted {
                    return Err(Error::playbook(format!(
                        "the authority `{name}` was made as `{subject}`, not as `{wanted}`"
                    ))
                    .hint(
                        "an authority is never made anew while certificates of it may be in use; give it another name",
                    ));
                }
                (authority, false)
            }
            None => {
                let authority = create(wish)?;
                if mode == Mode::Apply {
                    self.state.create(&[(&key_file(name), &authority.key), (&cert_file(name), &authority.cert)])?;
                }
                (authority, true)
            }
        };
        known.insert(name.to_owned(), authority.clone());
        Ok((authority, new))
    }

    /// The authority of that name.
    ///
    /// # Errors
    /// When there is none.
    pub fn get(&self, name: &str) -> Result<Authority> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(authority) = known.get(name) {
            return Ok(authority.clone());
        }
        if let Some(authority) = self.load(name)? {
            known.insert(name.to_owned(), authority.clone());
            return Ok(authority);
        }
        let error = Error::playbook(format!("there is no authority `{name}`"));
        let otherwise = format!("make it first: `ca(\"{name}\", #{{ cn: \"…\" }})`");
        Err(error.suggest_or(name, known.keys().map(String::as_str), otherwise))
    }

    fn load(&self, name: &str) -> Result<Option<Authority>> {
        if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') || name.is_empty() {
            return Err(Error::playbook(format!(
                "`{name}` cannot be an authority's name: letters, digits, `-` and `_`"
            )));
        }
        let (key, cert) = (self.state.read(&key_file(name))?, self.state.read(&cert_file(name))?);
        match (key, cert) {
            (None, None) => Ok(None),
            (Some(key), Some(cert)) => {
                let pair = KeyPair::from_pem(&key)
                    .or_kind(Kind::Internal, || format!("the key of the authority `{name}` cannot be read"))?;
                if !super::certificate::has_key(&cert, &pair.public_key_pem())? {
                    return Err(lost(name, "its key and certificate do not belong together"));
                }
                let fingerprint = super::certificate::fingerprint(&cert)?;
                Ok(Some(Authority { cert, key, fingerprint }))
            }
            _ => Err(lost(name, "one half of it is missing")),
        }
    }
}

fn lost(name: &str, why: &str) -> Error {
    Error::new(Kind::Internal, format!("the authority `{name}` in mk's state is damaged: {why}"))
        .hint("put its files back from a backup; mk never makes it anew by itself")
}

fn key_file(name: &str) -> String {
    format!("ca/{name}.key")
}

fn cert_file(name: &str) -> String {
    format!("ca/{name}.crt")
}

fn create(wish: &AuthoritySpec) -> Result<Authority> {
    let failed = || "cannot make a certificate authority".to_owned();
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).or_kind(Kind::Internal, failed)?;
    let mut params = base(&wish.cn, None, wish.valid)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    let cert = params.self_signed(&key).or_kind(Kind::Internal, failed)?.pem();
    let fingerprint = super::certificate::fingerprint(&cert)?;
    Ok(Authority { cert, key: key.serialize_pem(), fingerprint })
}

fn base(cn: &str, o: Option<&str>, valid: HumanDuration) -> Result<CertificateParams> {
    let mut params = CertificateParams::default();
    let mut name = DistinguishedName::new();
    if let Some(o) = o {
        name.push(DnType::OrganizationName, o);
    }
    name.push(DnType::CommonName, cn);
    params.distinguished_name = name;
    // An hour back, for hosts whose clocks are a little behind.
    let now = OffsetDateTime::now_utc();
    params.not_before = now - time::Duration::hours(1);
    let length = time::Duration::try_from(valid.0).map_err(|e| Error::playbook("`valid` is too long").because(e))?;
    params.not_after = now + length;
    let mut serial = crate::change::random(16)?;
    // Serial numbers are positive.
    serial[0] &= 0x7f;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    Ok(params)
}

impl Authority {
    /// The private key, as PEM.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// Issues a certificate for the public key in DER.
    ///
    /// # Errors
    /// When a name in the request cannot stand in a certificate.
    pub fn issue(&self, request: &Cert, public: &[u8]) -> Result<String> {
        let failed = || format!("cannot issue a certificate for `{}`", request.cn);
        let mut params = base(&request.cn, request.o.as_deref(), request.valid)?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages = request
            .usage
            .iter()
            .map(|usage| match usage {
                Usage::Server => ExtendedKeyUsagePurpose::ServerAuth,
                Usage::Client => ExtendedKeyUsagePurpose::ClientAuth,
            })
            .collect();
        for san in &request.sans {
            let wrong = || format!("`{san}` is neither a name nor an address");
            params.subject_alt_names.push(match san.parse() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(san.as_str().try_into().or_kind(Kind::Playbook, wrong)?),
            });
        }
        let key = KeyPair::from_pem(&self.key).or_kind(Kind::Internal, failed)?;
        let issuer = Issuer::from_ca_cert_pem(&self.cert, key).or_kind(Kind::Internal, failed)?;
        let public = SubjectPublicKeyInfo::from_der(public)
            .or_kind(Kind::Protocol, || "the host sent no public key".to_owned())?;
        Ok(params.signed_by(&public, &issuer).or_kind(Kind::Internal, failed)?.pem())
    }
}
