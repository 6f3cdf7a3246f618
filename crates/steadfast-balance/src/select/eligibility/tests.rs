use super::*;
use crate::pool::Pool;
use crate::pool::handle::PoolHandle;
use crate::pool::tests::pool;
use crate::select::request_context::RequestContext;
use std::sync::Arc;
use steadfast_core::layer::{Next, RecordAttempts};
use steadfast_core::{LimitKey, Trail};
use tokio::time::advance;

const MILLI: Duration = Duration::from_millis(1);
const NAMES: [&str; 3] = ["0", "1", "2"];

/// Changes the state of an endpoint at random.
fn change(pool: &Arc<Pool>, rng: &mut fastrand::Rng, now: Instant) {
    let handle = PoolHandle::new(pool.clone());
    let at = rng.usize(..NAMES.len());
    let (name, wait) = (NAMES[at], MILLI * rng.u32(..3_000));
    let snapshot = pool.snapshot();
    let endpoint = &*snapshot.active()[at].state;
    let changed = match rng.usize(..12) {
        0 => handle.cool(name, wait),
        1 => handle.cool_key(name, &LimitKey::new(["m", "n"][rng.usize(..2)]), wait),
        2 => handle.trip(name),
        3 => handle.restore(name),
        4 => {
            // Up to twice the smallest bound of a slow start.
            match endpoint.load.in_flight() {
                20.. => (0..20).for_each(|_| endpoint.load.leave()),
                _ => (0..10).for_each(|_| endpoint.load.enter(endpoint.since_start(now))),
            }
            Ok(())
        }
        5 => {
            endpoint.load.begin_slow_start();
            Ok(())
        }
        6 => {
            endpoint.load.has_failed(endpoint.since_start(now));
            Ok(())
        }
        // Often, or few endpoints would be free.
        _ => handle.reset(name),
    };
    changed.expect("known");
}

/// Returns an attempt with a random outcome at a random endpoint.
fn attempt(rng: &mut fastrand::Rng, now: Instant) -> Attempt {
    let classes = [
        Class::RateLimited,
        Class::Connect,
        Class::Timeout,
        Class::ServerError,
        Class::ContextTooLong,
        Class::Unauthorized,
    ];
    let class = classes[rng.usize(..classes.len())];
    let hint = rng.bool().then(|| MILLI * rng.u32(..5_000));
    let verdict = Verdict::new(class).with_hint(hint);
    let mut attempt = Attempt::new(now - MILLI * 100, verdict);
    attempt.endpoint = Some(EndpointName::new(NAMES[rng.usize(..NAMES.len())]));
    attempt.silent = class == Class::Timeout;
    attempt
}

/// Returns a request with a random past.
fn request(rng: &mut fastrand::Rng, now: Instant) -> RequestContext {
    let trail = Trail::new();
    for _ in 0..rng.usize(..4) {
        trail.record(attempt(rng, now));
    }
    if rng.bool() {
        trail.set_next([Next::Now, Next::At(now)][rng.usize(..2)]);
    }
    let key = [None, Some("m"), Some("n")][rng.usize(..3)].map(LimitKey::new);
    let tokens = rng.bool().then(|| rng.u64(1..100));
    let deadline = rng.bool().then(|| MILLI * rng.u32(..10_000));
    RequestContext {
        trail: Some(trail),
        deadline: deadline.map(|deadline| Deadline::at(now + deadline)),
        demand: Demand::new(key.as_ref(), tokens),
        ..RequestContext::default()
    }
}

/// The fast path decides most requests, and the check decides how long the others wait. A request
/// would wait for an endpoint that is free, or be sent to one that is not, if they differed.
#[tokio::test(start_paused = true)]
async fn fast_path_agrees_with_check() {
    let mut rng = fastrand::Rng::with_seed(7);
    let pool = Arc::new(pool(&[0, 0, 1]));
    let (mut free, mut all) = (0, 0);
    for _ in 0..20_000 {
        advance(MILLI * rng.u32(..200)).await;
        let now = Instant::now();
        change(&pool, &mut rng, now);
        let (context, snapshot) = (request(&mut rng, now), pool.snapshot());
        let eligibility = context.eligibility(&pool.shared, &snapshot);
        let orders = eligibility.orders().map(Stage::Again);
        let stages = [Stage::Untried, Stage::BeforeDegraded, Stage::Better];
        for stage in (stages.into_iter())
            .chain([Stage::Next, Stage::Ever])
            .chain(orders)
        {
            for entry in snapshot.active() {
                let endpoint = &*entry.state;
                let is_now = eligibility.is_now(stage, endpoint, now);
                let check = eligibility.check(stage, endpoint, now);
                assert_eq!(
                    is_now,
                    check == Availability::Now,
                    "{stage:?} {check:?} {endpoint:?}"
                );
                (free, all) = (free + usize::from(is_now), all + 1);
            }
        }
    }
    assert!(free > all / 100 && free < all / 2, "{free} of {all}");
}
