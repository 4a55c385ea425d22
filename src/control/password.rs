//! Passwords as hosts keep them: the formats of crypt(3).

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD, STANDARD_NO_PAD};

use crate::error::{Error, Result};

/// The letters of crypt's own base64, by their values.
const LETTERS: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The letters of base64, and those that bcrypt has in their place.
const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const BCRYPT: &[u8; 64] = b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// The order in which the bytes of a SHA-512 are written.
const ORDER: [usize; 64] = [
    42, 21, 0, 1, 43, 22, 23, 2, 44, 45, 24, 3, 4, 46, 25, 26, 5, 47, 48, 27, 6, 7, 49, 28, 29, 8, 50, 51, 30, 9, 10,
    52, 31, 32, 11, 53, 54, 33, 12, 13, 55, 34, 35, 14, 56, 57, 36, 15, 16, 58, 37, 38, 17, 59, 60, 39, 18, 19, 61, 40,
    41, 20, 62, 63,
];

/// The kind of a hash.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Scheme {
    /// `$6$`, which every Linux knows.
    #[default]
    Sha512,
    /// `$y$`, which costs whoever tries passwords memory too; Debian's, Ubuntu's and Fedora's own.
    Yescrypt,
    /// `$2y$`, which web servers know.
    Bcrypt,
}

impl Scheme {
    /// The scheme of that name.
    ///
    /// # Errors
    /// When there is none.
    pub fn named(name: &str) -> Result<Self> {
        match name {
            "sha512" => Ok(Self::Sha512),
            "yescrypt" => Ok(Self::Yescrypt),
            "bcrypt" => Ok(Self::Bcrypt),
            _ => Err(Error::playbook(format!("password_hash: there is no scheme `{name}`")).suggest_or(
                name,
                ["sha512", "yescrypt", "bcrypt"],
                "it is \"sha512\", \"yescrypt\" or \"bcrypt\"".to_owned(),
            )),
        }
    }
}

/// A salt for a scheme, always the same for the same digest.
pub(super) fn salt(scheme: Scheme, digest: &str) -> String {
    let bytes: Vec<u8> =
        (0..digest.len() / 2).filter_map(|at| u8::from_str_radix(digest.get(at * 2..at * 2 + 2)?, 16).ok()).collect();
    match scheme {
        Scheme::Sha512 => bytes.iter().take(16).map(|byte| letter(u32::from(*byte))).collect(),
        Scheme::Yescrypt => encoded(&bytes[..16]),
        Scheme::Bcrypt => swapped(&STANDARD_NO_PAD.encode(&bytes[..16]), STANDARD, BCRYPT).unwrap_or_default(),
    }
}

/// The hash of a password.
pub(super) fn hash(scheme: Scheme, password: &str, salt: &str, rounds: Option<u32>) -> Result<String> {
    let wrong = |text: &str| Error::playbook(format!("password_hash: {text}"));
    if password.is_empty() {
        return Err(wrong("an empty password lets everybody in").hint("`password_hash: \"*\"` lets nobody in"));
    }
    match scheme {
        Scheme::Sha512 => {
            if salt.is_empty() || salt.len() > 16 || !salt.bytes().all(|byte| LETTERS.contains(&byte)) {
                return Err(wrong("a salt for sha512 is 1 to 16 letters, digits, `.` or `/`"));
            }
            let params = sha_crypt::Params::new(rounds.unwrap_or(sha_crypt::Params::RECOMMENDED_ROUNDS));
            let params = params.map_err(|_| wrong("`rounds` is 1000 to 999999999 for sha512"))?;
            let bytes = sha_crypt::sha512_crypt(password.as_bytes(), salt.as_bytes(), params);
            let bytes = ORDER.map(|at| bytes[at]);
            let rounds = rounds.map(|rounds| format!("rounds={rounds}$")).unwrap_or_default();
            Ok(format!("$6${rounds}{salt}${}", encoded(&bytes)))
        }
        Scheme::Yescrypt => {
            use yescrypt::PasswordHasher as _;
            if rounds.is_some() {
                return Err(wrong("yescrypt takes no `rounds`"));
            }
            let bytes = decoded(salt).filter(|bytes| (1..=64).contains(&bytes.len()));
            let bytes = bytes.ok_or_else(|| {
                wrong("a salt for yescrypt is as it stands in its hashes: up to 86 letters, digits, `.` or `/`")
            })?;
            let hash = yescrypt::Yescrypt::default().hash_password_with_salt(password.as_bytes(), &bytes);
            hash.map(|hash| hash.as_str().to_owned()).map_err(|_| wrong("yescrypt does not take this salt"))
        }
        Scheme::Bcrypt => {
            let cost = rounds.unwrap_or(10);
            if !(4..=20).contains(&cost) {
                return Err(wrong("`rounds` is a logarithm for bcrypt: 4 to 20"));
            }
            if password.len() > 72 {
                return Err(wrong("bcrypt ends at the 72nd byte of a password, and this one is longer"));
            }
            if password.contains('\0') {
                return Err(wrong("bcrypt takes no password with a NUL in it"));
            }
            let loose = GeneralPurpose::new(&alphabet::STANDARD, NO_PAD.with_decode_allow_trailing_bits(true));
            let bytes = swapped(salt, BCRYPT, STANDARD).and_then(|salt| loose.decode(salt).ok());
            let bytes = bytes.and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
            let bytes = bytes.ok_or_else(|| wrong("a salt for bcrypt is 22 letters, digits, `.` or `/`"))?;
            let hash = bcrypt::non_truncating_hash_with_salt(password, cost, bytes);
            let hash = hash.map_err(|_| wrong("bcrypt does not take this password"))?;
            Ok(hash.format_for_version(bcrypt::Version::TwoY))
        }
    }
}

