//! Reading certificates, and the control side's half of `cert`.

use base64::Engine as _;
use serde_json::{Value, json};
use time::OffsetDateTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::FromDer;

use super::authority::Authority;
use crate::change::digest;
use crate::error::{Error, Kind, Result};
use crate::ops::{Cert, KEY_FITS, LONG_ENOUGH};

/// Answers a question of `cert`'s half on the host.
pub(super) fn answer(authority: &Authority, request: &Cert, question: &Value) -> Result<Value> {
    let bytes = |name: &str| -> Option<Vec<u8>> {
        base64::engine::general_purpose::STANDARD.decode(question.get(name)?.as_str()?).ok()
    };
    if let Some(public) = bytes("sign") {
        return authority.issue(request, &public).map(Value::from);
    }
    let Some(pem) = question.get("inspect").and_then(Value::as_str) else {
        return Err(Error::new(Kind::Protocol, "the host asks nothing about its certificate"));
    };
    let key_there = question.get("key_there").and_then(Value::as_bool).unwrap_or(false);
    inspect(authority, request, pem, bytes("public").as_deref(), key_there)
}

/// What a certificate says, in the words of a wish; null when it is none.
pub(super) fn inspect(
    authority: &Authority,
    request: &Cert,
    pem: &str,
    public: Option<&[u8]>,
    key_there: bool,
) -> Result<Value> {
    let Ok(der) = der_of(pem) else { return Ok(Value::Null) };
    let Ok((_, cert)) = X509Certificate::from_der(&der) else { return Ok(Value::Null) };
    let ca_der = der_of(&authority.cert)?;
    let (_, ca) =
        X509Certificate::from_der(&ca_der).map_err(|_| Error::internal("an authority that cannot be read"))?;
    let signed = cert.verify_signature(Some(ca.public_key())).is_ok();
    if !signed && !request.replace && cert.issuer().as_raw() == ca.subject().as_raw() {
        return Err(Error::step(format!(
            "`{}.crt` was issued by another authority that is also called `{}`",
            request.path.display(),
            subject_of(&ca)
        ))
        .hint("mk's state may have been lost, or belongs to another inventory: put it back from a backup")
        .hint(
            "`replace: true` issues it anew; everything that trusts the old authority must then be given the new one",
        ));
    }
    let key = match public {
        Some(public) if public == cert.public_key().raw => KEY_FITS,
        Some(_) => "belongs to another certificate",
        None if key_there => "cannot be read",
        None => "is missing",
    };
    Ok(json!({
        "subject": subject_of(&cert),
        "sans": sans(&cert),
        "usage": usage(&cert),
        "authority": if signed { authority.fingerprint.clone() } else { format!("another: {}", cert.issuer()) },
        "key": key,
        "validity": validity(&cert, request),
        "fingerprint": digest(&der),
    }))
}

fn validity(cert: &X509Certificate, request: &Cert) -> String {
    let (now, end) = (OffsetDateTime::now_utc(), cert.validity().not_after.to_datetime());
    let renew = time::Duration::try_from(request.renew.0).unwrap_or(time::Duration::ZERO);
    if cert.validity().not_before.to_datetime() > now {
        format!("begins at {}", cert.validity().not_before)
    } else if end < now + renew {
        format!("ends at {}", cert.validity().not_after)
    } else {
        LONG_ENOUGH.to_owned()
    }
}

/// A certificate's subject in one line.
///
/// # Errors
/// When the text is no certificate.
pub(super) fn subject(pem: &str) -> Result<String> {
    let der = der_of(pem)?;
    let (_, cert) = X509Certificate::from_der(&der).map_err(|_| no_certificate())?;
    Ok(subject_of(&cert))
}

/// The digest of a certificate.
///
/// # Errors
/// When the text is no certificate.
pub(super) fn fingerprint(pem: &str) -> Result<String> {
    der_of(pem).map(|der| digest(&der))
}

/// Whether a certificate holds this public key.
///
/// # Errors
/// When either text cannot be read.
pub(super) fn has_key(cert: &str, public: &str) -> Result<bool> {
    let (der, public) = (der_of(cert)?, der_of(public)?);
    let (_, cert) = X509Certificate::from_der(&der).map_err(|_| no_certificate())?;
    Ok(cert.public_key().raw == public.as_slice())
}

fn subject_of(cert: &X509Certificate) -> String {
    let first = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let cn = first(cert.subject().iter_common_name().next().and_then(|name| name.as_str().ok()));
    let o = cert.subject().iter_organization().next().and_then(|name| name.as_str().ok());
    Cert::subject(&cn, o)
}

fn sans(cert: &X509Certificate) -> Vec<String> {
    let names =
        cert.subject_alternative_name().ok().flatten().map(|extension| extension.value.general_names.as_slice());
    let address = |bytes: &[u8]| match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).map(std::net::IpAddr::from).ok(),
        16 => <[u8; 16]>::try_from(bytes).map(std::net::IpAddr::from).ok(),
        _ => None,
    };
    let shown = |name: &GeneralName| match name {
        GeneralName::DNSName(name) => (*name).to_owned(),
        GeneralName::IPAddress(bytes) => address(bytes).map_or_else(|| "?".to_owned(), |ip| ip.to_string()),
        other => other.to_string(),
    };
    let mut sans: Vec<String> = names.unwrap_or_default().iter().map(shown).collect();
    sans.sort();
    sans
}

