//! This side's half of `cert`: certificates are looked at and issued, as the script asked and for no other name.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Responder, TwoSided, unasked};
use crate::control::resolve::ResolveContext;
use crate::control::{Authority, Control, certificate};
use crate::error::Result;
use crate::ops::Cert;
use crate::wire::{Attachment, Mode};

/// Signs for one authority what one step asks for.
struct Signer {
    wish: Cert,
    authority: Authority,
    mode: Mode,
}

impl TwoSided for Cert {
    fn resolve(
        &self,
        control: &Control,
        _args: &mut Map<String, Value>,
        context: &ResolveContext,
    ) -> Result<Arc<dyn Responder>> {
        Ok(Arc::new(Signer { wish: self.clone(), authority: control.authorities.get(&self.ca)?, mode: context.mode }))
    }
}

impl Responder for Signer {
    fn attachment(&self) -> Attachment {
        Attachment::Authority(self.authority.fingerprint.clone())
    }

    fn answer(&self, question: &Value) -> Result<Value> {
        // A check changes nothing, and so has nothing signed.
        if question.get("sign").is_some() && self.mode == Mode::Check {
            return Err(unasked("wants a signature"));
        }
        certificate::answer(&self.authority, &self.wish, question)
    }
}
