//! Logging in: keys from files and from the agent, certificates, and passwords where they are allowed.
//!
//! The private half of a key is needed only once the host has agreed to its public half, so nobody is
//! asked for the passphrase of a key the host does not know.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use russh::client::{AuthResult, Handle, KeyboardInteractiveAuthResponse};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::ssh_encoding::Encode;
use russh::keys::ssh_key::private::KeypairData;
use russh::keys::{Algorithm, Certificate, HashAlg, PublicKey, signature};
use russh::{MethodKind, MethodSet};
use secrecy::{ExposeSecret, SecretString};
use tokio::net::UnixStream;
use tokio::sync::watch;

use super::keys::{ATTEMPTS, Asker, KeyFile, Keyring, read_certificate};
use super::known_hosts::fingerprint;
use super::options::Question;
use super::route::Route;
use super::session::{Client, Lost};
use super::stream::plain;
use crate::error::{Error, Kind, Result};

/// How long an agent may take to list its keys, and to sign: it may wait for a touch or a confirmation.
const AGENT_LISTS: Duration = Duration::from_secs(5);
const AGENT_SIGNS: Duration = Duration::from_secs(60);

/// How many rounds of questions a host may ask.
const ROUNDS: usize = 10;

type Agent = AgentClient<UnixStream>;

/// A key to offer.
struct Candidate {
    public: PublicKey,
    /// Offered instead of the bare key.
    certificate: Option<Certificate>,
    signer: Signing,
    /// How it is named in a refusal.
    label: String,
}

#[derive(Clone)]
enum Signing {
    File(Arc<KeyFile>),
    Agent(AgentIdentity),
}

/// One login.
pub(super) struct Login<'a> {
    pub handle: &'a mut Handle<Client>,
    pub route: &'a Route,
    pub keyring: &'a Keyring,
    pub asker: &'a Asker,
    pub lost: &'a Lost,
    /// How long the host may take for one answer.
    pub limit: Duration,
}

/// What came of one attempt.
enum Outcome {
    In,
    /// Refused, or not enough. What the host would still take is known from it.
    Out(MethodSet, bool),
}

