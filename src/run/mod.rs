//! A run: its hosts' part in it, the steps that are sent to them, and what becomes of these. It knows no language: a
//! script is one way to call it, `mk do`, `mk facts`, `mk prune` and `mk pending` are others.

mod ad_hoc;
mod admit;
mod dispatch;
mod each;
mod host;
mod notified;
mod outcome;
mod parameters;
mod pipelining;
mod raw;
mod resolved;
mod resume;
mod running;
mod scope;
mod selection;
mod throttle;
mod unmake;

pub(crate) use ad_hoc::ad_hoc;
pub(crate) use admit::SECRET_ARGV;
pub(crate) use dispatch::{Ready, subject_of};
pub(crate) use each::{each, on_each};
pub(crate) use host::Host;
pub(crate) use notified::{earlier, flush, flush_earlier, flush_outside};
pub(crate) use outcome::{Held, Outcome};
pub(crate) use parameters::{
    ASSUME, CHANGED, COMMON, FAILED, NOTIFY, RETRY, Retry, explained, is_common, unknown_field,
};
pub(crate) use resolved::{Wanted, checked, facts, goes_alone};
pub(crate) use resume::{completed, forget_completed, settle, still_holds};
pub(crate) use running::{Run, Settings};
pub(crate) use scope::Scope;
pub(crate) use selection::Selection;
pub(crate) use throttle::HostThrottle;
pub(crate) use unmake::{Unmade, unmake};
