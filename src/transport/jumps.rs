//! Sessions through other hosts. Those to jump hosts are shared: nine workers behind one jump host cost it
//! one connection.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use super::dialer::Shared;
use super::route::{Route, Via};
use super::session::Session;
use super::stream::{self, Complaints, Stream};
use super::tunnel::Tunnel;
use crate::error::{Error, Kind, Result};

/// The sessions to jump hosts, by all that decides where and how they go. A session nothing runs through
/// any more is closed.
#[derive(Debug, Default)]
pub(super) struct Jumps(Mutex<HashMap<Route, Arc<tokio::sync::Mutex<Slot>>>>);

#[derive(Debug, Default)]
struct Slot {
    session: Weak<Session>,
    failed: Option<(Instant, Error)>,
}

type Started<'a> = Pin<Box<dyn Future<Output = Result<Arc<Session>>> + Send + 'a>>;

/// Connects along a route. Boxed, since a route leads through routes.
pub(super) fn establish<'a>(route: &'a Route, shared: &'a Shared) -> Started<'a> {
    Box::pin(async move {
        let (stream, under) = stream_to(route, shared).await?;
        Session::start(stream, route, shared, under).await
    })
}

/// The bytes to the host of a route, and the session they run through.
pub(super) async fn stream_to(route: &Route, shared: &Shared) -> Result<(Stream, Option<Arc<Session>>)> {
    let (host, port, limit) = (&route.config.hostname, route.config.port, shared.connect_limit(route));
    let failed = |why: String| {
        Error::new(Kind::Unreachable, format!("cannot reach `{}` at {}", route.name, route.address())).because(why)
    };
    match &route.via {
        Via::Direct => Ok((stream::tcp(host, port, limit).await.map_err(failed)?, None)),
        Via::Command(command) => Ok((stream::command(route, command)?, None)),
        Via::Jump(routes) => {
            let session = jump(routes, shared).await.map_err(|e| through(route, routes, &e))?;
            let channel = session.tunnel(host, port, limit).await.map_err(failed)?;
            let bytes = Box::new(Tunnel::new(channel));
            Ok((Stream { bytes, complaints: Complaints::default() }, Some(session)))
        }
    }
}

/// A session with a jump host, by the first route that works.
async fn jump(routes: &[Route], shared: &Shared) -> Result<Arc<Session>> {
    let mut first = None;
    for route in routes {
        match shared.jumps.get(route, shared).await {
            Ok(session) => return Ok(session),
            Err(e) => first = first.or(Some(e)),
        }
    }
    Err(first.unwrap_or_else(|| Error::internal("a jump host without a route")))
}

impl Jumps {
    async fn get(&self, route: &Route, shared: &Shared) -> Result<Arc<Session>> {
        let asked = Instant::now();
        let slot = {
            let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(slots.entry(route.clone()).or_default())
        };
        let mut slot = slot.lock().await;
        if let Some(session) = slot.session.upgrade().filter(|session| !session.is_closed()) {
            return Ok(session);
        }
        // Who waited for an attempt that failed shares its failure; only a later one tries again.
        if let Some((_, error)) = slot.failed.as_ref().filter(|(when, _)| *when >= asked) {
            return Err(error.clone());
        }
        match establish(route, shared).await {
            Ok(session) => {
                *slot = Slot { session: Arc::downgrade(&session), failed: None };
                Ok(session)
            }
            Err(e) => {
                slot.failed = Some((Instant::now(), e.clone()));
                Err(e)
            }
        }
    }
}

/// A jump host's fault as that of the host behind it.
fn through(route: &Route, routes: &[Route], fault: &Error) -> Error {
    let hop = routes.first().map_or("", |hop| hop.name.as_str());
    let error = Error::new(fault.kind(), format!("cannot reach `{}` through `{hop}`", route.name));
    let error = fault.causes().iter().fold(error.because(fault.message()), Error::because);
    let error = fault.hints().iter().cloned().fold(error, Error::hint);
    let error = fault.notes().iter().cloned().fold(error, Error::note);
    match fault.place() {
        Some(place) => error.at(place.clone()),
        None => error,
    }
}