impl Login<'_> {
    /// Logs in, or says what was tried.
    pub async fn run(mut self) -> Result {
        let mut tried = Vec::new();
        let mut agent = self.agent(&mut tried).await;
        let candidates = self.candidates(agent.as_mut().map(|(_, keys)| keys.as_slice()), &mut tried).await;
        let mut agent = agent.map(|(agent, _)| agent);
        let mut methods = None;
        if candidates.is_empty() {
            let asked = self.handle.authenticate_none(&self.route.config.user);
            match within(self.limit, self.route, asked).await?.map_err(|e| self.gone(&e.to_string(), &tried))?.into() {
                Outcome::In => return Ok(()),
                Outcome::Out(left, _) => methods = Some(left),
            }
        }
        for candidate in &candidates {
            if methods.as_ref().is_some_and(|methods: &MethodSet| !methods.contains(&MethodKind::PublicKey)) {
                break;
            }
            match self.offer(candidate, agent.as_mut()).await? {
                Ok(Outcome::In) => return Ok(()),
                Ok(Outcome::Out(left, partial)) => {
                    let verdict = if partial { "accepted, but more is wanted" } else { "refused" };
                    tried.push(format!("{}: {verdict}", candidate.label));
                    methods = Some(left);
                }
                Err(why) => tried.push(format!("{} {why}", candidate.label)),
            }
            if self.handle.is_closed() {
                return Err(self.gone("", &tried));
            }
        }
        let methods = methods.unwrap_or_else(|| MethodSet::from([MethodKind::PublicKey].as_slice()));
        if self.asker.allows_passwords() && self.passwords(&methods, &mut tried).await? {
            return Ok(());
        }
        Err(self.refused(&methods, &tried))
    }

    /// The agent and the keys it holds.
    async fn agent(&self, tried: &mut Vec<String>) -> Option<(Agent, Vec<AgentIdentity>)> {
        let socket = self.route.config.agent.as_ref()?;
        let connect = async {
            let mut agent = Agent::connect(UnixStream::connect(socket).await.map_err(|e| plain(&e))?);
            let keys = agent.request_identities().await.map_err(|e| e.to_string())?;
            Ok((agent, keys))
        };
        let connected = tokio::time::timeout(AGENT_LISTS, connect).await;
        match connected.unwrap_or_else(|_| Err("does not answer".to_owned())) {
            Ok(agent) => Some(agent),
            Err(why) => {
                tried.push(format!("agent at `{}`: {why}", socket.display()));
                None
            }
        }
    }

    /// What to offer: the keys that were asked for, then the agent's, then those SSH would look for.
    async fn candidates(&self, agent: Option<&[AgentIdentity]>, tried: &mut Vec<String>) -> Vec<Candidate> {
        let config = &self.route.config;
        let mut candidates = Vec::new();
        for path in &self.route.keys {
            match self.keyring.load(path, self.asker).await {
                Ok(Some(file)) => self.add_file(file, agent, &mut candidates),
                Ok(None) => tried.push(format!("key `{}`: no such file", path.display())),
                Err(why) => tried.push(format!("key `{}` {why}", path.display())),
            }
        }
        let mut files = Vec::new();
        for path in config.identity_files.iter().filter(|path| !self.route.keys.contains(path)) {
            match self.keyring.load(path, self.asker).await {
                Ok(Some(file)) => files.push(file),
                Ok(None) => {}
                Err(why) => tried.push(format!("key `{}` {why}", path.display())),
            }
        }
        if !config.identities_only {
            for identity in agent.unwrap_or_default() {
                add(Candidate::of_agent(identity), &mut candidates);
            }
        }
        // A key that needs no question goes before one that does.
        files.sort_by_key(|file| !file.is_open());
        for file in files {
            self.add_file(file, agent, &mut candidates);
        }
        candidates
    }

    fn add_file(&self, file: Arc<KeyFile>, agent: Option<&[AgentIdentity]>, candidates: &mut Vec<Candidate>) {
        let held = agent.unwrap_or_default().iter().find(|identity| {
            matches!(identity, AgentIdentity::PublicKey { key, .. } if key.key_data() == file.public.key_data())
        });
        let signer = match held {
            Some(identity) if !file.is_open() => Signing::Agent(identity.clone()),
            _ => Signing::File(Arc::clone(&file)),
        };
        let label = format!("key `{}` ({})", file.path.display(), fingerprint(&file.public));
        let named = self.route.config.certificate_files.iter().filter_map(|path| read_certificate(path));
        let certificates = named.filter(|certificate| certificate.public_key() == file.public.key_data());
        for certificate in certificates.chain(file.certificate.clone()) {
            let label = format!("certificate of {label}");
            let (public, signer) = (file.public.clone(), signer.clone());
            add(Candidate { public, certificate: Some(certificate), signer, label }, candidates);
        }
        if file.is_public_only() && held.is_none() {
            return;
        }
        add(Candidate { public: file.public.clone(), certificate: None, signer, label }, candidates);
    }

    /// Offers a key. A reason is one why it could not be offered.
    async fn offer(&mut self, candidate: &Candidate, agent: Option<&mut Agent>) -> Result<Result<Outcome, String>> {
        let hash = match candidate.public.algorithm() {
            Algorithm::Rsa { .. } => match self.handle.best_supported_rsa_hash().await {
                Ok(Some(None)) => return Ok(Err("was not offered: the host takes RSA only with SHA-1".to_owned())),
                Ok(Some(hash)) => hash,
                Ok(None) | Err(_) => Some(HashAlg::Sha512),
            },
            _ => None,
        };
        let (asking, asked) = watch::channel(false);
        let mut hand = Hand { candidate, agent, asker: self.asker, asking };
        let user = self.route.config.user.clone();
        let attempt = async {
            match candidate.certificate.clone() {
                Some(certificate) => {
                    self.handle.authenticate_certificate_with(user, certificate, hash, &mut hand).await
                }
                None => {
                    let public = candidate.public.clone();
                    self.handle.authenticate_publickey_with(user, public, hash, &mut hand).await
                }
            }
        };
        match patiently(self.limit, asked, attempt).await {
            Some(Ok(result)) => Ok(Ok(result.into())),
            Some(Err(Unsigned(why))) => Ok(Err(why)),
            None => Err(late(self.limit, self.route)),
        }
    }

    /// Asks for passwords, in whatever way the host wants them. Whether that got us in.
    async fn passwords(&mut self, methods: &MethodSet, tried: &mut Vec<String>) -> Result<bool> {
        let mut methods = methods.clone();
        if methods.contains(&MethodKind::Password) {
            for attempt in 1..=ATTEMPTS {
                let Some(password) = self.password(attempt).await else { break };
                let user = self.route.config.user.clone();
                let sent = self.handle.authenticate_password(user, password.expose_secret());
                match within(self.limit, self.route, sent).await?.map_err(|e| self.gone(&e.to_string(), tried))?.into()
                {
                    Outcome::In => return Ok(true),
                    Outcome::Out(left, partial) => {
                        let verdict = if partial { "accepted, but more is wanted" } else { "refused" };
                        tried.push(format!("password: {verdict}"));
                        methods = left;
                        if partial {
                            break;
                        }
                    }
                }
                if self.handle.is_closed() {
                    return Err(self.gone("", tried));
                }
            }
        }
        if methods.contains(&MethodKind::KeyboardInteractive) {
            for attempt in 1..=ATTEMPTS {
                match self.dialogue(attempt).await? {
                    Some(true) => return Ok(true),
                    Some(false) => tried.push("answers to the host's questions: refused".to_owned()),
                    None => break,
                }
                if self.handle.is_closed() {
                    return Err(self.gone("", tried));
                }
            }
        }
        Ok(false)
    }

    /// One dialogue with the host (keyboard-interactive): in, refused, or not answered.
    async fn dialogue(&mut self, attempt: u8) -> Result<Option<bool>> {
        let user = self.route.config.user.clone();
        let started = self.handle.authenticate_keyboard_interactive_start(user, None);
        let mut reply = within(self.limit, self.route, started).await?;
        for _ in 0..ROUNDS {
            let prompts = match reply.map_err(|e| self.gone(&e.to_string(), &[]))? {
                KeyboardInteractiveAuthResponse::Success => return Ok(Some(true)),
                KeyboardInteractiveAuthResponse::Failure { .. } => return Ok(Some(false)),
                KeyboardInteractiveAuthResponse::InfoRequest { prompts, .. } => prompts,
            };
            let mut answers = Vec::new();
            for prompt in &prompts {
                let is_password = !prompt.echo && prompt.prompt.to_lowercase().contains("password");
                let answer = if is_password {
                    self.password(attempt).await
                } else {
                    let (login, text) = (self.route.login(), prompt.prompt.clone());
                    self.asker.ask(Question::Challenge { login, text, echo: prompt.echo }).await
                };
                let Some(answer) = answer else { return Ok(None) };
                answers.push(answer.expose_secret().to_owned());
            }
            let answered = self.handle.authenticate_keyboard_interactive_respond(answers);
            reply = within(self.limit, self.route, answered).await?;
        }
        Ok(Some(false))
    }

    async fn password(&self, attempt: u8) -> Option<SecretString> {
        self.asker.ask(Question::Password { login: self.route.login(), attempt }).await
    }

    /// The host hung up during the login, as it does after too many attempts.
    fn gone(&self, why: &str, tried: &[String]) -> Error {
        let reason = self.lost.reason().unwrap_or_else(|| why.to_owned());
        let error = Error::new(Kind::Auth, format!("`{}` ended the login", self.route.login()));
        let error = if reason.is_empty() { error } else { error.because(reason) };
        self.hints(tried.iter().fold(error, Error::because))
            .hint("a host allows only so many attempts: name the right key, or set `IdentitiesOnly yes`")
    }

    fn refused(&self, methods: &MethodSet, tried: &[String]) -> Error {
        let error = Error::new(Kind::Auth, format!("`{}` refused every way to log in", self.route.login()));
        let mut error = tried.iter().fold(error, Error::because);
        if tried.is_empty() {
            error = error.because("there is no key to offer");
        }
        let takes: Vec<&str> = methods.iter().map(Into::into).filter(|method| *method != "none").collect();
        if !takes.is_empty() {
            error = error.because(format!("it takes {}", takes.join(", ")));
        }
        self.hints(error)
    }

    fn hints(&self, error: Error) -> Error {
        let error = error.hint(format!("`{}` tries the same with OpenSSH", self.route.ssh_command()));
        match self.lost.banner() {
            Some(banner) => error.note(banner),
            None => error,
        }
    }
}

