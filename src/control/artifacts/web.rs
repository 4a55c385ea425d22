//! Fetching over http and https: whole or resumed, never decoded on the way.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use ureq::Agent;
use ureq::http::Response;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use crate::error::{Context, Error, Kind, Result};
use crate::secret::without_passwords;

/// How long a server may take to be reached, and to begin its answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a server may be silent in the middle of a file.
const SILENCE: Duration = Duration::from_secs(60);

/// How often a download that broke off goes on.
const ATTEMPTS: u32 = 5;

/// The largest artifact, in bytes.
const LARGEST: u64 = 16 * 1024 * 1024 * 1024;

/// Where systems keep the authorities they trust.
const BUNDLES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

fn agent() -> Agent {
    static AGENT: OnceLock<Agent> = OnceLock::new();
    let new = || {
        // Somebody else may have installed one already: then that one serves.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let tls = TlsConfig::builder().root_certs(RootCerts::from(trusted())).build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .accept_encoding("identity")
            .user_agent(concat!("mk/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(PATIENCE))
            .timeout_recv_response(Some(PATIENCE))
            .timeout_per_read(Some(SILENCE))
            .build();
        Agent::new_with_config(config)
    };
    AGENT.get_or_init(new).clone()
}

/// The authorities this system trusts; those of `SSL_CERT_FILE` where it is set.
fn trusted() -> Vec<Certificate<'static>> {
    let named = std::env::var("SSL_CERT_FILE").ok();
    let mut files = named.iter().map(String::as_str).chain(BUNDLES.iter().copied().filter(|_| named.is_none()));
    let pem = files.find_map(|file| std::fs::read(file).ok()).unwrap_or_default();
    let certificate = |item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    };
    parse_pem(&pem).filter_map(certificate).collect()
}

type Answer = Response<ureq::Body>;

fn get(url: &str, from: u64) -> Result<Answer> {
    let mut request = agent().get(url);
    if from > 0 {
        request = request.header("Range", format!("bytes={from}-"));
    }
    request.call().or_step(|| format!("cannot fetch `{}`", without_passwords(url)))
}

fn refused(url: &str, answer: &Answer) -> Error {
    let status = answer.status();
    let error =
        Error::step(format!("cannot fetch `{}`", without_passwords(url))).because(format!("the server says {status}"));
    match status.as_u16() {
        404 | 410 => error.hint("the address may be wrong, or the file may have been withdrawn"),
        401 | 403 => error.hint("the file may not be public"),
        _ => error,
    }
}

/// A short text.
///
/// # Errors
/// When the server does not give it, or it is longer than `limit`.
pub(super) fn text(url: &str, limit: u64) -> Result<String> {
    let mut answer = get(url, 0)?;
    if !answer.status().is_success() {
        return Err(refused(url, &answer));
    }
    answer
        .body_mut()
        .with_config()
        .limit(limit)
        .read_to_string()
        .or_step(|| format!("cannot fetch `{}`", without_passwords(url)))
}

/// Fetches a file to `part`, going on where an earlier attempt broke off. Gives whether it did.
///
/// # Errors
/// When the server does not give it; what came stays for the next attempt.
pub(super) fn download(url: &str, part: &Path) -> Result<bool> {
    let failed = || format!("cannot write `{}`", part.display());
    let mut options = File::options();
    let mut file =
        options.create(true).truncate(false).read(true).write(true).open(part).or_kind(Kind::Step, failed)?;
    let mut resumed = false;
    let mut left = ATTEMPTS;
    loop {
        left -= 1;
        let from = file.metadata().or_step(failed)?.len();
        let mut answer = get(url, from)?;
        let begins = match answer.status().as_u16() {
            206 if begins_at(&answer) == Some(from) => from,
            200 => 0,
            // The file here is longer than the one there, or the server gives something nobody asked for.
            206 | 416 if from > 0 => {
                file.set_len(0).or_step(failed)?;
                if left == 0 {
                    return Err(refused(url, &answer));
                }
                continue;
            }
            _ => return Err(refused(url, &answer)),
        };
        resumed |= begins > 0;
        file.set_len(begins).or_step(failed)?;
        file.seek(std::io::SeekFrom::Start(begins)).or_step(failed)?;
        let mut body = answer.body_mut().with_config().limit(LARGEST).reader();
        match copy(&mut body, &mut file)? {
            None => return Ok(resumed),
            Some(e) if left == 0 => {
                return Err(Error::step(format!("the download of `{}` broke off", without_passwords(url))).because(e));
            }
            Some(_) => std::thread::sleep(Duration::from_millis(200) * (ATTEMPTS - left)),
        }
    }
}

/// Where in the file the bytes of a partial answer begin.
fn begins_at(answer: &Answer) -> Option<u64> {
    let range = answer.headers().get("Content-Range")?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok()
}

/// Copies all there is; a source that breaks off is told apart from a disk that is full.
fn copy(source: &mut dyn Read, file: &mut File) -> Result<Option<std::io::Error>> {
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match source.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => file.write_all(&buffer[..count]).or_step(|| "cannot keep what was fetched".to_owned())?,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Ok(Some(e)),
        }
    }
    file.sync_all().or_step(|| "cannot keep what was fetched".to_owned())?;
    Ok(None)
}
