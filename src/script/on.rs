//! `on`: the one place where a script runs for several hosts at once.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use rhai::{Array, Dynamic, EvalAltResult, FnPtr, Map, NativeCallContext};
use serde::Deserialize;

use super::closure::{fingerprint, private, wrote_outside};
use super::engine::STACK;
use super::fault::{from_rhai, throw};
use super::registry::Registry;
use super::results::Results;
use super::scope::{call, scope};
use super::suggestions::near_host_variable;
use super::value::to_json;
use crate::error::{Detail, Error, Kind, Result};
use crate::event::TimeSpentOn;
use crate::op::HumanDuration;
use crate::run::{self, Host, HostThrottle, Run, Scope};

type Raised<T> = std::result::Result<T, Box<EvalAltResult>>;

/// How the hosts of an `on` are gone through.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Plan {
    /// How many at a time: a count, or a share such as `"25%"`. All by default, bounded by `--forks`.
    batch: Option<serde_json::Value>,
    /// How many run at once, of each value of the variable `by`; all that `--forks` allows by default.
    at_once: Option<std::num::NonZeroUsize>,
    /// The variable by which `at_once` counts; hosts without it are counted together.
    by: Option<String>,
    /// How many may fail before the run stops; also a share.
    max_fail: Option<serde_json::Value>,
    /// Hosts that fail stay in the run.
    keep_going: bool,
    /// `"inventory"` (the default), `"reverse"` or `"sorted"`.
    order: Option<String>,
    /// How long to wait between batches.
    pause: Option<HumanDuration>,
}

/// What is wrong with one option of `on`, by its name and, where that is known before the run, its value.
pub(super) fn option(name: &str, value: serde_json::Value) -> Option<Error> {
    if name == "health" {
        return None;
    }
    let known = !value.is_null();
    if known && (name == "batch" || name == "max_fail") {
        return count(Some(&value), 1, name).err();
    }
    if known && name == "order" && !ORDERS.iter().any(|order| value == *order) {
        return Some(no_order(&value.to_string()));
    }
    let plan =
        serde_json::from_value::<Plan>(serde_json::Value::Object([(name.to_owned(), value)].into_iter().collect()));
    let error = Error::options("on", &plan.err()?);
    (known || matches!(error.detail(), Some(Detail::UnknownField { .. }))).then_some(error)
}

/// What came of one host.
enum Came {
    Value(Dynamic),
    Failed(Error),
    Unpredicted(Error),
}

pub(super) fn register(registry: &mut Registry) {
    registry.add("on", |context: NativeCallContext, hosts: Dynamic, closure: FnPtr| -> Raised<Results> {
        on(&context, hosts, Map::new(), &closure)
    });
    registry.add("on", |context: NativeCallContext, hosts: Dynamic, options: Map, closure: FnPtr| -> Raised<Results> {
        on(&context, hosts, options, &closure)
    });
    registry.add("run_once", |context: NativeCallContext, hosts: Dynamic, closure: FnPtr| -> Raised<Dynamic> {
        let run = scope(&context)?.run;
        let all = hosts_of(&run, hosts).map_err(|e| throw(&context, e))?;
        let taking = |host: &Host| run.within_limit(&host.name) && run.failure(&host.name).is_none();
        let Some(first) = all.into_iter().find(taking) else {
            return Ok(Dynamic::UNIT);
        };
        let name = first.name.clone();
        let results = on(&context, Dynamic::from(first), Map::new(), &closure)?;
        match (results.values.get(&name), results.errors.get(&name)) {
            (Some(value), _) => Ok(value.clone()),
            (None, Some(error)) => Err(throw(&context, error.clone())),
            (None, None) => results.get(&name).map_err(|e| throw(&context, e)),
        }
    });
}

/// The hosts that a script means: a host, an array of hosts or names, or a pattern.
pub(super) fn hosts_of(run: &Arc<Run>, hosts: Dynamic) -> Result<Vec<Host>> {
    if let Some(host) = hosts.clone().try_cast::<Host>() {
        return Ok(vec![host]);
    }
    if hosts.is_string() {
        let pattern = hosts.into_immutable_string().unwrap_or_default();
        let chosen = run.inventory.select(&pattern).map_err(|e| e.as_kind(Kind::Playbook))?;
        return Ok(chosen.into_iter().map(|host| Host::new(run, &host.name)).collect());
    }
    if hosts.is_array() {
        let items = hosts.cast::<Array>();
        return items
            .into_iter()
            .map(|item| hosts_of(run, item))
            .collect::<Result<Vec<_>>>()
            .map(|lists| lists.concat());
    }
    Err(Error::playbook(format!("`on` takes hosts or a pattern, not {}", hosts.type_name())))
}

