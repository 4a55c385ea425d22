//! Private keys that are born on their host: elliptic, P-256, in PKCS#8.

use p256::SecretKey;
use p256::pkcs8::{DecodePrivateKey, EncodePrivateKey, EncodePublicKey, LineEnding};

use crate::error::{Context, Error, Result};

/// A new private key, as PEM.
///
/// # Errors
/// When the host has no random bytes.
pub(crate) fn new_private_key() -> Result<String> {
    let failed = || "cannot make a private key".to_owned();
    // Almost every 32 bytes are a valid key; those that are not are drawn again.
    for _ in 0..16 {
        let mut bytes = [0; 32];
        rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()).or_step(failed)?;
        if let Ok(key) = SecretKey::from_slice(&bytes) {
            return key.to_pkcs8_pem(LineEnding::LF).map(|pem| pem.to_string()).or_step(failed);
        }
    }
    Err(Error::step(failed()).because("the random bytes are no key"))
}

/// The public half of a private key, in DER; `None` for a key of another kind or no key at all.
pub(crate) fn public_half(pem: &str) -> Option<Vec<u8>> {
    let key = SecretKey::from_pkcs8_pem(pem).ok()?;
    key.public_key().to_public_key_der().ok().map(|der| der.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_keys_differ_and_have_their_public_halves() {
        let (one, two) = (new_private_key().unwrap(), new_private_key().unwrap());
        assert!(one.starts_with("-----BEGIN PRIVATE KEY-----\n"));
        assert_ne!(public_half(&one).unwrap(), public_half(&two).unwrap());
        assert_eq!(public_half("no key"), None);
    }
}
