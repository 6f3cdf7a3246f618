use std::time::Duration;

use failsafe::failure_policy::{consecutive_failures, success_rate_over_time_window};
use failsafe::futures::CircuitBreaker;
use failsafe::{Config, Error, FailurePolicy, Instrument, backoff};

use super::{
    Ask, Backend, Calling, Circuit, Contestant, Fault, NO_METRICS, NO_SERVICE, NO_TIMEOUT,
    NotAsked, Outcome, Reaction, Setting, Shape, Time, exchange, try_it,
};
use crate::breaker::stage::Log;

const WINDOW: Duration = Duration::from_secs(30);

pub(super) struct Failsafe;

impl Contestant for Failsafe {
    fn package(&self) -> &'static str {
        "failsafe"
    }

    fn configured(&self) -> &'static str {
        "`futures::CircuitBreaker`. It has the policies and the numbers of its default: it opens below 80 % success over \
         30 s, or after five failures in a row. A predicate for which a `429` is no error. It runs on a clock that a test can move, \
         `failsafe::clock::freeze`, which its documentation hides. Where a row is about it: half over 30 s, at ten calls a \
         second, `backoff::exponential`, `backoff::equal_jittered`."
    }

    fn time(&self) -> Time {
        Time::Failsafe
    }

    /// The state changes with the result of the next call.
    fn probes(&self) -> usize {
        1
    }

    fn circuit(&self, setting: &Setting, backend: &Backend) -> Result<Box<dyn Circuit>, NotAsked> {
        let (open, max) = (setting.open, 4 * setting.open);
        match setting.shape {
            Shape::Layer => Err(NO_SERVICE),
            Shape::TimeoutOutside => Err(NO_TIMEOUT),
            Shape::Metrics => Err(NO_METRICS),
            Shape::Window => {
                let wait = backoff::constant(open);
                let policy = success_rate_over_time_window(0.5, 5, WINDOW, wait);
                Ok(boxed(policy, setting, backend))
            }
            Shape::Growing => Ok(usual(backoff::exponential(open, max), setting, backend)),
            Shape::Jittered => Ok(usual(backoff::equal_jittered(open, max), setting, backend)),
            _ => Ok(usual(backoff::constant(open), setting, backend)),
        }
    }

    fn nonsense(&self) -> Vec<Reaction> {
        let wait = || backoff::constant(WINDOW);
        let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
        let rate = |rate, window| {
            try_it(|| {
                let mut policy = success_rate_over_time_window(rate, 5, window, wait());
                policy.record_success();
                Ok::<_, ()>(policy)
            })
        };
        vec![
            try_it(|| Ok::<_, ()>(consecutive_failures(0, wait()))),
            rate(0.8, Duration::ZERO),
            rate(1.1, WINDOW),
            rate(f64::NAN, WINDOW),
            try_it(|| Ok::<_, ()>(backoff::exponential(second / 2, minute))),
            try_it(|| Ok::<_, ()>(backoff::exponential(minute, second))),
        ]
    }
}

/// The policy of its default, with other open times.
fn usual<T>(wait: T, setting: &Setting, backend: &Backend) -> Box<dyn Circuit>
where
    T: Iterator<Item = Duration> + Clone + Send + Sync + 'static,
{
    let rate = success_rate_over_time_window(0.8, 5, WINDOW, wait.clone());
    boxed(
        rate.or_else(consecutive_failures(5, wait)),
        setting,
        backend,
    )
}

fn boxed<P>(policy: P, setting: &Setting, backend: &Backend) -> Box<dyn Circuit>
where
    P: FailurePolicy + Send + Sync + 'static,
{
    let config = Config::new().failure_policy(policy);
    let config = config.instrument(Told(setting.log.clone()));
    Box::new(FailsafeCircuit {
        breaker: config.build(),
        backend: backend.clone(),
    })
}

struct FailsafeCircuit<B> {
    breaker: B,
    backend: Backend,
}

impl<B> Circuit for FailsafeCircuit<B>
where
    B: CircuitBreaker,
    B::FailurePolicy: 'static,
    B::Instrument: 'static,
{
    fn call(&self, ask: Ask) -> Calling {
        let call = exchange(self.backend.clone(), ask);
        let call = self.breaker.call_with(Fault::counts, call);
        Box::pin(async move {
            match call.await {
                Ok(()) => Outcome::Answered,
                Err(Error::Inner(fault)) => fault.outcome(),
                Err(Error::Rejected) => Outcome::REJECTED,
            }
        })
    }
}

struct Told(Log);

impl Instrument for Told {
    fn on_call_rejected(&self) {}

    fn on_open(&self) {
        self.0.note("open");
    }

    fn on_half_open(&self) {
        self.0.note("half-open");
    }

    fn on_closed(&self) {
        self.0.note("closed");
    }
}