impl From<AuthResult> for Outcome {
    fn from(result: AuthResult) -> Self {
        match result {
            AuthResult::Success => Self::In,
            AuthResult::Failure { remaining_methods, partial_success } => Self::Out(remaining_methods, partial_success),
        }
    }
}

impl Candidate {
    fn of_agent(identity: &AgentIdentity) -> Self {
        let (public, certificate, comment) = match identity {
            AgentIdentity::PublicKey { key, comment } => (key.clone(), None, comment),
            AgentIdentity::Certificate { certificate, comment } => {
                let public = PublicKey::new(certificate.public_key().clone(), "");
                (public, Some(certificate.clone()), comment)
            }
        };
        let label = format!("agent's key `{}` ({})", comment.escape_debug(), fingerprint(&public));
        Self { public, certificate, signer: Signing::Agent(identity.clone()), label }
    }
}

/// Adds a candidate that is not there yet: hosts count what they refuse.
fn add(candidate: Candidate, candidates: &mut Vec<Candidate>) {
    let same = |other: &Candidate| {
        other.public.key_data() == candidate.public.key_data() && other.certificate == candidate.certificate
    };
    if !candidates.iter().any(same) {
        candidates.push(candidate);
    }
}

async fn within<T>(limit: Duration, route: &Route, answer: impl Future<Output = T>) -> Result<T> {
    tokio::time::timeout(limit, answer).await.map_err(|_| late(limit, route))
}

