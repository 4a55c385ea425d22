//! What scripts can call, held against the one list of it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::engine::engine;
use super::functions;
use super::scope::Tag;
use crate::control::Control;
use crate::error::{Error, Result};
use crate::event::{Events, channel};
use crate::fleet::{Agents, Boxed, Connector, Fleet, Options, Pipes, Prompts};
use crate::inventory::{Extras, Inventory};
use crate::run::{Run, Settings};
use crate::secret::Secrets;
use crate::state::StateDir;
use crate::wire::Mode;

/// Connects to nothing.
struct Nowhere;

impl Connector for Nowhere {
    fn connect<'a>(&'a self, host: &'a str) -> Boxed<'a, Result<Box<dyn Pipes>>> {
        Box::pin(async move { Err(Error::internal(format!("a test connects to `{host}`"))) })
    }

    fn become_user(&self, _host: &str) -> Option<String> {
        None
    }
}

impl Prompts for Nowhere {
    fn become_password(&self) -> Option<String> {
        None
    }
}

/// A run without hosts.
pub(super) fn ready(folder: &std::path::Path, runtime: &tokio::runtime::Runtime) -> Arc<Run> {
    let secrets = Secrets::default();
    let events = Events::new(channel().0, secrets.clone(), std::time::Instant::now());
    let inventory = Arc::new(Inventory::none(&Extras::default()));
    let state = StateDir::of(folder, inventory.file());
    let control = Arc::new(Control::new(folder.to_owned(), state, secrets));
    let options = Options {
        forks: 1,
        mode: Mode::Check,
        start_limit: Duration::from_secs(1),
        holder: String::new(),
        lock_wait: Duration::ZERO,
    };
    let fleet = Fleet::new(
        runtime.handle().clone(),
        options,
        events.clone(),
        Arc::clone(&control),
        Agents::none(),
        Box::new(Nowhere),
        Box::new(Nowhere),
    );
    Arc::new(Run::new(fleet, control, inventory, events, Settings::default()))
}

#[test]
fn the_list_of_functions_is_what_the_engine_has() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let engine = engine(&Tag::outermost(&ready(folder.path(), &runtime)));
    let of = |info: rhai::FuncInfo| Some((info.metadata.name.to_string(), info.metadata.num_params));
    // What values of mk's own answer to: properties, comparisons, their texts.
    let inner = |name: &str| name.contains('$') || ["to_string", "to_debug", "==", "!="].contains(&name);
    // A logarithm that is refused.
    let refused = ("log".to_owned(), 2);
    let has = engine.collect_fn_metadata(None, of, true).into_iter();
    let has: BTreeSet<(String, usize)> = has.filter(|one| !inner(&one.0) && *one != refused).collect();
    let listed: BTreeSet<(String, usize)> =
        functions::callable().map(|(name, count)| (name.to_owned(), count)).filter(|(name, _)| !inner(name)).collect();
    let only =
        |a: &BTreeSet<(String, usize)>, b: &BTreeSet<(String, usize)>| a.difference(b).cloned().collect::<Vec<_>>();
    assert_eq!((only(&has, &listed), only(&listed, &has)), (vec![], vec![]), "what is only there, and only listed");
}

/// The language is asked, so that there is no list of its words that could be another than its own.
#[test]
fn what_is_named_can_be_written_in_a_script() {
    #[derive(Clone)]
    struct Thing;
    let written = |name: &str, script: &str| {
        let mut engine = rhai::Engine::new();
        engine.register_type::<Thing>().register_fn("thing", || Thing).register_fn(name, |_: &mut Thing| 42_i64);
        engine.eval::<i64>(script).is_ok_and(|value| value == 42)
    };
    let operations = crate::ops::OPS.iter().map(|spec| spec.name);
    let names = operations.chain(functions::FUNCTIONS.iter().map(|function| function.name));
    let mut wrong: Vec<String> = names
        .filter(|name| !written(name, &format!("thing().{name}()")) || !written(name, &format!("{name}(thing())")))
        .map(str::to_owned)
        .collect();
    let parameters = crate::ops::OPS.iter().flat_map(crate::ops::parameters).map(|parameter| parameter.name);
    for name in parameters.chain(crate::run::COMMON.map(|(name, _)| name.to_owned())) {
        if !written("none", &format!("#{{ {name}: 42 }}.{name}")) {
            wrong.push(name);
        }
    }
    assert!(wrong.is_empty(), "words of the language itself: {wrong:?}");
    assert!(!written("call", "thing().call()") && !written("new", "thing().new()") && !written("as", "#{ as: 42 }.as"));
}
