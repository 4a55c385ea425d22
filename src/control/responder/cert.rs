//! This side's half of `cert`: certificates are looked at and issued, as the script asked and for no other name.

use serde_json::{Map, Value};

use super::{Responder, unasked};
use crate::control::resolve::ResolveContext;
use crate::control::{Authority, Control, certificate};
use crate::error::Result;
use crate::op::Parameters;
use crate::ops::Cert;
use crate::wire::{Attachment, Mode};

/// Signs for one authority what one step asks for.
pub(super) struct Signer {
    wish: Cert,
    authority: Authority,
    mode: Mode,
}

impl Responder for Signer {
    fn resolve(
        control: &Control,
        wish: &Parameters,
        _args: &mut Map<String, Value>,
        context: &ResolveContext,
    ) -> Result<Self> {
        let wish: &Cert = wish.of()?;
        Ok(Self { wish: wish.clone(), authority: control.authorities.get(&wish.ca)?, mode: context.mode })
    }

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
