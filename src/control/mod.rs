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

pub use archive::Archives;
pub(crate) use artifacts::{Artifacts, FILE as LOCK, Found as Artifact, MIRROR, complete};
pub use artifacts::{Cache, Stored, parse_lock};
pub(crate) use authority::{Authorities, Authority, AuthoritySpec};
pub(crate) use completed::{CompletedPlay, CompletedPlays, Inputs};
pub(crate) use input_tracking::InputDigests;
pub(crate) use offers::{Blobs, Offers};
pub(crate) use outputs::{has_secret_output, hushed, kept};
pub(crate) use password::Scheme;
pub(crate) use pieces::Pieces;
pub(crate) use resolve::ResolveContext;
pub(crate) use responder::{Responder, is_read_here, source_of, unasked};
pub(crate) use secrets::{secret, secret_file};
pub(crate) use shared_keys::{Form, Made, SharedKeys};
pub use sources::Sources;
pub(crate) use sources::{Base, Found, STDLIB};
pub use template::Templates;
pub(crate) use texts::{Hashing, Texts};

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
    /// Key pairs and random secrets that hosts share.
    pub shared_keys: SharedKeys,
    /// The playbooks that came to a good end.
    pub completed: CompletedPlays,
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
            shared_keys: SharedKeys::new(state.clone(), secrets.clone()),
            completed: CompletedPlays::new(state.clone()),
            secrets,
            blobs: Arc::default(),
            sources,
            templates: Templates::with(&texts),
            texts,
            fetched: responder::Fetched::default(),
            authorities: Authorities::new(state.clone()),
            state,
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
