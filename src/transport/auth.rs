//! Logging in: keys from files and from the agent, certificates, and passwords where they are allowed.
//!
//! The private half of a key is needed only once the host has agreed to its public half, so nobody is
//! asked for the passphrase of a key the host does not know.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use russh::client::{AuthResult, Handle, KeyboardInteractiveAuthResponse};
use russh::keys::agent::AgentIdentity;
use russh::keys::{Algorithm, HashAlg};
use russh::{MethodKind, MethodSet};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::watch;

use super::credentials::{self, Agent, Candidate, Hand, Signing, Unsigned, add};
use super::keys::{ATTEMPTS, Asker, KeyFile, Keyring, read_certificate};
use super::known_hosts::fingerprint;
use super::options::Question;
use super::route::Route;
use super::session::{Client, Lost};
use crate::error::{Error, Kind, Result};

/// How many rounds of questions a host may ask.
const ROUNDS: usize = 10;

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
    pub(super) async fn run(mut self) -> Result {
        let mut tried = Vec::new();
        let mut agent = self.agent(&mut tried).await;
        let candidates = self.candidates(agent.as_mut().map(|(_, keys)| keys.as_slice()), &mut tried).await;
        let mut agent = agent.map(|(agent, _)| agent);
        let mut methods = None;
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
        let methods = match methods {
            Some(methods) => methods,
            // Nothing was offered: the host has not said yet what it takes.
            None => match self.nothing(&tried).await? {
                Outcome::In => return Ok(()),
                Outcome::Out(methods, _) => methods,
            },
        };
        if self.asker.allows_passwords() && self.passwords(&methods, &mut tried).await? {
            return Ok(());
        }
        Err(self.refused(&methods, &tried))
    }

    /// Logs in with nothing at all, as a host may allow.
    async fn nothing(&mut self, tried: &[String]) -> Result<Outcome> {
        let asked = self.handle.authenticate_none(&self.route.config.user);
        match within(self.limit, self.route, asked).await? {
            Ok(result) if !self.handle.is_closed() => Ok(result.into()),
            Ok(_) => Err(self.gone("", tried)),
            Err(e) => Err(self.gone(&e.to_string(), tried)),
        }
    }

    /// The agent and the keys it holds.
    async fn agent(&self, tried: &mut Vec<String>) -> Option<(Agent, Vec<AgentIdentity>)> {
        let socket = self.route.config.agent.as_ref()?;
        match credentials::agent(socket).await {
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
                Ok(Some(file)) => self.add_file(&file, agent, &mut candidates),
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
            self.add_file(&file, agent, &mut candidates);
        }
        candidates
    }

    fn add_file(&self, file: &Arc<KeyFile>, agent: Option<&[AgentIdentity]>, candidates: &mut Vec<Candidate>) {
        let held = agent.unwrap_or_default().iter().find(|identity| {
            matches!(identity, AgentIdentity::PublicKey { key, .. } if key.key_data() == file.public.key_data())
        });
        let signer = match held {
            Some(identity) if !file.is_open() => Signing::Agent(Box::new(identity.clone())),
            _ => Signing::File(Arc::clone(file)),
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
            if let Some(certificate) = candidate.certificate.clone() {
                return self.handle.authenticate_certificate_with(user, certificate, hash, &mut hand).await;
            }
            let public = candidate.public.clone();
            self.handle.authenticate_publickey_with(user, public, hash, &mut hand).await
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
                        if partial || !methods.contains(&MethodKind::Password) {
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
