//! The operations, one a file, and the one list of them.
//!
//! Adding one is a file here and a line in [`OPS`]. From the list come the method in scripts, the checking of
//! arguments, check mode, the diff, the documentation and the contract test. Operations do not know each other.

mod authorized_key;
mod block;
mod cert;
mod copy;
mod dir;
mod download;
mod etc_hosts;
mod facts;
mod fetch;
mod file;
mod group;
mod hostname;
mod kernel_module;
mod line;
mod mount;
mod pkg;
mod raw;
mod reboot;
mod run;
mod service;
mod shell;
mod sysctl;
mod systemd;
mod template;
#[cfg(test)]
mod tests;
mod tree;
mod unpack;
mod user;
mod wait;

use crate::error::{Error, Result};
use crate::op;
pub(crate) use crate::op::Spec;
pub(crate) use cert::{Cert, KEY_FITS, LONG_ENOUGH, Usage};
pub(crate) use copy::Copy;
pub(crate) use download::Download;
pub(crate) use fetch::Fetch;
pub(crate) use reboot::Reboot;
pub(crate) use template::Template;
pub(crate) use tree::TreeOf;
pub(crate) use unpack::Unpack;

/// Every operation, by name.
pub static OPS: &[Spec] = &[
    op::resource::<authorized_key::AuthorizedKey>(),
    op::resource::<block::Block>(),
    op::resource::<cert::Cert>(),
    op::resource::<copy::Copy>(),
    op::resource::<dir::Dir>(),
    op::resource::<download::Download>(),
    op::resource::<etc_hosts::EtcHosts>(),
    op::fact::<facts::Facts>(),
    op::resource::<fetch::Fetch>(),
    op::resource::<file::File>(),
    op::resource::<group::Group>(),
    op::resource::<hostname::Hostname>(),
    op::resource::<kernel_module::KernelModule>(),
    op::resource::<line::Line>(),
    op::resource::<mount::Mount>(),
    op::resource::<pkg::Pkg>(),
    op::action::<raw::Raw>(),
    op::action::<reboot::Reboot>(),
    op::action::<run::Run>(),
    op::action::<service::Service>(),
    op::action::<shell::Shell>(),
    op::resource::<sysctl::Sysctl>(),
    op::resource::<systemd::Systemd>(),
    op::resource::<template::Template>(),
    op::resource::<tree::TreeOf>(),
    op::resource::<unpack::Unpack>(),
    op::resource::<user::User>(),
    op::action::<wait::Wait>(),
];

/// The operation of that name.
///
/// # Errors
/// When there is none; offers the nearest.
pub fn find(name: &str) -> Result<&'static Spec> {
    OPS.iter().find(|spec| spec.name == name).ok_or_else(|| {
        let error = Error::playbook(format!("there is no operation `{name}`"));
        error.suggest_or(name, OPS.iter().map(|spec| spec.name), "`mk doc` lists the operations")
    })
}

/// One parameter of an operation, from its type.
#[cfg(feature = "control")]
#[derive(Debug, Clone)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub doc: String,
    /// Its type, in words.
    pub kind: String,
    /// Whether it must be given.
    pub required: bool,
}

/// The parameters of an operation, in the order of its type.
#[cfg(feature = "control")]
pub fn parameters(spec: &Spec) -> Vec<Parameter> {
    use serde_json::Value;
    let schema = (spec.schema)().to_value();
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let Some(properties) = schema["properties"].as_object() else { return Vec::new() };
    let parameter = |(name, of): (&String, &Value)| Parameter {
        name: name.clone(),
        doc: of["description"].as_str().unwrap_or_default().to_owned(),
        kind: kind_of(of, &schema["$defs"]),
        required: required.contains(&name.as_str()),
    };
    properties.iter().map(parameter).collect()
}

/// A schema's type in a word or two.
#[cfg(feature = "control")]
fn kind_of(of: &serde_json::Value, definitions: &serde_json::Value) -> String {
    use serde_json::Value;
    if let Some(name) = of["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return kind_of(&definitions[name], definitions);
    }
    if let Some(options) = of["enum"].as_array().or_else(|| of["oneOf"].as_array()).or_else(|| of["anyOf"].as_array()) {
        let option = |option: &Value| match (option.as_str(), option["const"].as_str()) {
            (Some(text), _) | (None, Some(text)) => format!("\"{text}\""),
            (None, None) => kind_of(option, definitions),
        };
        let mut words: Vec<String> = options.iter().map(option).filter(|word| word != "null").collect();
        words.dedup();
        return words.join(" or ");
    }
    let name = |name: &str| match name {
        "array" => format!("array of {}", kind_of(&of["items"], definitions)),
        "object" => "map".to_owned(),
        "boolean" => "bool".to_owned(),
        name => name.to_owned(),
    };
    match &of["type"] {
        Value::String(one) => name(one),
        Value::Array(several) => several
            .iter()
            .filter_map(Value::as_str)
            .filter(|one| *one != "null")
            .map(name)
            .collect::<Vec<_>>()
            .join(" or "),
        _ => "any".to_owned(),
    }
}