fn late(limit: Duration, route: &Route) -> Error {
    Error::new(Kind::Unreachable, format!("cannot log in to `{}`", route.name)).because(format!(
        "{} did not answer within {} s",
        route.login(),
        limit.as_secs_f32()
    ))
}

/// Waits for the host, but not while the user is thinking.
async fn patiently<T>(limit: Duration, mut asked: watch::Receiver<bool>, answer: impl Future<Output = T>) -> Option<T> {
    tokio::pin!(answer);
    loop {
        let thinking = *asked.borrow_and_update();
        tokio::select! {
            answer = &mut answer => return Some(answer),
            () = tokio::time::sleep(limit), if !thinking => return None,
            changed = asked.changed() => if changed.is_err() { return Some(answer.await) },
        }
    }
}

/// Signs for one candidate.
struct Hand<'a> {
    candidate: &'a Candidate,
    agent: Option<&'a mut Agent>,
    asker: &'a Asker,
    asking: watch::Sender<bool>,
}

/// Why there is no signature.
struct Unsigned(String);

impl From<russh::SendError> for Unsigned {
    fn from(_: russh::SendError) -> Self {
        Self("was not offered: the connection is lost".to_owned())
    }
}

impl russh::Signer for Hand<'_> {
    type Error = Unsigned;

    async fn auth_sign(
        &mut self,
        _key: &AgentIdentity,
        hash: Option<HashAlg>,
        data: Vec<u8>,
    ) -> Result<Vec<u8>, Unsigned> {
        self.asking.send_replace(true);
        let signed = self.sign(hash, data).await;
        self.asking.send_replace(false);
        signed.map_err(Unsigned)
    }
}

impl Hand<'_> {
    async fn sign(&mut self, hash: Option<HashAlg>, mut data: Vec<u8>) -> Result<Vec<u8>, String> {
        match &self.candidate.signer {
            Signing::File(file) => {
                let key = file.private(self.asker).await?;
                let signature = sign(key.key_data(), hash, &data).map_err(|e| format!("cannot sign: {e}"))?;
                signature.encode(&mut data).map_err(|e| format!("cannot sign: {e}"))?;
                Ok(data)
            }
            Signing::Agent(identity) => {
                let agent = self.agent.as_mut().ok_or("is in no agent")?;
                let signed = tokio::time::timeout(AGENT_SIGNS, agent.sign_request(identity, hash, data)).await;
                signed
                    .map_err(|_| format!("was not signed with by the agent within {} s", AGENT_SIGNS.as_secs()))?
                    .map_err(|e| format!("was not signed with by the agent: {e}"))
            }
        }
    }
}

/// The signature over `data`, as it is sent.
fn sign(key: &KeypairData, hash: Option<HashAlg>, data: &[u8]) -> Result<Vec<u8>, signature::Error> {
    let signature: russh::keys::ssh_key::Signature = match key {
        KeypairData::Rsa(rsa) => signature::Signer::try_sign(&(rsa, hash), data)?,
        other => signature::Signer::try_sign(other, data)?,
    };
    let mut encoded = Vec::new();
    signature.encode(&mut encoded).map_err(signature::Error::from_source)?;
    Ok(encoded)
}