fn usage(cert: &X509Certificate) -> Vec<&'static str> {
    let Ok(Some(extension)) = cert.extended_key_usage() else { return Vec::new() };
    let mut usage = Vec::new();
    if extension.value.client_auth {
        usage.push("client");
    }
    if extension.value.server_auth {
        usage.push("server");
    }
    if extension.value.any || !extension.value.other.is_empty() {
        usage.push("other");
    }
    usage
}

fn der_of(pem: &str) -> Result<Vec<u8>> {
    parse_x509_pem(pem.as_bytes()).map(|(_, pem)| pem.contents).map_err(|_| no_certificate())
}

fn no_certificate() -> Error {
    Error::internal("a text that is no certificate")
}

#[cfg(test)]
mod tests {
    use super::super::authority::{Authorities, AuthoritySpec};
    use super::*;
    use crate::state::StateDir;
    use crate::sys::{new_private_key, public_half};
    use crate::wire::Mode;

    fn request(fields: Value) -> Cert {
        let mut all = json!({ "path": "/etc/x/server", "ca": "etcd", "cn": "controller-1", "o": "g", "sans": ["b", "10.0.0.1", "::1"] });
        all.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        serde_json::from_value(all).unwrap()
    }

    fn authority(dir: &std::path::Path, name: &str, cn: &str) -> Authority {
        let authorities = Authorities::new(StateDir::at(dir.to_owned()));
        let wish: AuthoritySpec = serde_json::from_value(json!({ "cn": cn })).unwrap();
        authorities.ensure(name, &wish, Mode::Apply).unwrap().0
    }

    #[test]
    fn what_was_issued_is_found_as_it_was_wished_for() {
        let dir = tempfile::tempdir().unwrap();
        let authority = authority(dir.path(), "etcd", "etcd-ca");
        let public = public_half(&new_private_key().unwrap()).unwrap();
        let pem = authority.issue(&request(json!({})), &public).unwrap();
        let found = inspect(&authority, &request(json!({})), &pem, Some(&public), true).unwrap();
        assert_eq!(found["subject"], "O=g, CN=controller-1");
        assert_eq!(found["sans"], json!(["10.0.0.1", "::1", "b"]));
        assert_eq!(found["usage"], json!(["client", "server"]));
        assert_eq!((&found["key"], &found["validity"]), (&json!(KEY_FITS), &json!(LONG_ENOUGH)));
        assert_eq!(found["authority"], authority.fingerprint);
    }

    #[test]
    fn one_that_ends_soon_and_a_foreign_key_are_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let authority = authority(dir.path(), "etcd", "etcd-ca");
        let public = public_half(&new_private_key().unwrap()).unwrap();
        let pem = authority.issue(&request(json!({ "valid": "31d" })), &public).unwrap();
        let found = inspect(&authority, &request(json!({ "renew": "40d" })), &pem, Some(b"other"), true).unwrap();
        assert!(found["validity"].as_str().unwrap().starts_with("ends at "), "{found}");
        assert_eq!(found["key"], "belongs to another certificate");
    }

    #[test]
    fn one_of_another_authority_with_the_same_name_stops_the_step() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (ours, foreign) = (authority(one.path(), "etcd", "etcd-ca"), authority(two.path(), "etcd", "etcd-ca"));
        let public = public_half(&new_private_key().unwrap()).unwrap();
        let pem = foreign.issue(&request(json!({})), &public).unwrap();
        let error = inspect(&ours, &request(json!({})), &pem, Some(&public), true).unwrap_err();
        assert!(error.message().contains("issued by another authority"), "{error}");
        assert!(inspect(&ours, &request(json!({ "replace": true })), &pem, Some(&public), true).is_ok());
    }

    #[test]
    fn an_authority_is_made_once_and_a_check_keeps_none() {
        let dir = tempfile::tempdir().unwrap();
        let wish: AuthoritySpec = serde_json::from_value(json!({ "cn": "etcd-ca" })).unwrap();
        let fresh = || Authorities::new(StateDir::at(dir.path().to_owned()));
        let checked = fresh().ensure("etcd", &wish, Mode::Check).unwrap();
        let (made, new) = fresh().ensure("etcd", &wish, Mode::Apply).unwrap();
        let (kept, again) = fresh().ensure("etcd", &wish, Mode::Apply).unwrap();
        assert!(checked.1 && new && !again);
        assert_ne!(checked.0.fingerprint, made.fingerprint);
        assert_eq!(made.fingerprint, kept.fingerprint);
        std::fs::remove_file(dir.path().join("ca/etcd.key")).unwrap();
        assert!(fresh().get("etcd").unwrap_err().message().contains("is damaged"));
    }
}