fn on(context: &NativeCallContext, hosts: Dynamic, mut options: Map, closure: &FnPtr) -> Raised<Results> {
    let fail = |e: Error| throw(context, e);
    let scope = scope(context)?;
    let run = &scope.run;
    let health = options
        .remove("health")
        .map(|value| value.try_cast::<FnPtr>().ok_or_else(|| Error::playbook("on: `health` must be a closure")));
    let health = health.transpose().map_err(fail)?;
    let options = to_json(&Dynamic::from(options)).map_err(fail)?;
    let plan: Plan = serde_json::from_value(options).map_err(|e| fail(Error::playbook(format!("on: {e}"))))?;
    let mut hosts: Vec<Host> = hosts_of(run, hosts).map_err(fail)?;
    let named = hosts.len();
    hosts.retain(|host| run.within_limit(&host.name) && run.failure(&host.name).is_none());
    match plan.order.as_deref() {
        None | Some("inventory") => {}
        Some("reverse") => hosts.reverse(),
        Some("sorted") => hosts.sort_by(|a, b| a.name.cmp(&b.name)),
        Some(other) => return Err(fail(no_order(other))),
    }
    let batch = count(plan.batch.as_ref(), hosts.len(), "batch").map_err(fail)?.unwrap_or(hosts.len()).max(1);
    let max_fail = count(plan.max_fail.as_ref(), hosts.len(), "max_fail").map_err(fail)?;
    let order = hosts.iter().map(|host| host.name.clone()).collect();
    let mut results = Results::new(run, order);
    // The real run would go on here with the hosts whose prediction has ended; what they would give is not known.
    results.unpredicted =
        hosts.iter().filter_map(|host| Some((host.name.clone(), run.unpredicted(&host.name)?))).collect();
    hosts.retain(|host| run.takes_part(&host.name));
    let mut batches = hosts.chunks(batch).peekable();
    while let Some(batch) = batches.next() {
        let begun = Instant::now();
        let all = together(context, &scope, batch, closure, &plan);
        // Whoever called waits for these hosts; theirs is what they do meanwhile.
        scope.waited(begun);
        let of_playbook = |came: &Came| matches!(came, Came::Failed(error) if error.kind() == Kind::Playbook);
        let all_wrong = all.iter().all(of_playbook);
        for (host, came) in batch.iter().zip(all) {
            match came {
                Came::Value(value) => drop(results.values.insert(host.name.clone(), value)),
                Came::Unpredicted(error) => {
                    run.unpredict(&host.name, &error);
                    results.unpredicted.insert(host.name.clone(), error);
                }
                Came::Failed(error) if error.kind() == Kind::Interrupted => return Err(fail(error)),
                // What is wrong in the playbook itself is wrong for every host. What is wrong for some only may come of
                // what they said, and ends their part alone.
                Came::Failed(error) if all_wrong => return Err(fail(error)),
                Came::Failed(error) => {
                    if !plan.keep_going || error.kind() == Kind::Playbook {
                        run.fail(&host.name, &error);
                    } else {
                        run.keep(&host.name, &error);
                    }
                    results.errors.insert(host.name.clone(), error);
                }
            }
        }
        let failed = results.errors.len();
        if max_fail.is_some_and(|most| failed > most) {
            let first = results.errors.values().next().cloned();
            let error = Error::step(format!("{failed} of {named} hosts failed, more than `max_fail` allows"));
            return Err(fail(first.map_or(error.clone(), |first| error.because(first))));
        }
        if failed > 0 && failed == results.order.len() && !plan.keep_going {
            let first = results.errors.values().next().cloned();
            let error = first.unwrap_or_else(|| Error::step("no host is left"));
            return Err(fail(error));
        }
        if batches.peek().is_some() {
            if let Some(health) = &health {
                drop(call(context, &scope, health, ())?);
            }
            scope.pause(plan.pause.unwrap_or_default().0).map_err(fail)?;
        } else if let Some(health) = &health
            && !results.values.is_empty()
        {
            drop(call(context, &scope, health, ())?);
        }
    }
    Ok(results)
}

/// What `order` may be.
const ORDERS: [&str; 3] = ["inventory", "reverse", "sorted"];

fn no_order(given: &str) -> Error {
    Error::playbook(format!("on: `order` is `inventory`, `reverse` or `sorted`, not `{given}`"))
}

