//! What a step is to do, made from its parameters: checked, and with what lives on this side.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::admit::admit;
use super::dispatch::Ready;
use super::host::Host;
use super::parameters::{explained, unknown_field};
use super::scope::Scope;
use crate::control::{Base, ResolveContext, Responder};
use crate::error::{Detail, Error, Place, Result};
use crate::op::{Operation, Spec};
use crate::secret::Secrets;
use crate::wire::Attachment;

/// The parameters that travel, checked, and this side's half.
#[derive(Default)]
pub(crate) struct Wanted {
    /// The parameters. A secret in them is a token.
    pub(crate) args: Map<String, Value>,
    /// What answers the host's questions about them.
    pub(crate) responder: Option<Arc<dyn Responder>>,
}

impl Wanted {
    /// Checks the parameters of a call, and fills in what lives on this side. `base` is where paths are found from.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(crate) fn resolve(host: &Host, spec: &Spec, args: Map<String, Value>, base: &Base) -> Result<Self> {
        // Absent and null are the same: a caller can pass on what it was not given.
        let mut args: Map<String, Value> = args.into_iter().filter(|(_, value)| !value.is_null()).collect();
        let run = &host.run;
        let wish = admit(spec, &mut args, &run.control.secrets).map_err(|e| did_you_mean(e, spec))?;
        let names = || {
            let mut names = run.vars(&host.name);
            names.insert("host".to_owned(), host.to_json());
            names
        };
        let responder = run.control.resolve(
            spec.name,
            &wish,
            &mut args,
            &ResolveContext {
                base: base.clone(),
                names: &names,
                host: &host.name,
                mode: run.fleet.mode(),
                arch: &|| Ok(run.fleet.hello(&host.name)?.arch),
            },
        )?;
        Ok(Self { args, responder })
    }

    /// Whether a secret is among the parameters, or in the content that travels with them.
    pub(super) fn is_secret(&self) -> bool {
        let text = self.responder.as_ref().is_some_and(|it| matches!(it.attachment(), Attachment::Text(_)));
        text || self.args.values().any(Secrets::taints)
    }
}

/// An error about parameters, with the nearest right name where a name is wrong.
fn did_you_mean(error: Error, spec: &Spec) -> Error {
    // A field of one of its parameters has other names around it.
    let own = |known: &[String]| known.iter().all(|name| crate::ops::parameters(spec).iter().any(|p| p.name == *name));
    match error.detail() {
        Some(Detail::UnknownField { name, known }) if own(known) => unknown_field(spec, name),
        _ => explained(error, spec.name),
    }
}

/// Whether an operation takes these parameters.
///
/// # Errors
/// Says what is wrong with them.
pub(crate) fn checked(op: &str, args: &Map<String, Value>) -> Result {
    let spec = crate::ops::find(op)?;
    (spec.check)(Value::Object(args.clone())).map(drop).map_err(|e| did_you_mean(e, spec))
}

/// Whether an operation is no step of the agent's, or ends it.
pub(crate) fn goes_alone(spec: &Spec) -> bool {
    ["raw", crate::ops::Reboot::NAME].contains(&spec.name)
}

/// The facts of a host, read once a run; `depth` says how many calls deep the caller is.
///
/// # Errors
/// The step's fault, or that of one that waited.
pub(crate) fn facts(scope: &Scope, host: &Host, at: Place, depth: usize) -> Result<Map<String, Value>> {
    scope.run.facts(&host.name, || {
        let mut ready = Ready::new(scope, host, crate::ops::find("facts")?, Wanted::default(), at);
        ready.depth = depth;
        let sent = scope.send(&ready)?;
        ready.done(&sent, &sent.outcome)?;
        Ok(sent.outcome.of.values)
    })
}
