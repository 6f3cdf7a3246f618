//! Circuit breakers.

use std::future::Future;
use std::hint::black_box;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use breaker::tower::BreakerLayer;
use breaker::{CircuitBreaker as PeerBreaker, CircuitBreakerConfig, CircuitBreakerError};
use failsafe::futures::CircuitBreaker as _;
use failsafe::{Config, FailurePolicy, StateMachine, backoff, failure_policy};
use http::{Request, Response};
use recloser::{AsyncRecloser, Recloser};
use steadfast_breaker::{CircuitBreaker, CircuitBreakerLayer, Permit};
use steadfast_core::{Class, Verdict};
use tokio::time::Instant;
use tower::{Layer, Service, service_fn};

use super::Case;
use super::client::{Client, Requests};
use super::request::Body;
use super::tower_resilience::breaker_layer;
use super::upstream::{Answer, Dead, Down, Healthy, LeftAlone, Plan, Upstream};

/// An open breaker stays open during the measurement.
pub(crate) const OPEN: Duration = Duration::from_secs(3600);

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::new("breaker", "bare", || Requests::new(Upstream(Healthy))),
        Case::new("breaker-reject", "bare", || {
            Requests::with(Upstream(Dead), false)
        }),
    ];
    cases.extend(breakers("breaker", || Healthy, true));
    cases.extend(breakers("breaker-reject", || LeftAlone::new(Dead), false));
    cases.extend(values("breaker", true));
    cases.extend(values("breaker-reject", false));
    cases
}

/// Breakers around nothing: each admits a call and records its success, or rejects it.
fn values(group: &'static str, admits: bool) -> Vec<Case> {
    let mut cases = vec![
        Case::new(group, "value-bare", move || {
            Value::new(admits, move || admits)
        }),
        Case::new(group, "value-ours", move || {
            let breaker = ours();
            if !admits {
                breaker.trip();
            }
            Value::new(admits, move || {
                let Ok(permit) = breaker.try_acquire() else {
                    return false;
                };
                match answer(admits) {
                    Ok(()) => permit.record(Verdict::SUCCESS),
                    Err(()) => permit.record(Verdict::new(Class::Connect)),
                }
                true
            })
        }),
        Case::new(group, "value-breaker", move || {
            let breaker = peer();
            let mut value = Value::new(admits, move || {
                let call = breaker.call(|| std::future::ready(answer(admits)));
                is_admitted(now(call), |error| {
                    matches!(error, CircuitBreakerError::CircuitOpen)
                })
            });
            value.open();
            value
        }),
        Case::new(group, "value-recloser", move || {
            let recloser = Arc::new(Recloser::custom().open_wait(OPEN).build());
            let mut value = Value::new(admits, move || {
                let result = recloser.call(|| answer(admits));
                is_admitted(result, |error| matches!(error, recloser::Error::Rejected))
            });
            value.open();
            value
        }),
        Case::new(group, "value-failsafe", move || {
            let breaker = failsafe();
            let mut value = Value::new(admits, move || {
                let result = failsafe::CircuitBreaker::call(&breaker, || answer(admits));
                is_admitted(result, |error| matches!(error, failsafe::Error::Rejected))
            });
            value.open();
            value
        }),
    ];
    if !admits {
        cases.push(Case::new(group, "value-ours-at", move || {
            let breaker = ours();
            breaker.trip();
            let now = Instant::now();
            Value::new(admits, move || breaker.at(now).try_acquire().is_ok())
        }));
    }
    cases
}

fn answer(succeeds: bool) -> Result<(), ()> {
    if black_box(succeeds) { Ok(()) } else { Err(()) }
}

fn is_admitted<E>(result: Result<(), E>, is_rejected: impl FnOnce(&E) -> bool) -> bool {
    !black_box(result).is_err_and(|error| is_rejected(&error))
}

/// The output of a future that does not wait.
fn now<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    match future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("nothing waits"),
    }
}

/// A caller of a breaker and of nothing behind it.
#[derive(Clone)]
struct Value<F> {
    admits: bool,
    ask: F,
}

impl<F: FnMut() -> bool> Value<F> {
    fn new(admits: bool, ask: F) -> Self {
        Self { admits, ask }
    }

