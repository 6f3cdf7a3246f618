//! Each property of an endpoint, on both sides of its edge.

use steadfast_core::Classified;
use steadfast_testkit::Quota;
use tokio::task::JoinHandle;
use tokio::time::advance;
use tower::ServiceExt;

use super::*;
use crate::world::endpoint::Hint;
use crate::world::latency::Latency;

const SECOND: Duration = Duration::from_secs(1);
const MILLI: Duration = Duration::from_millis(1);

/// What an attempt ended with, and after how long.
type Outcome = (Result<StatusCode, Class>, Duration);

fn world(endpoint: Endpoint) -> World {
    World::new(&[endpoint], None, 1)
}

fn start(world: &World, call: &Call) -> JoinHandle<Outcome> {
    let mut request = call.request();
    *request.uri_mut() = World::uri(&world.0.places[0].endpoint);
    let world = world.clone();
    tokio::spawn(async move {
        let started = Instant::now();
        let result = world.oneshot(request).await;
        let outcome = match result {
            Ok(answer) => Ok(answer.status()),
            Err(error) => Err(Classified::find(&*error)
                .expect("classified")
                .verdict()
                .class()),
        };
        (outcome, started.elapsed())
    })
}

async fn ask(world: &World) -> Outcome {
    start(world, &Call::new(1, 1)).await.expect("no panic")
}

async fn hint(endpoint: Endpoint) -> Option<(String, String)> {
    let world = world(endpoint.requests(Quota::new(4, 10 * SECOND).burst(1)));
    assert!(ask(&world).await.0.is_ok());
    let mut request = Call::new(2, 1).request();
    *request.uri_mut() = "http://a.lab".parse().unwrap();
    let answer = world.oneshot(request).await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
    let (name, value) = answer.headers().iter().next()?;
    Some((name.to_string(), value.to_str().unwrap().to_owned()))
}

#[tokio::test(start_paused = true)]
async fn endpoint_answers_after_latency() {
    let world = world(Endpoint::new("a").latency(Latency::Constant(700 * MILLI)));
    assert_eq!(ask(&world).await, (Ok(StatusCode::OK), 700 * MILLI));
}

/// The first answer comes after a second, so 1.5 of 2.5 s are left when the second one is refused.
#[tokio::test(start_paused = true)]
async fn refusal_has_configured_hint() {
    let some = |name: &str, value: &str| Some((name.to_owned(), value.to_owned()));
    let endpoint = || Endpoint::new("a").refusal(Duration::ZERO);
    assert_eq!(hint(endpoint()).await, some("retry-after", "2"));
    let millis = hint(endpoint().hint(Hint::Millis)).await;
    assert_eq!(millis, some("retry-after-ms", "1500"));
    assert_eq!(hint(endpoint().hint(Hint::Absent)).await, None);
}

#[tokio::test(start_paused = true)]
async fn refused_request_takes_neither_request_nor_tokens() {
    let endpoint = Endpoint::new("a")
        .latency(Latency::Constant(Duration::ZERO))
        .refusal(30 * MILLI)
        .requests(Quota::new(2, 100 * SECOND))
        .tokens(Quota::new(100, 100 * SECOND));
    let world = world(endpoint);
    let send = async |tokens| {
        start(&world, &Call::new(1, tokens))
            .await
            .expect("no panic")
    };
    assert_eq!(send(80).await.0, Ok(StatusCode::OK));
    let limited = (Ok(StatusCode::TOO_MANY_REQUESTS), 30 * MILLI);
    assert_eq!(send(30).await, limited);
    assert_eq!(
        send(20).await.0,
        Ok(StatusCode::OK),
        "the refused one took no request"
    );
    assert_eq!(send(0).await, limited);
}

