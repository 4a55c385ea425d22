//! Where secrets come from: an age file, a plain file, the environment, or the person at the keyboard.

use std::io::Read;
use std::path::{Path, PathBuf};

use age::secrecy::SecretString;
use serde_json::Value;

use super::input_tracking::Input;
use super::sources::{Base, Found, Sources};
use crate::error::{Context, Error, Kind, Result};
use crate::secret::{Secrets, hide_variable};

/// The longest secrets file, in bytes.
const LONGEST: u64 = 4 * 1024 * 1024;

/// The token of a secret: `FILE.age#KEY`, `file:PATH`, `env:NAME` or `prompt:NAME`.
///
/// # Errors
/// When it cannot be had, or is too short to be kept out of other texts.
pub(crate) fn secret(sources: &Sources, secrets: &Secrets, base: &Base, from: &str) -> Result<String> {
    let text = match Source::of(from) {
        Source::Environment(name) => {
            hide_variable(name);
            sources.environment(name).ok_or_else(|| {
                Error::playbook(format!("the environment has no `{name}`"))
                    .hint(format!("set it before the run: `{name}=… mk run …`"))
            })?
        }
        Source::Prompt(name) => {
            sources.inputs.note(Input::Answer(name.to_owned()), String::new);
            // Whoever answered once is not asked again.
            if let Some(token) = secrets.labelled(from) {
                return Ok(token);
            }
            rpassword::prompt_password(format!("{name}: "))
                .or_kind(Kind::Playbook, || format!("cannot ask for `{name}`"))?
        }
        Source::File(path) => {
            let text = sources.code(&sources.find(base, Path::new(path))?)?;
            text.trim_end_matches('\n').to_owned()
        }
        Source::Age(from) => age_file(sources, secrets, base, from)?,
    };
    secrets.add(from, &text)
}

