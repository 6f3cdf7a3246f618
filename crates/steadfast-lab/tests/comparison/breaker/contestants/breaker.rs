use std::io;

use breaker::tower::BreakerLayer;
use breaker::{BackoffStrategy, CircuitBreaker, CircuitBreakerConfig, CircuitBreakerError, State};
use tower::Layer as _;

use super::{
    Ask, Backend, Calling, Circuit, Contestant, Fault, Layered, METRICS_ARE_OFF, NO_SERVICE,
    NO_TIMEOUT, NotAsked, Outcome, Reaction, Setting, Shape, exchange, try_it,
};

/// Its configuration of probes.
const PROBES: usize = 3;

pub(super) struct Value;

pub(super) struct Layer;

impl Contestant for Value {
    fn package(&self) -> &'static str {
        "breaker"
    }

    fn configured(&self) -> &'static str {
        "`CircuitBreaker` with the defaults, as in `standard()`: open after five failures in a row or five \
         of the last ten, three probes. A `failure_predicate` for which a `429` does not count. Where a row is about \
         it: a window of 64 and no rule about failures in a row, `BackoffStrategy::Exponential`, \
         `ExponentialJitter` with the jitter of its examples."
    }

    fn probes(&self) -> usize {
        PROBES
    }

    fn circuit(&self, setting: &Setting, backend: &Backend) -> Result<Box<dyn Circuit>, NotAsked> {
        if let Shape::Layer = setting.shape {
            return Err(NO_SERVICE);
        }
        Ok(Box::new(ValueCircuit {
            breaker: circuit_breaker(setting)?,
            backend: backend.clone(),
        }))
    }

    fn nonsense(&self) -> Vec<Reaction> {
        nonsense()
    }
}

impl Contestant for Layer {
    fn package(&self) -> &'static str {
        "breaker"
    }

    fn name(&self) -> String {
        "`breaker::tower`".to_owned()
    }

    fn configured(&self) -> &'static str {
        "`BreakerLayer` with the same."
    }

    fn probes(&self) -> usize {
        PROBES
    }

    fn circuit(&self, setting: &Setting, backend: &Backend) -> Result<Box<dyn Circuit>, NotAsked> {
        let layer = BreakerLayer::new(circuit_breaker(setting)?);
        let failed = outcome::<io::Error>;
        Ok(Layered::boxed(layer.layer(backend.clone()), failed))
    }

    fn nonsense(&self) -> Vec<Reaction> {
        nonsense()
    }
}

struct ValueCircuit {
    breaker: CircuitBreaker,
    backend: Backend,
}

impl Circuit for ValueCircuit {
    fn call(&self, ask: Ask) -> Calling {
        let (breaker, backend) = (self.breaker.clone(), self.backend.clone());
        Box::pin(async move {
            match breaker.call(move || exchange(backend, ask)).await {
                Ok(()) => Outcome::Answered,
                Err(CircuitBreakerError::Failure(fault)) => fault.outcome(),
                Err(error) => outcome(&error),
            }
        })
    }
}

fn outcome<E>(error: &CircuitBreakerError<E>) -> Outcome {
    match error {
        CircuitBreakerError::CircuitOpen | CircuitBreakerError::Rejected => Outcome::REJECTED,
        CircuitBreakerError::Failure(_) => Outcome::Failed,
    }
}

fn circuit_breaker(setting: &Setting) -> Result<CircuitBreaker, NotAsked> {
    let open = setting.open;
    let (initial, max, factor) = (open, 4 * open, 2.0);
    let config = CircuitBreakerConfig::builder()
        .wait_duration(open)
        .failure_predicate(Fault::counts);
    let config = match setting.shape {
        Shape::TimeoutOutside => return Err(NO_TIMEOUT),
        Shape::Metrics => return Err(METRICS_ARE_OFF),
        Shape::Window => config
            .consecutive_failures(u32::MAX)
            .failure_rate_threshold(0.5)
            .sliding_window_size(64),
        Shape::SlowProbes => config.success_threshold(2),
        Shape::Growing => config.backoff(BackoffStrategy::Exponential {
            initial,
            max,
            factor,
        }),
        Shape::Jittered => config.backoff(BackoffStrategy::ExponentialJitter {
            initial,
            max,
            factor,
            jitter: 1.0,
        }),
        _ => config,
    };
    let log = setting.log.clone();
    let builder = CircuitBreaker::builder(config.build());
    let builder = builder.on_state_change(move |_, to| {
        log.note(match to {
            State::Closed => "closed",
            State::Open => "open",
            State::HalfOpen => "half-open",
        });
    });
    Ok(builder.build())
}

fn nonsense() -> Vec<Reaction> {
    let builder = CircuitBreakerConfig::builder;
    let build = |config: breaker::CircuitBreakerConfigBuilder| {
        try_it(|| Ok::<_, ()>(CircuitBreaker::new(config.build())))
    };
    vec![
        build(builder().consecutive_failures(0)),
        build(builder().sliding_window_size(0)),
        build(builder().failure_rate_threshold(1.1)),
        build(builder().failure_rate_threshold(f32::NAN)),
        build(builder().half_open_max_calls(0)),
        build(builder().success_threshold(0)),
    ]
}
