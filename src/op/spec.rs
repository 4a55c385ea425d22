//! An operation as data: what the registry holds and everything else is made from.

#[cfg(feature = "control")]
use std::any::Any;
#[cfg(feature = "control")]
use std::sync::Arc;

use serde_json::Value;

#[cfg(feature = "control")]
use super::declared::{Removal, Shows};
use super::kind::{Action, Example, Fact, Operation, Resource};
use super::run;
use super::session::Session;
use crate::change::Outcome;
#[cfg(feature = "control")]
use crate::error::Detail;
use crate::error::{Error, Kind, Result};
use crate::sys::Peer;
use crate::wire::Request;

/// Which of the three kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Has a state that is compared.
    Resource,
    /// Is done.
    Action,
    /// Is read.
    Fact,
}

/// What an operation may do at worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Danger {
    /// Only looks.
    Read,
    /// Changes things.
    Write,
    /// Can lose data or take the host away.
    Destroy,
}

/// How a step is run; the same for all operations, whatever their type.
type Run = fn(&Request, &Session, &dyn Peer) -> Result<Outcome>;

/// The parameters of a step as its operation's own type: decoded and validated, once. What travels to the host is what
/// the script wrote; it is decoded there by the same type.
#[cfg(feature = "control")]
#[derive(Clone)]
pub struct Parameters(Arc<dyn Any + Send + Sync>);

#[cfg(feature = "control")]
impl Parameters {
    /// The parameters of this operation.
    ///
    /// # Errors
    /// When they are another one's.
    pub fn of<O: Operation>(&self) -> Result<&O> {
        let found = self.0.downcast_ref();
        found.ok_or_else(|| Error::internal(format!("the parameters of another operation than `{}`", O::NAME)))
    }
}

/// One operation.
pub struct Spec {
    /// The method's name.
    pub name: &'static str,
    /// The parameter that may be given first.
    pub subject: &'static str,
    /// The values that its outcome may have for a script.
    #[cfg(feature = "control")]
    pub values: &'static [&'static str],
    /// Resource, action or fact.
    pub class: Class,
    /// What it may do at worst.
    pub danger: Danger,
    /// How it is used.
    pub examples: &'static [Example],
    /// Runs one step of it.
    pub run: Run,
    /// Decodes and validates parameters, before a host is asked.
    #[cfg(feature = "control")]
    pub check: fn(Value) -> Result<Parameters>,
    /// Decodes those parameters that are given, and finds nothing wrong with what is not.
    #[cfg(feature = "control")]
    pub shape: fn(Value) -> Result,
    /// What of its parameters other users of the host can see.
    #[cfg(feature = "control")]
    pub(crate) shows: Shows,
    /// Whether its programs are never stopped in the middle.
    #[cfg(feature = "control")]
    pub(crate) uncut: bool,
    /// How the things that it makes are taken away.
    #[cfg(feature = "control")]
    pub(crate) removal: Removal,
    /// Where it writes without a parameter that says so.
    #[cfg(feature = "control")]
    pub(crate) places: &'static [&'static str],
    /// Describes the parameters.
    #[cfg(feature = "control")]
    pub schema: fn() -> schemars::Schema,
}

/// A resource's entry in the registry.
pub(crate) const fn resource<R: Resource>() -> Spec {
    spec::<R>(Class::Resource, run::resource::<R>)
}

/// An action's entry in the registry.
pub(crate) const fn action<A: Action>() -> Spec {
    spec::<A>(Class::Action, run::action::<A>)
}

/// A fact's entry in the registry.
pub(crate) const fn fact<F: Fact>() -> Spec {
    spec::<F>(Class::Fact, run::fact::<F>)
}

const fn spec<O: Operation>(class: Class, run: Run) -> Spec {
    Spec {
        name: O::NAME,
        subject: O::SUBJECT,
        #[cfg(feature = "control")]
        values: O::VALUES,
        class,
        danger: O::DANGER,
        examples: O::EXAMPLES,
        run,
        #[cfg(feature = "control")]
        check: |args| Ok(Parameters(Arc::new(decode::<O>(args)?))),
        #[cfg(feature = "control")]
        shape: |args| match parse::<O>(args) {
            Err(e) if !matches!(e.detail(), Some(Detail::MissingField(_))) => Err(e),
            _ => Ok(()),
        },
        #[cfg(feature = "control")]
        shows: O::SHOWS,
        #[cfg(feature = "control")]
        uncut: O::UNCUT,
        #[cfg(feature = "control")]
        removal: O::REMOVAL,
        #[cfg(feature = "control")]
        places: O::PLACES,
        #[cfg(feature = "control")]
        schema: || schemars::schema_for!(O),
    }
}

/// Parameters as the operation's type, validated.
pub(super) fn decode<O: Operation>(args: Value) -> Result<O> {
    let operation = parse::<O>(args)?;
    operation.validate().map_err(|e| e.named(O::NAME).as_kind(Kind::Playbook))?;
    Ok(operation)
}

/// Parameters as the operation's type.
fn parse<O: Operation>(args: Value) -> Result<O> {
    #[cfg(feature = "control")]
    let decoded = serde_path_to_error::deserialize::<_, O>(args).map_err(|e| {
        let path = e.path().to_string();
        let message = e.into_inner().to_string();
        let detail = Detail::of_serde(&path, &message);
        let names_it = matches!(detail, None | Some(Detail::MissingField(_) | Detail::UnknownField { .. }));
        (if names_it { message } else { format!("`{path}`: {message}") }, detail)
    });
    #[cfg(feature = "control")]
    return decoded.map_err(|(message, detail)| {
        let error = Error::playbook(format!("{}: {message}", O::NAME));
        detail.into_iter().fold(error, Error::detailed)
    });
    // What arrives on a host was decoded by the control side already.
    #[cfg(not(feature = "control"))]
    serde_json::from_value::<O>(args).map_err(|e| undecoded(O::NAME, &e))
}

#[cfg(not(feature = "control"))]
fn undecoded(op: &str, error: &serde_json::Error) -> Error {
    Error::playbook(format!("{op}: {error}"))
}