/// Where a secret is, as a script says it.
enum Source<'a> {
    Environment(&'a str),
    Prompt(&'a str),
    File(&'a str),
    /// A file and a key in it.
    Age(&'a str),
}

impl<'a> Source<'a> {
    fn of(from: &'a str) -> Self {
        match from.split_once(':') {
            Some(("env", name)) => Self::Environment(name),
            Some(("prompt", name)) => Self::Prompt(name),
            Some(("file", path)) => Self::File(path),
            _ => Self::Age(from),
        }
    }
}

/// The file that a secret would be read from, where it is one.
pub(crate) fn secret_file(from: &str) -> Option<&str> {
    match Source::of(from) {
        Source::Environment(_) | Source::Prompt(_) => None,
        Source::File(path) => Some(path),
        Source::Age(from) => from.split_once('#').map(|(file, _)| file),
    }
}

fn age_file(sources: &Sources, secrets: &Secrets, base: &Base, from: &str) -> Result<String> {
    let Some((file, key)) = from.split_once('#') else {
        return Err(Error::playbook(format!("`{from}` does not say where a secret is"))
            .hint("`secret(\"secrets.age#key\")`, `secret(\"env:NAME\")`, `secret(\"file:PATH\")` or `secret(\"prompt:NAME\")`"));
    };
    let Found::Disk(path) = sources.find(base, Path::new(file))? else {
        return Err(Error::playbook(format!("`{file}` is not a file on disk")));
    };
    sources.guard.check(&path)?;
    let text = decrypt(&path, secrets)?;
    let all: Value = serde_saphyr::from_str(&text)
        // The parser quotes what it cannot read, and that is secret.
        .map_err(|_| Error::playbook(format!("`{}` holds no YAML map", path.display())))?;
    let keys: Vec<&str> = all.as_object().map(|map| map.keys().map(String::as_str).collect()).unwrap_or_default();
    match all.get(key) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(other) if !other.is_null() => Ok(other.to_string()),
        _ => Err(Error::playbook(format!("`{}` has no secret `{key}`", path.display())).suggest(key, keys)),
    }
}

/// The identities to try: the file that `MK_AGE_IDENTITY` names, else `mk/age.key` of the user's configuration.
fn identity_file() -> PathBuf {
    use etcetera::BaseStrategy as _;
    let own = || etcetera::choose_base_strategy().map(|base| base.config_dir().join("mk/age.key")).unwrap_or_default();
    std::env::var_os("MK_AGE_IDENTITY").map_or_else(own, PathBuf::from)
}

fn decrypt(path: &Path, secrets: &Secrets) -> Result<String> {
    let failed = || format!("cannot decrypt `{}`", path.display());
    let file = std::fs::File::open(path).or_kind(Kind::Playbook, failed)?;
    let armored = age::armor::ArmoredReader::new(std::io::BufReader::new(file));
    let decryptor = age::Decryptor::new(armored).or_kind(Kind::Playbook, failed)?;
    let mut text = String::new();
    let mut read = |mut reader: Box<dyn Read>| -> Result {
        reader.by_ref().take(LONGEST).read_to_string(&mut text).map(drop).or_kind(Kind::Playbook, failed)
    };
    if decryptor.is_scrypt() {
        let passphrase = rpassword::prompt_password(format!("passphrase of {}: ", path.display()))
            .or_kind(Kind::Playbook, failed)?;
        secrets.know(&passphrase);
        let identity = age::scrypt::Identity::new(SecretString::from(passphrase));
        let reader =
            decryptor.decrypt(std::iter::once(&identity as &dyn age::Identity)).or_kind(Kind::Playbook, failed)?;
        read(Box::new(reader))?;
        return Ok(text);
    }
    let keys = identity_file();
    let identities = age::IdentityFile::from_file(keys.display().to_string())
        .and_then(|file| file.into_identities().map_err(std::io::Error::other));
    let identities = identities.map_err(|e| {
        Error::playbook(failed())
            .because(format!("no identity can be read from `{}`", keys.display()))
            .because(e)
            .hint("name a file made by `age-keygen` in `MK_AGE_IDENTITY`")
    })?;
    let refs = identities.iter().map(|identity| identity.as_ref() as &dyn age::Identity);
    let reader = decryptor.decrypt(refs).or_kind(Kind::Playbook, failed)?;
    read(Box::new(reader))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_secret_of_a_file_is_a_token_to_the_script() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("pw"), "hunter2hunter2\n").unwrap();
        let (sources, secrets) = (Sources::new(dir.path().to_owned()), Secrets::default());
        let base = Base::File(dir.path().join("p.rhai"));
        let token = secret(&sources, &secrets, &base, "file:pw").unwrap();
        assert!(!token.contains("hunter2"));
        let mut value = Value::from(token);
        assert!(secrets.reveal(&mut value));
        assert_eq!(value, "hunter2hunter2");
    }

    #[test]
    fn a_file_of_the_same_name_in_another_folder_is_another_secret() {
        let dir = tempfile::tempdir().unwrap();
        let (sources, secrets) = (Sources::new(dir.path().to_owned()), Secrets::default());
        let of = |name: &str| {
            let folder = dir.path().join(name);
            std::fs::create_dir(&folder).unwrap();
            std::fs::write(folder.join("pw"), format!("hunter2-{name}")).unwrap();
            let token = secret(&sources, &secrets, &Base::File(folder.join("p.rhai")), "file:pw").unwrap();
            secrets.revealed(&token).unwrap()
        };
        assert_eq!((of("one"), of("two")), ("hunter2-one".to_owned(), "hunter2-two".to_owned()));
    }

    #[test]
    fn an_age_file_is_opened_with_its_passphrase_or_refused_without_showing_anything() {
        let dir = tempfile::tempdir().unwrap();
        let identity = age::x25519::Identity::generate();
        let recipient = identity.to_public();
        let encryptor = age::Encryptor::with_recipients(std::iter::once(&recipient as &dyn age::Recipient)).unwrap();
        let mut sealed = Vec::new();
        let mut writer = encryptor.wrap_output(&mut sealed).unwrap();
        writer.write_all(b"db: hunter2hunter2\n").unwrap();
        writer.finish().unwrap();
        std::fs::write(dir.path().join("s.age"), sealed).unwrap();
        let (sources, secrets) = (Sources::new(dir.path().to_owned()), Secrets::default());
        let base = Base::File(dir.path().join("p.rhai"));
        let error = secret(&sources, &secrets, &base, "s.age#db").unwrap_err();
        assert!(error.to_string().contains("no identity can be read"), "{error}");
        assert!(secret(&sources, &secrets, &base, "nowhere").unwrap_err().message().contains("does not say where"));
    }
}
