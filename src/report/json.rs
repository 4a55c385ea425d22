//! Events as JSON, one a line.

use super::Reporter;
use super::sink::Sink;
use super::text::Text;
use crate::error::Result;
use crate::event::Event;

/// Writes every event as it comes.
pub(crate) struct Json(pub Sink);

impl Reporter for Json {
    fn event(&mut self, event: &Event) {
        self.0.line(&Text::json(event));
    }

    fn finish(&mut self) -> Result {
        self.0.ended()
    }
}
