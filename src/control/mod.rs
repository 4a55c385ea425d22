//! What is resolved on this side: sources read, templates rendered, content kept ready for the hosts that
//! ask for it. It knows the operations that have a half on this side, and nothing of connections.

mod archive;
mod artifacts;
mod authority;
mod blobs;
mod certificate;
mod completed;
mod fetch;
mod half;
mod outputs;
mod password;
mod pieces;
mod readings;
mod resolve;
mod secrets;
mod shared;
mod sources;
mod template;
mod texts;
mod tree;
mod unpack;

use std::path::PathBuf;
use std::sync::Arc;

pub use archive::{Archives, Choice};
pub use artifacts::{
    Artifacts, Cache, Completed, Entry, FILE as LOCK, Found as Artifact, MIRROR, Stored, Sums, complete, parse_lock,
    release_arch,
};
pub use authority::{Authorities, Authority, Wish};
pub use blobs::Blobs;
pub use completed::{CompletedPlay, Inputs};
pub use half::{Half, Other};
pub use outputs::has_secret_output;
pub use password::Scheme;
pub use pieces::Pieces;
pub use readings::{Read, Reading, Readings};
pub use resolve::Place;
pub use shared::{Form, Made, Pair, Pairs};
pub use sources::{Base, Found, STDLIB, Sources};
pub use template::Templates;
pub use texts::{Hashing, Texts};

use crate::secret::Secrets;
use crate::state::State;

/// This side's part in the operations of a run.
pub struct Control {
    /// The secrets of the run.
    pub secrets: Secrets,
    /// Content that hosts may ask for.
    pub blobs: Blobs,
    /// Where sources are looked for.
    pub sources: Sources,
    /// What can be done with secrets.
    pub texts: Texts,
    /// Renders templates.
    pub templates: Templates,
    /// What is kept between runs.
    pub state: State,
    /// The certificate authorities.
    pub authorities: Authorities,
    /// The artifacts of the project.
    pub artifacts: Artifacts,
    /// The archives that hosts want something of.
    pub archives: Arc<Archives>,
    fetched: fetch::Fetched,
    /// The shared certificates that this run has asked for.
    pub pairs: Pairs,
}

impl Control {
    /// A control side for the project in a folder.
    pub fn new(project: PathBuf, state: State, secrets: Secrets) -> Self {
        let cache = Cache::of_user();
        let sources = Sources::new(project.clone());
        let texts = Texts::new(secrets.clone(), state.clone());
        Self {
            artifacts: Artifacts::new(project, cache.clone()).noted_by(sources.readings.clone()),
            archives: Arc::new(Archives::new(cache)),
            secrets,
            blobs: Blobs::default(),
            sources,
            templates: Templates::with(&texts),
            texts,
            fetched: fetch::Fetched::default(),
            authorities: Authorities::new(state.clone()),
            state,
            pairs: Pairs::default(),
        }
    }

    /// The half that answers one host's steps.
    pub fn half<'a>(&'a self, host: &'a str) -> Half<'a> {
        Half { control: self, host }
    }
}
