//! Reads private keys, also those that the library for it refuses.
//!
//! OpenSSH writes the secret number of an ECDSA key as short as it is. One key of nistp256 in 512 is
//! shorter than its curve, and `ssh-key` 0.7.0-rc.11 calls that a wrong length.

use russh::keys::ssh_key::encoding::{self, Decode, Reader};
use russh::keys::ssh_key::private::{EcdsaKeypair, EcdsaPrivateKey, KeypairData};
use russh::keys::ssh_key::public::{EcdsaPublicKey, KeyData};
use russh::keys::ssh_key::{self, Cipher, Kdf};
use russh::keys::{Error, PrivateKey, decode_secret_key};
use secrecy::zeroize::Zeroizing;

const BEGIN: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";
const END: &str = "-----END OPENSSH PRIVATE KEY-----";
const MAGIC: &[u8] = b"openssh-key-v1\0";

/// The length of a secret number of nistp256, in bytes.
const SIZE: usize = 32;

/// The private key in the text of a file, in whatever format, with its passphrase if it needs one.
///
/// # Errors
/// When it is none, or the passphrase is missing or wrong.
pub(super) fn decode(text: &str, passphrase: Option<&str>) -> Result<PrivateKey, Error> {
    match decode_secret_key(text, passphrase) {
        Err(Error::SshKey(ssh_key::Error::Encoding(encoding::Error::Length))) => Ok(decode_short(text, passphrase)?),
        decoded => decoded,
    }
}

/// A key of nistp256 in OpenSSH's format, with a secret number of any length.
fn decode_short(text: &str, passphrase: Option<&str>) -> Result<PrivateKey, ssh_key::Error> {
    let file = body(text).ok_or(encoding::Error::Length)?;
    let mut reader = &**file;
    let mut magic = [0; MAGIC.len()];
    reader.read(&mut magic)?;
    let cipher = Cipher::decode(&mut reader)?;
    let kdf = Kdf::decode(&mut reader)?;
    if magic != MAGIC || u32::decode(&mut reader)? != 1 {
        return Err(ssh_key::Error::FormatEncoding);
    }
    let public = reader.read_prefixed(KeyData::decode)?;
    let mut secret = Zeroizing::new(Vec::decode(&mut reader)?);
    if cipher.is_some() {
        let (key, iv) = kdf.derive_key_and_iv(cipher, passphrase.ok_or(ssh_key::Error::Encrypted)?)?;
        let tag = if cipher.has_tag() { Some(tag(&mut reader)?) } else { None };
        cipher.decrypt(&key, &iv, &mut secret, tag)?;
    }
    pair(&mut secret.as_slice(), &public)
}

/// What stands between the first and the last line.
fn body(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    use base64::Engine as _;
    let (_, rest) = text.split_once(BEGIN)?;
    let (body, _) = rest.split_once(END)?;
    let body: Zeroizing<String> = Zeroizing::new(body.split_ascii_whitespace().collect());
    base64::engine::general_purpose::STANDARD.decode(&**body).ok().map(Zeroizing::new)
}

fn tag(reader: &mut impl Reader) -> Result<ssh_key::cipher::Tag, ssh_key::Error> {
    let mut tag = ssh_key::cipher::Tag::default();
    reader.read(&mut tag)?;
    Ok(tag)
}

/// The pair in the decrypted part: twice the same number, the kind, the curve, the public key, the
/// secret number, the comment, and padding.
fn pair(reader: &mut &[u8], public: &KeyData) -> Result<PrivateKey, ssh_key::Error> {
    if u32::decode(reader)? != u32::decode(reader)? {
        return Err(ssh_key::Error::Crypto);
    }
    if KeyData::decode(reader)? != *public {
        return Err(ssh_key::Error::PublicKey);
    }
    let KeyData::Ecdsa(EcdsaPublicKey::NistP256(point)) = public else {
        return Err(encoding::Error::Length.into());
    };
    let number = Zeroizing::new(Vec::decode(reader)?);
    // A leading zero says that a number is not negative.
    let number = number.strip_prefix(&[0]).unwrap_or(&number);
    let comment = String::decode(reader)?;
    let mut bytes = [0; SIZE];
    let start = SIZE.checked_sub(number.len()).ok_or(encoding::Error::Length)?;
    bytes[start..].copy_from_slice(number);
    let private = EcdsaPrivateKey::from(bytes);
    PrivateKey::new(KeypairData::Ecdsa(EcdsaKeypair::NistP256 { public: *point, private }), comment)
}