/// A count, or a share of `all` rounded up.
fn count(value: Option<&serde_json::Value>, all: usize, name: &str) -> Result<Option<usize>> {
    let wrong = || Error::playbook(format!("on: `{name}` is a count such as 2 or a share such as \"25%\""));
    let Some(value) = value else { return Ok(None) };
    if let Some(number) = value.as_u64() {
        return usize::try_from(number).map(Some).map_err(|_| wrong());
    }
    let share = value.as_str().and_then(|text| text.strip_suffix('%')).and_then(|text| text.parse::<usize>().ok());
    match share {
        Some(share) if share <= 100 => Ok(Some((all * share).div_ceil(100))),
        _ => Err(wrong()),
    }
}

/// Runs the closure for these hosts at once, as many as the forks allow.
fn together(context: &NativeCallContext, scope: &Scope, hosts: &[Host], closure: &FnPtr, plan: &Plan) -> Vec<Came> {
    // An `on` inside an `on` runs in its caller's place: the number of threads stays what the user asked for.
    if hosts.len() == 1 || scope.host.is_some() {
        return hosts.iter().map(|host| one(context, &scope.of_host(&host.name), host, closure)).collect();
    }
    let group = |host: &Host| {
        let value = plan.by.as_ref().and_then(|name| scope.run.vars(&host.name).get(name).cloned());
        value.map(|value| value.to_string()).unwrap_or_default()
    };
    let most = plan.at_once.map_or(hosts.len(), std::num::NonZeroUsize::get);
    let throttle = HostThrottle::new(hosts.iter().map(group).collect(), most);
    let came: Mutex<BTreeMap<usize, Came>> = Mutex::default();
    std::thread::scope(|threads| {
        let workers = scope.run.fleet.forks().min(hosts.len());
        let threads: Vec<_> = (0..workers)
            .map(|_| {
                let work = || {
                    while let Some(turn) = throttle.next() {
                        let host = &hosts[turn.index];
                        let result = one(context, &scope.beside().of_host(&host.name), host, closure);
                        came.lock().unwrap_or_else(PoisonError::into_inner).insert(turn.index, result);
                    }
                };
                std::thread::Builder::new().stack_size(STACK).spawn_scoped(threads, work)
            })
            .collect();
        for thread in threads.into_iter().flatten() {
            // A panic is caught where it happens; joining only waits.
            let _ = thread.join();
        }
    });
    let mut came = came.into_inner().unwrap_or_else(PoisonError::into_inner);
    let lost = || Came::Failed(Error::internal("the host's thread could not be started"));
    (0..hosts.len()).map(|index| came.remove(&index).unwrap_or_else(lost)).collect()
}

/// Runs the closure for one host, in a scope that is its own, and then the steps that were notified meanwhile.
fn one(context: &NativeCallContext, scope: &Scope, host: &Host, closure: &FnPtr) -> Came {
    let (begun, run) = (Instant::now(), &scope.run);
    let own = private(closure);
    let before = fingerprint(&own);
    let result = match catch_unwind(AssertUnwindSafe(|| call(context, scope, &own, (host.clone(),)))) {
        Ok(result) => result.map_err(|e| {
            let error = from_rhai(&e, context.call_source().unwrap_or_default());
            near_host_variable(error, run, Some(&host.name))
        }),
        // A step that waited was written before whatever ended the closure.
        Err(panic) => scope.ended(Err(panicked(&panic)), |e| e),
    };
    let result = match wrote_outside(context, &own, &before) {
        Some(error) if result.is_ok() => {
            Err(error.at(super::fault::place(context.call_source(), context.call_position())))
        }
        _ => result,
    };
    // Notified steps run also after a failure: what they are for has been changed already.
    let reachable = !matches!(&result, Err(e) if e.kind().is_connection() || e.kind() == Kind::Interrupted || e.kind() == Kind::Unknown);
    let flushed = if reachable { run::flush(scope, host) } else { Ok(()) };
    let came = match (result, flushed) {
        (Err(error), _) if error.kind() == Kind::Unknown => Came::Unpredicted(error),
        (Err(error), _) | (Ok(_), Err(error)) => Came::Failed(error.on(&host.name)),
        (Ok(value), Ok(())) => Came::Value(super::closure::detach(&value)),
    };
    run.events.spent(TimeSpentOn::Control, Some(&host.name), None, (begun, Instant::now()));
    came
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> Error {
    let text =
        panic.downcast_ref::<&str>().map(|text| (*text).to_owned()).or_else(|| panic.downcast_ref::<String>().cloned());
    Error::internal(text.unwrap_or_else(|| "a panic in the script engine".to_owned()))
}
