//! Private key files: read once a run, unlocked once a run.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use russh::keys::{Certificate, PrivateKey, PublicKey};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::OnceCell;

use super::options::{Prompt, Question};
use super::private_key::decode;
use super::stream::plain;

/// How often a wrong passphrase is asked for again.
pub(super) const ATTEMPTS: u8 = 3;

/// Puts questions to the user, one at a time however many hosts have one.
pub(super) struct Asker {
    prompt: Arc<dyn Prompt>,
    turn: tokio::sync::Mutex<()>,
}

impl Asker {
    pub(super) fn new(prompt: Arc<dyn Prompt>) -> Self {
        Self { prompt, turn: tokio::sync::Mutex::default() }
    }

    pub(super) async fn ask(&self, question: Question) -> Option<SecretString> {
        let _turn = self.turn.lock().await;
        let prompt = Arc::clone(&self.prompt);
        tokio::task::spawn_blocking(move || prompt.answer(&question)).await.ok().flatten()
    }

    pub(super) fn allows_passwords(&self) -> bool {
        self.prompt.allows_passwords()
    }
}

/// A key file. Reasons why one cannot be used are texts: a host may accept another key.
#[derive(Debug)]
pub(super) struct KeyFile {
    pub path: PathBuf,
    pub public: PublicKey,
    /// The certificate beside it, `KEY-cert.pub`.
    pub certificate: Option<Certificate>,
    private: Private,
}

#[derive(Debug)]
enum Private {
    Open(Arc<PrivateKey>),
    Sealed(SecretString, OnceCell<Result<Arc<PrivateKey>, String>>),
    /// The file is a public key; an agent may hold the private one.
    Elsewhere,
}

type Loaded = Result<Option<Arc<KeyFile>>, String>;

/// The key files of a run.
#[derive(Debug, Default)]
pub(super) struct Keyring {
    files: Mutex<HashMap<PathBuf, Arc<OnceCell<Loaded>>>>,
}

impl Keyring {
    /// The key in a file, `None` when there is no such file.
    pub(super) async fn load(&self, path: &Path, asker: &Asker) -> Loaded {
        let cell = {
            let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(files.entry(path.to_owned()).or_default())
        };
        cell.get_or_init(|| KeyFile::read(path, asker)).await.clone()
    }
}

impl KeyFile {
    async fn read(path: &Path, asker: &Asker) -> Loaded {
        let text = match std::fs::read_to_string(path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(format!("cannot be read: {}", plain(&e))),
            Ok(text) => SecretString::from(text),
        };
        if let Ok(public) = PublicKey::from_openssh(text.expose_secret().trim()) {
            let certificate = certificate(path, &public);
            return Ok(Some(Arc::new(Self {
                path: path.to_owned(),
                public,
                certificate,
                private: Private::Elsewhere,
            })));
        }
        let meta = std::fs::metadata(path).map_err(|e| format!("cannot be read: {}", plain(&e)))?;
        // OpenSSH ignores such a key too; a key others can read should be replaced, not used.
        if meta.uid() == rustix::process::getuid().as_raw() && meta.mode() & 0o077 != 0 {
            return Err(format!("others may read it (mode {:04o}), so it is not used", meta.mode() & 0o7777));
        }
        let (public, private) = match decode(text.expose_secret(), None) {
            Ok(key) => (key.public_key().clone(), Private::Open(Arc::new(key))),
            Err(e) if !is_locked(&e, text.expose_secret()) => return Err(format!("is not a private key: {e}")),
            Err(_) => {
                if let Some(public) = public_part(path, text.expose_secret()) {
                    (public, Private::Sealed(text, OnceCell::new()))
                } else {
                    // Its public part is locked away too: it cannot be offered without asking first.
                    let key = unlock(path, &text, asker).await?;
                    (key.public_key().clone(), Private::Open(key))
                }
            }
        };
        let certificate = certificate(path, &public);
        Ok(Some(Arc::new(Self { path: path.to_owned(), public, certificate, private })))
    }

    /// Whether the file alone, without a question, is enough to sign.
    pub(super) fn is_open(&self) -> bool {
        match &self.private {
            Private::Open(_) => true,
            Private::Sealed(_, opened) => opened.get().is_some_and(Result::is_ok),
            Private::Elsewhere => false,
        }
    }

    /// Whether there is no private key in the file.
    pub(super) fn is_public_only(&self) -> bool {
        matches!(self.private, Private::Elsewhere)
    }

    /// The private key, asking for its passphrase unless that was done before, for whatever host.
    pub(super) async fn private(&self, asker: &Asker) -> Result<Arc<PrivateKey>, String> {
        match &self.private {
            Private::Open(key) => Ok(Arc::clone(key)),
            Private::Sealed(text, opened) => opened.get_or_init(|| unlock(&self.path, text, asker)).await.clone(),
            Private::Elsewhere => Err("is a public key, and no agent holds the private one".to_owned()),
        }
    }
}

async fn unlock(path: &Path, text: &SecretString, asker: &Asker) -> Result<Arc<PrivateKey>, String> {
    for attempt in 1..=ATTEMPTS {
        let question = Question::Passphrase { key: path.to_owned(), attempt };
        let Some(passphrase) = asker.ask(question).await else {
            return Err("is encrypted, and its passphrase was not given".to_owned());
        };
        let text = text.clone();
        // Deriving a key from a passphrase is slow on purpose.
        let tried =
            tokio::task::spawn_blocking(move || decode(text.expose_secret(), Some(passphrase.expose_secret())).ok());
        if let Ok(Some(key)) = tried.await {
            return Ok(Arc::new(key));
        }
    }
    Err("is encrypted, and the passphrases given were wrong".to_owned())
}

fn is_locked(e: &russh::keys::Error, text: &str) -> bool {
    matches!(e, russh::keys::Error::KeyIsEncrypted) || text.contains("ENCRYPTED")
}

/// The public key of an encrypted private one: in OpenSSH's own format it stands in clear, otherwise
/// beside it.
fn public_part(path: &Path, text: &str) -> Option<PublicKey> {
    if let Ok(key) = PrivateKey::from_openssh(text) {
        return Some(key.public_key().clone());
    }
    let beside = std::fs::read_to_string(with_suffix(path, ".pub")).ok()?;
    PublicKey::from_openssh(beside.trim()).ok()
}

fn certificate(path: &Path, public: &PublicKey) -> Option<Certificate> {
    let stem = path.to_string_lossy();
    let stem = stem.strip_suffix(".pub").unwrap_or(&stem);
    read_certificate(&with_suffix(Path::new(stem), "-cert.pub"))
        .filter(|certificate| certificate.public_key() == public.key_data())
}

/// The certificate in a file, if there is one.
pub(super) fn read_certificate(path: &Path) -> Option<Certificate> {
    Certificate::from_openssh(std::fs::read_to_string(path).ok()?.trim()).ok()
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
