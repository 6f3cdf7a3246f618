use std::io;

use http::Response;
use tower::Layer;
use tower_resilience_circuitbreaker::{
    CircuitBreakerConfigBuilder, CircuitBreakerError, CircuitBreakerLayer, CircuitState,
    SlidingWindowType,
};

use super::{
    Backend, Circuit, Contestant, Layered, METRICS_ARE_OFF, NO_TIMEOUT, NotAsked, Outcome,
    Reaction, Setting, Shape, try_it,
};
use crate::breaker::backend::Script;

pub(super) struct TowerResilience;

impl Contestant for TowerResilience {
    fn package(&self) -> &'static str {
        "tower-resilience-circuitbreaker"
    }

    fn configured(&self) -> &'static str {
        "`CircuitBreakerLayer::builder()` with `consecutive_failures(5)`, as its documentation shows, and a \
         `failure_classifier` for which an error and a `5xx` are failures. One probe, its default. Where a row is about \
         it: half of a window of 64 calls, and for slow probes a window of time and two probes."
    }

    fn probes(&self) -> usize {
        1
    }

    fn circuit(&self, setting: &Setting, backend: &Backend) -> Result<Box<dyn Circuit>, NotAsked> {
        let log = setting.log.clone();
        let builder = builder(setting)?
            .on_state_transition(move |_, to| {
                log.note(match to {
                    CircuitState::Closed => "closed",
                    CircuitState::Open => "open",
                    CircuitState::HalfOpen => "half-open",
                });
            })
            .failure_classifier(|outcome: &io::Result<Response<Script>>| match outcome {
                Ok(response) => response.status().is_server_error(),
                Err(_) => true,
            });
        let layer = builder.build().expect("a valid configuration");
        Ok(Layered::boxed(layer.layer(backend.clone()), outcome))
    }

    fn nonsense(&self) -> Vec<Reaction> {
        let builder = CircuitBreakerLayer::builder;
        let time_based = SlidingWindowType::TimeBased;
        vec![
            try_it(|| builder().consecutive_failures(0).build()),
            try_it(|| builder().sliding_window_size(0).build()),
            try_it(|| builder().sliding_window_type(time_based).build()),
            try_it(|| builder().failure_rate_threshold(1.1).build()),
            try_it(|| builder().failure_rate_threshold(f64::NAN).build()),
            try_it(|| builder().permitted_calls_in_half_open(0).build()),
        ]
    }
}

fn builder(setting: &Setting) -> Result<CircuitBreakerConfigBuilder, NotAsked> {
    let open = setting.open;
    let builder = CircuitBreakerLayer::builder().wait_duration_in_open(open);
    Ok(match setting.shape {
        Shape::TimeoutOutside => return Err(NO_TIMEOUT),
        Shape::Metrics => return Err(METRICS_ARE_OFF),
        Shape::Window => builder.failure_rate_threshold(0.5).sliding_window_size(64),
        Shape::SlowProbes => builder
            .failure_rate_threshold(0.5)
            .sliding_window_type(SlidingWindowType::TimeBased)
            .sliding_window_duration(open / 2)
            .minimum_number_of_calls(5)
            .permitted_calls_in_half_open(2),
        _ => builder.consecutive_failures(5),
    })
}

fn outcome(error: &CircuitBreakerError<io::Error>) -> Outcome {
    match error {
        CircuitBreakerError::OpenCircuit => Outcome::REJECTED,
        CircuitBreakerError::Inner(_) => Outcome::Failed,
    }
}