    /// Lets calls fail until the breaker rejects them, if rejections are measured.
    fn open(&mut self) {
        while !self.admits && (self.ask)() {}
    }
}

impl<F: FnMut() -> bool + Send + 'static> Client for Value<F> {
    async fn send(&mut self) {
        assert_eq!((self.ask)(), self.admits, "not what the case is about");
    }
}

/// Breakers with their defaults, but for the time that they stay open.
fn breakers<P: Plan>(group: &'static str, plan: fn() -> P, succeed: bool) -> Vec<Case> {
    let upstream = move || Upstream(plan());
    vec![
        Case::new(group, "ours", move || {
            let layer = CircuitBreakerLayer::http(ours());
            Requests::with(layer.layer(upstream()), succeed)
        }),
        Case::new(group, "ours-by-result", move || {
            let layer = CircuitBreakerLayer::new(ours());
            Requests::with(layer.layer(upstream()), succeed)
        }),
        Case::new(group, "ours-value", move || {
            let (breaker, upstream) = (ours(), upstream());
            Requests::with(AskBefore { breaker, upstream }, succeed)
        }),
        Case::new(group, "breaker", move || {
            let layer = BreakerLayer::new(peer());
            Requests::with(layer.layer(upstream()), succeed)
        }),
        Case::new(group, "breaker-value", move || {
            let (breaker, upstream) = (peer(), upstream());
            let service = service_fn(move |request: Request<Body>| {
                let (breaker, mut upstream) = (breaker.clone(), upstream.clone());
                async move { breaker.call(move || upstream.call(request)).await }
            });
            Requests::with(service, succeed)
        }),
        Case::new(group, "recloser", move || {
            let recloser = AsyncRecloser::from(Recloser::custom().open_wait(OPEN).build());
            let mut upstream = upstream();
            let service =
                service_fn(move |request: Request<Body>| recloser.call(upstream.call(request)));
            Requests::with(service, succeed)
        }),
        Case::new(group, "failsafe", move || {
            let (breaker, mut upstream) = (failsafe(), upstream());
            let service =
                service_fn(move |request: Request<Body>| breaker.call(upstream.call(request)));
            Requests::with(service, succeed)
        }),
        Case::new(group, "tower-resilience-circuitbreaker", move || {
            Requests::with(breaker_layer().layer(upstream()), succeed)
        }),
    ]
}

fn ours() -> CircuitBreaker {
    let builder = CircuitBreaker::builder()
        .recovery_timeout(OPEN)
        .max_recovery_timeout(OPEN);
    builder.build().expect("a valid configuration")
}

/// A client that asks a breaker itself. Each thread has a clone of its own.
#[derive(Clone)]
struct AskBefore<P> {
    breaker: CircuitBreaker,
    upstream: Upstream<P>,
}

struct Asked<P>(Option<(Permit, Answer<P, Body>)>);

impl<P: Plan> Service<Request<Body>> for AskBefore<P> {
    type Response = Response<Body>;
    type Error = Down;
    type Future = Asked<P>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Down>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Asked<P> {
        let permit = self.breaker.try_acquire().ok();
        Asked(permit.map(|permit| (permit, self.upstream.call(request))))
    }
}

impl<P: Plan> Future for Asked<P> {
    type Output = Result<Response<Body>, Down>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some((_, answer)) = &mut self.0 else {
            return Poll::Ready(Err(Down));
        };
        let outcome = ready!(Pin::new(answer).poll(cx));
        if let Some((permit, _)) = self.0.take() {
            permit.record(match &outcome {
                Ok(_) => Verdict::SUCCESS,
                Err(_) => Verdict::new(Class::Connect),
            });
        }
        Poll::Ready(outcome)
    }
}

fn peer() -> PeerBreaker {
    PeerBreaker::new(CircuitBreakerConfig::builder().wait_duration(OPEN).build())
}

fn failsafe() -> StateMachine<impl FailurePolicy + Send + Sync, ()> {
    let wait = backoff::constant(OPEN);
    let window = Duration::from_secs(30);
    let rate = failure_policy::success_rate_over_time_window(0.8, 5, window, wait.clone());
    let policy = rate.or_else(failure_policy::consecutive_failures(5, wait));
    Config::new().failure_policy(policy).build()
}