#[tokio::test(start_paused = true)]
async fn closed_port_refuses_and_breaks_connections() {
    let world = world(Endpoint::new("a").trouble(2..4, Trouble::Refuses));
    advance(1_500 * MILLI).await;
    assert_eq!(ask(&world).await, (Err(Class::Transport), 500 * MILLI));
    assert_eq!(ask(&world).await, (Err(Class::Connect), 30 * MILLI));
    advance(2 * SECOND).await;
    assert_eq!(ask(&world).await.0, Ok(StatusCode::OK));
}

#[tokio::test(start_paused = true)]
async fn attempt_ends_at_attempt_timeout() {
    let endpoint = Endpoint::new("a").trouble(0..10, Trouble::Hangs);
    let world = World::new(&[endpoint], Some(3 * SECOND), 1);
    assert_eq!(ask(&world).await, (Err(Class::Timeout), 3 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn failures_have_configured_share() {
    let endpoint = Endpoint::new("a")
        .trouble(0..9_000, Trouble::Fails(0.25, 503))
        .failures(0.25);
    let world = world(endpoint);
    let mut counts = [0; 3];
    for id in 0..2_000 {
        let call = Call::new(id, 1);
        let kind = match start(&world, &call).await.expect("no panic").0 {
            Ok(StatusCode::SERVICE_UNAVAILABLE) => 0,
            Ok(StatusCode::INTERNAL_SERVER_ERROR) => 1,
            _ => 2,
        };
        counts[kind] += 1;
        assert_eq!(call.failed_first(), kind < 2);
        assert_eq!(
            (call.unlucky_first(), call.bad_luck()),
            (kind == 1, u32::from(kind == 1))
        );
    }
    // 500, 375 and 1125, each give or take four standard deviations.
    for (count, (expected, off)) in counts.into_iter().zip([(500, 78), (375, 70), (1_125, 90)]) {
        assert!(i32::abs_diff(count, expected) < off, "{counts:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn capacity_limits_work_and_cancelled_work_continues() {
    let world = world(Endpoint::new("a").capacity(1));
    let call = Call::new(1, 1);
    let [gone, first, second] = [(); 3].map(|()| start(&world, &call));
    tokio::task::yield_now().await;
    gone.abort();
    assert_eq!(first.await.unwrap(), (Ok(StatusCode::OK), 2 * SECOND));
    assert_eq!(second.await.unwrap(), (Ok(StatusCode::OK), 3 * SECOND));
}

/// One of two slots is left for five seconds. At their end two waiters get a slot at once.
#[tokio::test(start_paused = true)]
async fn trouble_reduces_capacity_until_its_end() {
    let endpoint = Endpoint::new("a")
        .latency(Latency::Constant(4 * SECOND))
        .capacity(2)
        .trouble(0..5, Trouble::Capacity(0.5));
    let world = world(endpoint);
    let calls = [(); 4].map(|()| start(&world, &Call::new(1, 1)));
    let mut took = Vec::new();
    for call in calls {
        took.push(call.await.unwrap().1.as_secs());
    }
    assert_eq!(took, [4, 8, 9, 12]);
}

#[tokio::test(start_paused = true)]
async fn request_has_same_latency_in_every_run() {
    let latency = Latency::LogNormal(SECOND, 0.5);
    let endpoint = || Endpoint::new("a").latency(latency);
    let (one, other) = (world(endpoint()), world(endpoint()));
    for id in 10..20 {
        assert!(start(&other, &Call::new(id, 1)).await.unwrap().0.is_ok());
    }
    let call = || Call::new(1, 1);
    let took = start(&one, &call()).await.unwrap().1;
    assert_eq!(start(&other, &call()).await.unwrap().1, took);
    assert_ne!(start(&one, &Call::new(2, 1)).await.unwrap().1, took);
}

#[tokio::test(start_paused = true)]
async fn attempts_are_counted_per_endpoint_and_tick() {
    let world = world(Endpoint::new("a").requests(Quota::new(1, 100 * SECOND)));
    let call = Call::new(1, 1);
    for _ in 0..2 {
        let _ = start(&world, &call).await;
    }
    assert_eq!((call.attempts(), call.refusals()), (2, 1));
    assert!(!call.failed_first());
    assert_eq!(call.service(), Some((0, SECOND)));
    let mut ticks = vec![0; 11];
    (ticks[0], ticks[10]) = (1, 1);
    assert_eq!(world.attempts(), [ticks]);
}

#[tokio::test(start_paused = true)]
async fn limits_trouble_refuses_all_requests_until_its_end() {
    let endpoint = Endpoint::new("a").trouble(0..10, Trouble::Limits(3 * SECOND));
    assert_eq!(
        hint(endpoint.clone().trouble(0..0, Trouble::Hangs)).await,
        Some(("retry-after".to_owned(), "3".to_owned()))
    );
    let world = world(endpoint);
    let limited = (Ok(StatusCode::TOO_MANY_REQUESTS), 30 * MILLI);
    assert_eq!(ask(&world).await, limited);
    advance(10 * SECOND).await;
    assert_eq!(ask(&world).await.0, Ok(StatusCode::OK));
}

/// Full at the start, so 2 s are given away before the first request. The second one comes half a
/// second before the bucket is full, and the third one three seconds after.
#[tokio::test(start_paused = true)]
async fn unused_quota_is_counted() {
    let endpoint = Endpoint::new("a").requests(Quota::new(1, SECOND).burst(2));
    let world = world(endpoint.latency(Latency::Constant(Duration::ZERO)));
    for wait in [2 * SECOND, SECOND / 2, 9 * SECOND / 2] {
        advance(wait).await;
        assert!(ask(&world).await.0.is_ok());
    }
    assert_eq!(world.unused(), [5.0]);
}

#[tokio::test(start_paused = true)]
async fn attempt_is_in_flight_until_answered() {
    let world = world(Endpoint::new("a"));
    let call = Call::new(1, 1);
    let [left, answered] = [(); 2].map(|()| start(&world, &call));
    tokio::task::yield_now().await;
    assert!(answered.await.is_ok() && left.await.is_ok());
    assert!(!call.is_under_way());
    let left = start(&world, &call);
    tokio::task::yield_now().await;
    left.abort();
    assert!(call.is_under_way());
}

#[tokio::test(start_paused = true)]
async fn random_limits_have_configured_share_and_hint() {
    let world = world(Endpoint::new("a").random_limits(0.25));
    let mut limited = 0i32;
    for id in 0..2_000 {
        let call = Call::new(id, 1);
        let outcome = start(&world, &call).await.expect("no panic").0;
        limited += i32::from(outcome == Ok(StatusCode::TOO_MANY_REQUESTS));
    }
    // 500, give or take four standard deviations.
    assert!(limited.abs_diff(500) < 78, "{limited}");
}

#[tokio::test(start_paused = true)]
async fn quota_of_trouble_ends_with_it() {
    let quota = Quota::new(1, 100 * SECOND);
    let endpoint = Endpoint::new("a")
        .latency(Latency::Constant(Duration::ZERO))
        .trouble(0..10, Trouble::Quota(quota));
    let world = world(endpoint);
    assert_eq!(ask(&world).await.0, Ok(StatusCode::OK));
    assert_eq!(ask(&world).await.0, Ok(StatusCode::TOO_MANY_REQUESTS));
    advance(10 * SECOND).await;
    assert_eq!(ask(&world).await.0, Ok(StatusCode::OK));
}

/// The neighbour takes about ten of the twenty in the first second.
#[tokio::test(start_paused = true)]
async fn neighbour_uses_quota() {
    let endpoint = Endpoint::new("a")
        .latency(Latency::Constant(Duration::ZERO))
        .refusal(Duration::ZERO)
        .requests(Quota::new(20, 1_000 * SECOND))
        .neighbour(10.0);
    let world = world(endpoint);
    tokio::time::sleep(SECOND).await;
    let mut left = 0;
    while ask(&world).await.0 == Ok(StatusCode::OK) {
        left += 1;
    }
    assert!((4..17).contains(&left), "{left}");
}
