//! What is resolved on this side: sources read, templates rendered, content kept ready for the hosts that
//! ask for it. It knows the operations that have a half on this side, and nothing of connections.

mod archive;
mod artifacts;
mod authority;
mod certificate;
mod completed;
mod input_tracking;
mod offers;
mod outputs;
mod password;
mod pieces;
mod resolve;
mod responder;
mod secrets;
mod shared_keys;
mod sources;
mod template;
mod texts;

use std::path::PathBuf;
use std::sync::Arc;

pub use archive::{Archives, Choice};
pub use artifacts::{
    Artifacts, Cache, Completed, Entry, FILE as LOCK, Found as Artifact, MIRROR, Stored, Sums, complete, parse_lock,
    release_arch,
};
pub use authority::{Authorities, Authority, AuthoritySpec};
pub use completed::{CompletedPlay, Inputs};
pub use input_tracking::{Input, InputDigests, InputTracker};
pub use offers::{Blobs, Offers};
pub use outputs::has_secret_output;
pub use password::Scheme;
pub use pieces::Pieces;
pub use resolve::ResolveContext;
pub use responder::{Responder, unasked};
pub use shared_keys::{Form, Made, Pair, Pairs};
pub use sources::{Base, Found, STDLIB, Sources};
pub use template::Templates;
pub use texts::{Hashing, Texts};

use crate::secret::Secrets;
use crate::state::StateDir;
use crate::trust::Guard;

/// This side's part in the operations of a run.
pub struct Control {
    /// The secrets of the run.
    pub secrets: Secrets,
    /// What all steps share about content.
    pub blobs: Arc<Blobs>,
    /// Where sources are looked for.
    pub sources: Sources,
    /// What can be done with secrets.
    pub texts: Texts,
    /// Renders templates.
    pub templates: Templates,
    /// What is kept between runs.
    pub state: StateDir,
    /// The certificate authorities.
    pub authorities: Authorities,
    /// The artifacts of the project.
    pub artifacts: Artifacts,
    /// The archives that hosts want something of.
    pub archives: Arc<Archives>,
    fetched: responder::Fetched,
    /// The shared certificates that this run has asked for.
    pub pairs: Pairs,
}

impl Control {
    /// A control side for the project in a folder.
    pub fn new(project: PathBuf, state: StateDir, secrets: Secrets) -> Self {
        let cache = Cache::of_user();
        let sources = Sources::new(project.clone());
        let texts = Texts::new(secrets.clone(), state.clone());
        Self {
            artifacts: Artifacts::new(project, cache.clone()).noted_by(sources.inputs.clone()),
            archives: Arc::new(Archives::new(cache)),
            secrets,
            blobs: Arc::default(),
            sources,
            templates: Templates::with(&texts),
            texts,
            fetched: responder::Fetched::default(),
            authorities: Authorities::new(state.clone()),
            state,
            pairs: Pairs::default(),
        }
    }

    /// Has this one tell what may be obeyed.
    #[must_use]
    pub fn guarded_by(mut self, guard: &Guard) -> Self {
        self.sources = self.sources.guarded_by(guard.clone());
        self.artifacts = self.artifacts.guarded_by(guard.clone());
        self
    }
}
