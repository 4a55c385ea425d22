//! An agent's stderr, what it says beside its frames: nothing, unless it fails.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::task::JoinHandle;

use crate::error::Error;

/// How much of it is kept, in bytes; the end of it, where the reason is.
const KEPT: usize = 2048;

/// Listens to an agent's standard error; unread, that could stop the connection.
pub(super) struct AgentStderr(Option<JoinHandle<Vec<u8>>>);

impl AgentStderr {
    /// Listens from now on.
    pub(super) fn listen(mut stderr: impl AsyncRead + Send + Unpin + 'static) -> Self {
        Self(Some(tokio::spawn(async move {
            let (mut said, mut piece) = (Vec::new(), [0; 4096]);
            while let Ok(count @ 1..) = stderr.read(&mut piece).await {
                said.extend_from_slice(&piece[..count]);
                said.drain(..said.len().saturating_sub(KEPT));
            }
            said
        })))
    }

    /// Adds to an error what the agent said before it went.
    pub(super) async fn heard(&mut self, error: Error) -> Error {
        let Some(listening) = self.0.take() else { return error };
        let said = tokio::time::timeout(Duration::from_millis(300), listening).await;
        let said = said.ok().and_then(Result::ok).unwrap_or_default();
        match String::from_utf8_lossy(&said).trim() {
            "" => error,
            said => error.note(format!("the agent said: {said}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{AgentStderr, KEPT};
    use crate::error::Error;

    #[tokio::test]
    async fn the_end_of_what_was_said_is_added_once() {
        let said = format!("{}panicked at x.rs\n", "noise ".repeat(KEPT));
        let mut stderr = AgentStderr::listen(std::io::Cursor::new(said.into_bytes()));
        let error = stderr.heard(Error::step("lost")).await;
        let text = error.notes().join("");
        assert!(text.starts_with("the agent said: ") && text.ends_with("panicked at x.rs"), "{text}");
        assert!(text.len() < KEPT + 100, "{}", text.len());
        assert!(stderr.heard(Error::step("again")).await.notes().is_empty());
    }
}
