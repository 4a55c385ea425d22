//! Events as JSON, one a line.

use std::io::Write;

use super::{Reporter, line};
use crate::event::Event;

/// Writes every event as it comes.
pub struct Json<W>(pub W);

impl<W: Write> Reporter for Json<W> {
    fn event(&mut self, event: &Event) {
        // Events are maps with string keys, so serialising them cannot fail.
        line(&mut self.0, &serde_json::to_string(event).unwrap_or_default());
    }
}
