//! What can be offered to a host: keys from files and from an agent, and how each signs.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::ssh_encoding::Encode;
use russh::keys::ssh_key::private::KeypairData;
use russh::keys::{Certificate, HashAlg, PublicKey, signature};
use tokio::net::UnixStream;
use tokio::sync::watch;

use super::keys::{Asker, KeyFile};
use super::known_hosts::fingerprint;
use super::stream::plain;

/// How long an agent may take to list its keys, and to sign: it may wait for a touch or a confirmation.
const AGENT_LISTS: Duration = Duration::from_secs(5);
const AGENT_SIGNS: Duration = Duration::from_mins(1);

/// A connection to an SSH agent.
pub(super) type Agent = AgentClient<UnixStream>;

/// Connects to the agent at a socket and asks what keys it holds.
pub(super) async fn agent(socket: &Path) -> Result<(Agent, Vec<AgentIdentity>), String> {
    let connect = async {
        let mut agent = Agent::connect(UnixStream::connect(socket).await.map_err(|e| plain(&e))?);
        let keys = agent.request_identities().await.map_err(|e| e.to_string())?;
        Ok((agent, keys))
    };
    let connected = tokio::time::timeout(AGENT_LISTS, connect).await;
    connected.unwrap_or_else(|_| Err("does not answer".to_owned()))
}

/// A key to offer.
pub(super) struct Candidate {
    pub public: PublicKey,
    /// Offered instead of the bare key.
    pub certificate: Option<Certificate>,
    pub signer: Signing,
    /// How it is named in a refusal.
    pub label: String,
}

/// What holds the private half of a key.
#[derive(Clone)]
pub(super) enum Signing {
    File(Arc<KeyFile>),
    Agent(Box<AgentIdentity>),
}

impl Candidate {
    /// A key an agent holds.
    pub(super) fn of_agent(identity: &AgentIdentity) -> Self {
        let (public, certificate, comment) = match identity {
            AgentIdentity::PublicKey { key, comment } => (key.clone(), None, comment),
            AgentIdentity::Certificate { certificate, comment } => {
                let public = PublicKey::new(certificate.public_key().clone(), "");
                (public, Some(certificate.clone()), comment)
            }
        };
        let label = format!("agent's key `{}` ({})", comment.escape_debug(), fingerprint(&public));
        Self { public, certificate, signer: Signing::Agent(Box::new(identity.clone())), label }
    }
}

/// Adds a candidate that is not there yet: hosts count what they refuse.
pub(super) fn add(candidate: Candidate, candidates: &mut Vec<Candidate>) {
    let same = |other: &Candidate| {
        other.public.key_data() == candidate.public.key_data() && other.certificate == candidate.certificate
    };
    if !candidates.iter().any(same) {
        candidates.push(candidate);
    }
}

/// Signs for one candidate.
pub(super) struct Hand<'a> {
    pub candidate: &'a Candidate,
    pub agent: Option<&'a mut Agent>,
    pub asker: &'a Asker,
    pub asking: watch::Sender<bool>,
}

/// Why there is no signature.
pub(super) struct Unsigned(pub String);

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