fn letter(value: u32) -> char {
    char::from(LETTERS[(value & 63) as usize])
}

/// A text in the letters of another base64; `None` where one is none of the first.
fn swapped(text: &str, from: &[u8; 64], to: &[u8; 64]) -> Option<String> {
    let letter = |byte| from.iter().position(|known| *known == byte).map(|at| char::from(to[at]));
    text.bytes().map(letter).collect()
}

/// Bytes in crypt's base64, the lowest bits first.
fn encoded(bytes: &[u8]) -> String {
    let word = |bytes: &[u8]| bytes.iter().rev().fold(0, |word: u32, byte| word << 8 | u32::from(*byte));
    let letters = |bytes: &[u8]| {
        let word = word(bytes);
        (0..=bytes.len()).map(move |at| letter(word >> (6 * at))).collect::<String>()
    };
    bytes.chunks(3).map(letters).collect()
}

/// The bytes of crypt's base64; `None` for what cannot be any.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for letters in text.as_bytes().chunks(4) {
        let mut word = 0;
        for (at, letter) in letters.iter().enumerate() {
            let value = LETTERS.iter().position(|known| known == letter)?;
            word |= u32::try_from(value).ok()? << (6 * at);
        }
        let count = letters.len().checked_sub(1).filter(|count| *count > 0)?;
        bytes.extend(word.to_le_bytes().into_iter().take(count));
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hashes_are_those_of_other_programs() {
        // As libxcrypt's crypt(3) makes them.
        let sha512 = |password, salt, rounds| hash(Scheme::Sha512, password, salt, rounds).unwrap();
        assert_eq!(
            sha512("Hello world!", "saltstring", None),
            "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1"
        );
        assert_eq!(
            sha512("Hello world!", "saltstringsaltst", Some(10_000)),
            "$6$rounds=10000$saltstringsaltst$OW1/O6BYHV6BcXZu8QVeXbDWra3Oeqh0sbHbbMCVNSnCM/UrjmM0Dp8vOuZeHBy/YTBmSK6H9qs/y3RnOaw5v."
        );
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (scheme, salt, rounds, wanted) in [
            (Scheme::Sha512, "a:b", None, "1 to 16 letters"),
            (Scheme::Sha512, "ab", Some(3), "1000 to"),
            (Scheme::Yescrypt, "a", None, "as it stands in its hashes"),
            (Scheme::Yescrypt, "abcd", Some(5), "takes no `rounds`"),
            (Scheme::Bcrypt, "abc", None, "22 letters"),
            (Scheme::Bcrypt, "abcdefghijklmnopqrstuv", Some(99), "4 to 20"),
        ] {
            let error = hash(scheme, "hunter2hunter2", salt, rounds).unwrap_err();
            assert!(error.message().contains(wanted), "{error}");
        }
        assert!(hash(Scheme::Bcrypt, &"x".repeat(73), "abcdefghijklmnopqrstuv", None).is_err());
        assert!(hash(Scheme::Sha512, "", "abc", None).is_err());
        assert!(Scheme::named("md5").is_err());
    }

    #[test]
    fn letters_are_bytes_again() {
        for length in 1..40 {
            let bytes: Vec<u8> = (0..length).map(|at: u8| at.wrapping_mul(37)).collect();
            assert_eq!(decoded(&encoded(&bytes)).unwrap(), bytes);
        }
    }
}
