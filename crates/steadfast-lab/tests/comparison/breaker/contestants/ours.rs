use std::time::Duration;

use steadfast_breaker::{CircuitBreaker, CircuitBreakerBuilder, CircuitBreakerLayer, CircuitOpen};
use steadfast_core::{BreakerState, Event, observer_fn};
use steadfast_metrics::EventMetrics;
use tower::{BoxError, Layer};

use super::{
    Backend, Circuit, Contestant, Layered, NotAsked, Outcome, Reaction, Setting, Shape, Time,
    try_it,
};
use crate::breaker::cases::TIMEOUT;

pub(crate) struct Ours;

impl Contestant for Ours {
    fn package(&self) -> &'static str {
        "steadfast-breaker"
    }

    fn configured(&self) -> &'static str {
        "`CircuitBreakerLayer::http` with the defaults, except for the open time, which is 60 s by default: open after five failures in a row, one probe at a time, closed \
         after three. Where a row is about it: `failures_of_last(32, 64)`, `success_threshold(2)`, \
         `abandoned_after` a little less than the timeout, `max_recovery_timeout`, `EventMetrics` as its observer."
    }

    fn time(&self) -> Time {
        Time::Tokio
    }

    fn probes(&self) -> usize {
        1
    }

    fn circuit(&self, setting: &Setting, backend: &Backend) -> Result<Box<dyn Circuit>, NotAsked> {
        let breaker = builder(setting).build().expect("a valid configuration");
        let mut layer = CircuitBreakerLayer::http(breaker);
        if let Shape::TimeoutOutside = setting.shape {
            layer = layer.abandoned_after(TIMEOUT * 9 / 10);
        }
        Ok(Layered::boxed(layer.layer(backend.clone()), outcome))
    }

    fn nonsense(&self) -> Vec<Reaction> {
        let builder = CircuitBreaker::builder;
        let minute = Duration::from_secs(60);
        vec![
            try_it(|| builder().consecutive_failures(0).build()),
            try_it(|| builder().failures_of_last(1, 0).build()),
            try_it(|| builder().failures_of_last(21, 20).build()),
            try_it(|| builder().probes(0).build()),
            try_it(|| builder().success_threshold(0).build()),
            try_it(|| builder().jitter(f64::NAN).build()),
            try_it(|| {
                let builder = builder().recovery_timeout(minute);
                builder.max_recovery_timeout(minute / 2).build()
            }),
        ]
    }
}

fn builder(setting: &Setting) -> CircuitBreakerBuilder {
    let log = setting.log.clone();
    let builder = CircuitBreaker::builder()
        .recovery_timeout(setting.open)
        .observer(observer_fn(move |event| {
            if let Event::Breaker { to, .. } = event {
                log.note(name(*to));
            }
        }));
    match setting.shape {
        Shape::Window => builder
            .consecutive_failures(u32::MAX)
            .failures_of_last(32, 64),
        Shape::SlowProbes => builder.success_threshold(2),
        Shape::Growing => builder.max_recovery_timeout(4 * setting.open),
        Shape::Metrics => builder.observer(EventMetrics::new()),
        _ => builder,
    }
}

fn name(state: BreakerState) -> &'static str {
    match state {
        BreakerState::Closed => "closed",
        BreakerState::Open => "open",
        BreakerState::HalfOpen => "half-open",
    }
}

fn outcome(error: &BoxError) -> Outcome {
    match CircuitOpen::find(&**error) {
        Some(open) => Outcome::Rejected {
            retry_in: open.retry_in(),
        },
        None => Outcome::Failed,
    }
}
