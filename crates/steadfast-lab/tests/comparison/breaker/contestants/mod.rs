//! Our breaker, its rivals, and two that are wrong on purpose.

mod breaker;
mod failsafe;
mod ours;
mod recloser;
mod stand_in;
mod tower_resilience;

use std::panic::{AssertUnwindSafe, catch_unwind};

use http::Response;
use http_body::Body;
use tower::{Service, ServiceExt};

use super::ask::{Ask, Calling, Outcome};
use super::backend::{Backend, Fault, exchange, read};
use super::clock::Time;
use super::stage::{Setting, Shape};

pub(crate) use self::ours::Ours;
pub(crate) use self::stand_in::{Naive, Never};

/// Why a contestant has no words for a question.
pub(crate) type NotAsked = &'static str;

const NO_SERVICE: NotAsked = "it is no service";
const NO_TIMEOUT: NotAsked = "a timeout has to be inside of it";
const METRICS_ARE_OFF: NotAsked =
    "its feature `metrics` is off here: the benchmarks of the lab would pay for it";
const NO_METRICS: NotAsked = "it has no metrics";

/// A circuit breaker.
pub(crate) trait Contestant: Sync {
    /// The package in `Cargo.lock`.
    fn package(&self) -> &'static str;

    /// The column's heading.
    fn name(&self) -> String {
        format!("`{}`", self.package())
    }

    /// How it was configured, for the document.
    fn configured(&self) -> &'static str;

    fn time(&self) -> Time {
        Time::Std
    }

    /// The calls that it lets through to learn whether the backend works again, by its own
    /// documentation.
    fn probes(&self) -> usize;

    fn circuit(&self, setting: &Setting, backend: &Backend) -> Result<Box<dyn Circuit>, NotAsked>;

    /// Its reaction to invalid settings.
    fn nonsense(&self) -> Vec<Reaction>;
}

/// A backend with a circuit in front of it.
pub(crate) trait Circuit {
    /// Makes a call through a clone of its own, which does nothing before it is polled.
    fn call(&self, ask: Ask) -> Calling;
}

/// What happened to a configuration that makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reaction {
    Refused,
    Panicked,
    Taken,
}

pub(crate) fn rivals() -> Vec<Box<dyn Contestant>> {
    vec![
        Box::new(breaker::Value),
        Box::new(breaker::Layer),
        Box::new(tower_resilience::TowerResilience),
        Box::new(recloser::Recloser),
        Box::new(failsafe::Failsafe),
    ]
}

/// Builds something and uses it once.
fn try_it<T, E>(build: impl FnOnce() -> Result<T, E>) -> Reaction {
    match catch_unwind(AssertUnwindSafe(build)) {
        Ok(Ok(_)) => Reaction::Taken,
        Ok(Err(_)) => Reaction::Refused,
        Err(_) => Reaction::Panicked,
    }
}

/// The circuit of a layer.
struct Layered<S, E> {
    service: S,
    failed: fn(&E) -> Outcome,
}

impl<S, B, E> Layered<S, E>
where
    S: Service<Ask, Response = Response<B>, Error = E> + Clone + Send + 'static,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    E: Send + 'static,
{
    fn boxed(service: S, failed: fn(&E) -> Outcome) -> Box<dyn Circuit> {
        Box::new(Self { service, failed })
    }
}

impl<S, B, E> Circuit for Layered<S, E>
where
    S: Service<Ask, Response = Response<B>, Error = E> + Clone + Send + 'static,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    E: Send + 'static,
{
    fn call(&self, ask: Ask) -> Calling {
        let (service, failed) = (self.service.clone(), self.failed);
        Box::pin(async move {
            match service.oneshot(ask).await {
                Ok(response) => read(response).await,
                Err(error) => failed(&error),
            }
        })
    }
}
