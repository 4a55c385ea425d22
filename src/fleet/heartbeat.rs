//! Heartbeat and cancelling: what an agent is told while a step runs, that this side is here or that it is to stop.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::Mutex;

use crate::wire::{ToAgent, encode, to_frame};

/// How often the agent is told that we are still here.
const PING: Duration = Duration::from_secs(15);

/// Where frames to an agent go.
pub(super) type Writer = Arc<Mutex<Box<dyn AsyncWrite + Send + Unpin>>>;

/// Stops what an agent runs.
#[derive(Clone)]
pub(super) struct Canceller(Writer);

impl Canceller {
    pub(super) fn new(writer: &Writer) -> Self {
        Self(Arc::clone(writer))
    }

    /// Asks the agent to stop the running step.
    pub(super) async fn cancel(&self) {
        let bytes = encode(&to_frame(&ToAgent::Cancel));
        let mut writer = self.0.lock().await;
        let _ = writer.write_all(&bytes).await;
        let _ = writer.flush().await;
    }
}

/// Tells the agent again and again that this side is here, for as long as it can be told.
pub(super) async fn ping(writer: Writer) {
    let bytes = encode(&to_frame(&ToAgent::Ping));
    loop {
        tokio::time::sleep(PING).await;
        let mut writer = writer.lock().await;
        if writer.write_all(&bytes).await.is_err() || writer.flush().await.is_err() {
            return;
        }
    }
}
