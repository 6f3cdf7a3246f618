//! The rules of the crates, and the crates themselves: the same calls on the clock of the machine.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use failsafe::futures::CircuitBreaker as _;
use failsafe::{backoff, failure_policy::FailurePolicy as _};
use fastrand::Rng;
use tokio::sync::oneshot::{self, Receiver, Sender};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep};
use tower::{Layer, Service, service_fn};

use crate::breaker::rules::{breaker, failsafe as failsafe_rule, recloser, tower_resilience};
use crate::breaker::{Breaker, End, Ticket};

/// How long all of them stay open.
const OPEN: Duration = Duration::from_millis(40);
/// How often that is waited for.
const WAITS: u32 = 30;

/// A call through a crate, which finally returns whether it was admitted. The receiver has its
/// answer.
type Call = Pin<Box<dyn Future<Output = bool>>>;

/// Sends the same calls through both, some of them at the same time, and some go away.
async fn compare(rule: &mut dyn Breaker, mut start: impl FnMut(Receiver<bool>) -> Call) {
    let mut rng = Rng::with_seed(1);
    let mut under_way: Vec<(Sender<bool>, Call, Ticket)> = Vec::new();
    let (mut opened, mut rejected, mut waits) = (0, 0, 0);
    for step in 0..6_000 {
        // A task that polls without end is made to wait, and so would these calls be.
        yield_now().await;
        let failing = [1.0, 0.05, 0.6, 0.0, 0.9][step / 100 % 5];
        if under_way.len() < 8 && rng.f64() < 0.55 {
            let (sender, receiver) = oneshot::channel();
            let mut call = start(receiver);
            let admitted = poll(&mut call).is_pending();
            let ticket = rule.admit(Instant::now());
            assert_eq!(admitted, ticket.is_some(), "step {step}");
            match ticket {
                Some(ticket) => under_way.push((sender, call, ticket)),
                None => rejected += 1,
            }
        } else if !under_way.is_empty() {
            let any = rng.usize(..under_way.len());
            let (sender, mut call, ticket) = under_way.swap_remove(any);
            let before = rule.is_closed();
            let end = match rng.f64() {
                draw if draw < 0.2 => End::Cancelled,
                _ if rng.f64() < failing => End::Failed,
                _ => End::Succeeded,
            };
            if end != End::Cancelled {
                sender.send(end == End::Succeeded).expect("it waits");
                assert_eq!(poll(&mut call), Poll::Ready(true), "step {step}");
            }
            drop(call);
            rule.record(ticket, end, Instant::now());
            opened += u32::from(before && !rule.is_closed());
        }
        if rejected > 5 {
            // While it is open, the steps come at once. Otherwise the open time could end between
            // the call of the crate and the call of the rule.
            if waits == WAITS {
                break;
            }
            (rejected, waits) = (0, waits + 1);
            sleep(OPEN + OPEN / 4).await;
        }
    }
    assert!(opened >= 3, "it has opened only {opened} times");
}

fn poll(call: &mut Call) -> Poll<bool> {
    call.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

async fn answer(receiver: Receiver<bool>) -> Result<(), ()> {
    match receiver.await {
        Ok(true) => Ok(()),
        _ => Err(()),
    }
}

#[tokio::test]
async fn rule_of_breaker_equals_crate() {
    use ::breaker::{BackoffStrategy, CircuitBreaker, CircuitBreakerConfig, CircuitBreakerError};
    let config = CircuitBreakerConfig::builder();
    let thirty = BackoffStrategy::Fixed(Duration::from_secs(30));
    assert_eq!(config.clone().build().backoff, thirty);
    let crate_breaker = CircuitBreaker::new(config.wait_duration(OPEN).build());
    compare(&mut breaker::Rule::open_for(OPEN), |receiver| {
        let breaker = crate_breaker.clone();
        Box::pin(async move {
            let result = breaker.call(|| answer(receiver)).await;
            matches!(result, Ok(()) | Err(CircuitBreakerError::Failure(())))
        })
    })
    .await;
}

#[tokio::test]
async fn rule_of_recloser_equals_crate() {
    use ::recloser::{AsyncRecloser, Error, Recloser};
    let default = format!("{:?}", Recloser::default());
    assert!(default.contains("open_wait: 30s"), "{default}");
    let recloser = AsyncRecloser::from(Recloser::custom().open_wait(OPEN).build());
    compare(&mut recloser::Rule::open_for(OPEN), |receiver| {
        let call = recloser.call(answer(receiver));
        Box::pin(async move { !matches!(call.await, Err(Error::Rejected)) })
    })
    .await;
}

/// Its average of successes has no effect within the first 30 s, so this covers the rest.
#[tokio::test]
async fn rule_of_failsafe_equals_crate() {
    use ::failsafe::{Config, Error, failure_policy};
    let wait = backoff::constant(OPEN);
    let window = Duration::from_secs(30);
    let rate = failure_policy::success_rate_over_time_window(0.8, 5, window, wait.clone());
    let policy = rate.or_else(failure_policy::consecutive_failures(5, wait));
    let breaker = Config::new().failure_policy(policy).build();
    compare(&mut failsafe_rule::Rule::open_for(OPEN), |receiver| {
        let call = breaker.call(answer(receiver));
        Box::pin(async move { !matches!(call.await, Err(Error::Rejected)) })
    })
    .await;
}

#[tokio::test]
async fn rule_of_tower_resilience_equals_crate() {
    use tower_resilience_circuitbreaker::{CircuitBreakerError, CircuitBreakerLayer};
    let layer = CircuitBreakerLayer::builder().wait_duration_in_open(OPEN);
    let layer = layer.build().expect("a valid configuration");
    let mut service = layer.layer(service_fn(answer));
    compare(&mut tower_resilience::Rule::open_for(OPEN), |receiver| {
        let call = service.call(receiver);
        Box::pin(async move { !matches!(call.await, Err(CircuitBreakerError::OpenCircuit)) })
    })
    .await;
}
