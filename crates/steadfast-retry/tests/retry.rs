//! What a caller sees: what is sent again, when, and what comes back.

mod support;

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use steadfast_core::layer::RecordAttempts;

use bytes::Bytes;
use http::{HeaderName, Request, Response};
use http_body_util::BodyExt;
use steadfast_core::layer::Next;
use steadfast_core::{
    Attempt, BoxError, Class, Classified, Classify, ClassifyLayer, Deadline, DefaultClassifier,
    Event, Exhausted, RetryBudget, Trail, Verdict, classify_fn, observer_fn,
};
use steadfast_retry::{Backoff, ReplayBody, ResponseBody, RetryOn429Layer, RetryOverride};
use support::{Body, SECOND, answer, layer, limited, request};
use tokio::time::Instant;
use tower::{ServiceBuilder, ServiceExt};

type Answer = Result<Response<String>, BoxError>;
type Returned = Result<Response<ResponseBody<String>>, BoxError>;
type Sent = Arc<Mutex<Vec<(Duration, Bytes)>>>;

/// A client that gives these answers in turn and notes what it is sent, and when.
fn client(
    answers: Vec<Answer>,
) -> (
    impl tower::Service<
        Request<ReplayBody<Body>>,
        Response = Response<String>,
        Error = BoxError,
        Future: Send,
    > + Clone,
    Sent,
) {
    let sent = Sent::default();
    let answers = Arc::new(Mutex::new(VecDeque::from(answers)));
    let start = Instant::now();
    let log = sent.clone();
    let service = tower::service_fn(move |request: Request<ReplayBody<Body>>| {
        let (log, answers) = (log.clone(), answers.clone());
        async move {
            let body = request.into_body().collect().await?.to_bytes();
            log.lock().unwrap().push((start.elapsed(), body));
            answers
                .lock()
                .unwrap()
                .pop_front()
                .expect("no more requests")
        }
    });
    (service, sent)
}

async fn send(
    layer: RetryOn429Layer,
    request: Request<Body>,
    answers: Vec<Answer>,
) -> (Returned, Vec<Duration>) {
    let (client, sent) = client(answers);
    let outcome = layer.layer_oneshot(client, request).await;
    let sent = sent.lock().unwrap();
    assert!(
        sent.iter().all(|(_, body)| body == "hello"),
        "the same bytes each time"
    );
    (outcome, sent.iter().map(|(at, _)| *at).collect())
}

trait LayerOneshot {
    async fn layer_oneshot<S>(self, service: S, request: Request<Body>) -> Returned
    where
        S: tower::Service<Request<ReplayBody<Body>>, Response = Response<String>, Error = BoxError>
            + Clone;
}

impl LayerOneshot for RetryOn429Layer {
    async fn layer_oneshot<S>(self, service: S, request: Request<Body>) -> Returned
    where
        S: tower::Service<Request<ReplayBody<Body>>, Response = Response<String>, Error = BoxError>
            + Clone,
    {
        ServiceBuilder::new()
            .layer(self)
            .service(service)
            .oneshot(request)
            .await
    }
}

fn refused() -> BoxError {
    io::Error::from(io::ErrorKind::ConnectionRefused).into()
}

fn connect() -> BoxError {
    io::Error::from(io::ErrorKind::ConnectionRefused).into()
}

fn reset() -> BoxError {
    io::Error::from(io::ErrorKind::ConnectionReset).into()
}

#[tokio::test(start_paused = true)]
async fn a_429_is_sent_again_after_its_hint() {
    let answers = vec![Ok(limited("2")), Ok(answer(200))];
    let (outcome, sent) = send(layer(), request("POST"), answers).await;
    let response = outcome.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(sent, [Duration::ZERO, 2 * SECOND + SECOND / 2]);

    let trail = Trail::of(response.extensions()).expect("more than one attempt");
    assert_eq!(trail.to_string(), "rate_limited (429), success (200)");
}

#[tokio::test(start_paused = true)]
async fn a_first_success_leaves_no_trace() {
    let (outcome, sent) = send(layer(), request("POST"), vec![Ok(answer(200))]).await;
    assert!(outcome.unwrap().extensions().is_empty());
    assert_eq!(sent.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn gives_up_after_three_attempts_and_returns_the_last_answer_as_it_came() {
    let answers = vec![Ok(limited("1")), Ok(answer(503)), Ok(limited("7"))];
    let (outcome, sent) = send(layer(), request("GET"), answers).await;
    let response = outcome.unwrap();
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()["retry-after"], "7");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!((&body[..], sent.len()), (&b"body"[..], 3));
}

#[tokio::test(start_paused = true)]
async fn a_hint_of_a_day_comes_back_at_once() {
    let (outcome, sent) = send(layer(), request("GET"), vec![Ok(limited("86400"))]).await;
    assert_eq!(outcome.unwrap().headers()["retry-after"], "86400");
    assert_eq!(sent, [Duration::ZERO]);
}

#[tokio::test(start_paused = true)]
async fn no_wait_outlives_the_deadline() {
    for (deadline, attempts) in [(3 * SECOND, 2), (2 * SECOND, 1)] {
        let mut request = request("GET");
        request.extensions_mut().insert(Deadline::after(deadline));
        let start = Instant::now();
        let answers = vec![Ok(limited("2")), Ok(limited("2")), Ok(answer(200))];
        let (outcome, sent) = send(layer(), request, answers).await;
        assert_eq!(outcome.unwrap().status(), 429);
        assert_eq!(sent.len(), attempts);
        assert!(start.elapsed() < deadline);
    }
}

#[tokio::test(start_paused = true)]
async fn the_request_and_its_safety_decide() {
    for (method, key, outcome, attempts) in [
        ("GET", false, Ok(answer(500)), 2),
        ("POST", false, Ok(answer(500)), 1),
        ("POST", true, Ok(answer(500)), 2),
        ("POST", false, Err(reset()), 1),
        ("PUT", false, Err(reset()), 2),
        ("POST", false, Err(refused()), 2),
        ("GET", false, Ok(answer(400)), 1),
        ("GET", false, Ok(answer(401)), 1),
        ("GET", false, Ok(answer(403)), 1),
        ("GET", false, Ok(answer(504)), 1),
        ("GET", false, Ok(answer(402)), 1),
    ] {
        let name = format!("{method} {outcome:?}");
        let mut request = request(method);
        if key {
            request
                .headers_mut()
                .insert("idempotency-key", "1".parse().unwrap());
        }
        let (_, sent) = send(layer(), request, vec![outcome, Ok(answer(200))]).await;
        assert_eq!(sent.len(), attempts, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_500_is_repeated_once_only() {
    let answers = vec![Ok(answer(500)), Ok(answer(500)), Ok(answer(200))];
    let (outcome, sent) = send(layer(), request("GET"), answers).await;
    assert_eq!((outcome.unwrap().status().as_u16(), sent.len()), (500, 2));
}

#[tokio::test(start_paused = true)]
async fn the_server_has_the_last_word_on_the_same_endpoint() {
    for (status, word, attempts) in [(503, "false", 1), (400, "true", 2), (504, "true", 2)] {
        let mut response = answer(status);
        response
            .headers_mut()
            .insert("x-should-retry", word.parse().unwrap());
        let (_, sent) = send(layer(), request("GET"), vec![Ok(response), Ok(answer(200))]).await;
        assert_eq!(sent.len(), attempts, "{status} {word}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_after_several_attempts_tells_what_happened() {
    let answers = vec![Err(refused()), Err(reset()), Err(reset())];
    let (outcome, _) = send(layer(), request("GET"), answers).await;
    let error = outcome.unwrap_err();
    let exhausted = Exhausted::find(&*error).expect("typed");
    assert_eq!(
        exhausted.trail().to_string(),
        "connect, transport, transport"
    );
    let source = std::error::Error::source(exhausted).expect("the last error");
    assert!(source.is::<io::Error>());
}

#[tokio::test(start_paused = true)]
async fn the_error_of_a_lone_attempt_is_passed_on_as_it_is() {
    let (outcome, _) = send(layer(), request("POST"), vec![Err(reset())]).await;
    assert!(outcome.unwrap_err().is::<io::Error>());
}

/// Whoever gets the refusal of the first attempt takes the request for one that was not processed,
/// and sends it again: the second attempt may have done it.
#[tokio::test(start_paused = true)]
async fn what_may_have_been_done_is_not_told_as_a_refusal() {
    let answers = vec![Ok(limited("1")), Err(reset())];
    let (outcome, sent) = send(layer(), request("POST"), answers).await;
    let error = outcome.expect_err("nobody knows");
    let exhausted = Exhausted::find(&*error).expect("after two attempts");
    assert_eq!(sent.len(), 2);
    assert_eq!(exhausted.verdict().class(), Class::Transport);
    assert!(
        error
            .source()
            .is_some_and(|source| source.is::<io::Error>())
    );

    let answers = vec![Ok(limited("1")), Ok(answer(500))];
    let (outcome, _) = send(layer(), request("POST"), answers).await;
    assert_eq!(outcome.unwrap().status(), 500);

    // What says that nothing was done, and what may be done twice.
    let answers = vec![Ok(limited("1")), Err(connect())];
    let (outcome, _) = send(layer().max_attempts(2), request("POST"), answers).await;
    assert_eq!(outcome.unwrap().status(), 429);
    let answers = vec![Ok(limited("1")), Err(reset())];
    let (outcome, _) = send(layer().max_attempts(2), request("PUT"), answers).await;
    assert_eq!(outcome.unwrap().status(), 429);
}

/// When an endpoint is back is known of the balancer. That is no word of the one that was asked.
#[tokio::test(start_paused = true)]
async fn the_time_of_another_endpoint_proves_nothing() {
    for wait in [0, 60] {
        let client = tower::service_fn(move |request: Request<ReplayBody<Body>>| async move {
            let trail = Trail::of(request.extensions()).expect("one that may be retried");
            if trail.is_empty() {
                return Ok(limited("1"));
            }
            trail.set_next(Next::At(Instant::now() + wait * SECOND));
            let verdict = Verdict::new(Class::Overloaded);
            Err(BoxError::from(Classified::new(verdict, "it went away")))
        });
        let service = ServiceBuilder::new().layer(layer()).service(client);
        let error = service.oneshot(request("POST")).await.expect_err("unsafe");
        let exhausted = Exhausted::find(&*error).expect("after two attempts");
        assert_eq!(exhausted.trail().len(), 2);
        assert!(!exhausted.verdict().proves_unprocessed(), "{wait}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_tells_more_than_a_later_error() {
    let answers = vec![Ok(answer(503)), Err(reset()), Err(reset())];
    let (outcome, sent) = send(layer(), request("GET"), answers).await;
    let response = outcome.unwrap();
    assert_eq!((response.status().as_u16(), sent.len()), (503, 3));
    let trail = Trail::of(response.extensions()).expect("three attempts");
    assert_eq!(trail.to_string(), "overloaded (503), transport, transport");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "body", "it was read ahead, and nothing of it is lost");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_known_to_be_too_large_gets_one_attempt() {
    let layer = layer().replay_limit(4);
    let (outcome, sent) = send(layer, request("GET"), vec![Ok(limited("1"))]).await;
    assert_eq!((outcome.unwrap().status().as_u16(), sent.len()), (429, 1));
}

#[tokio::test(start_paused = true)]
async fn one_attempt_or_none_turns_retrying_off() {
    for attempts in [0, 1] {
        let layer = layer().max_attempts(attempts);
        let (outcome, sent) = send(layer, request("GET"), vec![Ok(limited("1"))]).await;
        let response = outcome.unwrap();
        assert_eq!((response.status().as_u16(), sent.len()), (429, 1));
        assert!(response.extensions().is_empty());
    }
}

/// Two retry layers would otherwise make nine attempts of three.
#[tokio::test(start_paused = true)]
async fn nested_layers_do_not_multiply() {
    let (client, sent) = client((0..9).map(|_| Ok(limited("1"))).collect());
    let service = ServiceBuilder::new()
        .layer(layer().clone_body())
        .layer(layer())
        .service(client);
    let response = service.oneshot(request("GET")).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), sent.lock().unwrap().len()),
        (429, 3)
    );
}

#[tokio::test(start_paused = true)]
async fn successes_fill_the_budget_and_failures_empty_it() {
    let budget = RetryBudget::new(20);
    let layer = || layer().budget(budget.clone());

    let answers = vec![Err(reset()), Ok(answer(200))];
    send(layer(), request("GET"), answers).await.0.unwrap();
    assert_eq!(budget.available(), 20, "the retry succeeded");

    let answers = vec![Err(reset()), Err(reset())];
    let (outcome, sent) = send(layer(), request("GET"), answers).await;
    outcome.unwrap_err();
    assert_eq!(sent.len(), 2, "there was enough for one retry");
    assert_eq!(budget.available(), 6);

    let (_, sent) = send(layer(), request("GET"), vec![Err(reset())]).await;
    assert_eq!(sent.len(), 1, "and none is left");

    send(layer(), request("GET"), vec![Ok(answer(200))])
        .await
        .0
        .unwrap();
    assert_eq!(budget.available(), 7, "a first success gives one back");

    let layer = layer().without_budget();
    let answers = vec![Err(reset()), Err(reset()), Err(reset())];
    let (_, sent) = send(layer, request("GET"), answers).await;
    assert_eq!(sent.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_succeeds_gives_back_what_it_cost_and_no_more() {
    let budget = RetryBudget::new(100);
    budget.try_withdraw(50).expect("it is full").spend();
    let answers = vec![Ok(limited("1")), Ok(answer(200))];
    let layer = layer().budget(budget.clone());
    send(layer, request("GET"), answers).await.0.unwrap();
    assert_eq!(budget.available(), 50);
}

/// The budget of a layer is that of its clones, and of every layer that is given it.
#[tokio::test(start_paused = true)]
async fn a_budget_is_shared() {
    let layer = layer().budget(RetryBudget::new(20));
    let other = RetryOn429Layer::new().budget(RetryBudget::new(20));
    for (layer, attempts) in [(layer.clone(), 2), (layer, 1), (other, 2)] {
        let answers = vec![Err(reset()), Err(reset())];
        let (_, sent) = send(layer, request("GET"), answers).await;
        assert_eq!(sent.len(), attempts);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_may_have_rules_of_its_own() {
    for (method, given, attempts) in [
        ("GET", RetryOverride::new(), 3),
        ("GET", RetryOverride::never(), 1),
        ("GET", RetryOverride::new().max_attempts(0), 1),
        ("GET", RetryOverride::new().max_attempts(5), 5),
        ("GET", RetryOverride::new().safe(false), 1),
        ("POST", RetryOverride::new().safe(true), 3),
        ("POST", RetryOverride::new(), 1),
        ("GET", RetryOverride::new().max_wait(Duration::ZERO), 1),
        ("GET", RetryOverride::new().max_wait(SECOND / 2), 2),
    ] {
        let mut request = request(method);
        request.extensions_mut().insert(given);
        let answers = (0..5).map(|_| Err(reset())).collect();
        let (_, sent) = send(layer(), request, answers).await;
        assert_eq!(sent.len(), attempts, "{method} {given:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_function_can_say_what_is_safe() {
    let layer = || layer().safe_if(|head| head.uri.path().ends_with("/search"));
    for (uri, attempts) in [("http://a.test/search", 2), ("http://a.test/orders", 1)] {
        let mut request = request("POST");
        *request.uri_mut() = uri.parse().unwrap();
        let (_, sent) = send(layer(), request, vec![Err(reset()), Ok(answer(200))]).await;
        assert_eq!(sent.len(), attempts, "{uri}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_of_delays_is_kept_to() {
    let backoff = Backoff::list([1, 2, 4].map(Duration::from_secs)).unwrap();
    let layer = layer().backoff(backoff).max_attempts(5);
    let answers = (0..5).map(|_| Ok(answer(503))).collect();
    let (_, sent) = send(layer, request("GET"), answers).await;
    assert_eq!(sent, [0, 1, 3, 7, 11].map(Duration::from_secs));
}

/// Clients of one process would otherwise come back together (tower's `ExponentialBackoffMaker`
/// gives each of its sessions the same waits).
#[tokio::test(start_paused = true)]
async fn two_requests_do_not_wait_alike() {
    let waits = async |layer: RetryOn429Layer| {
        let answers = vec![Err(reset()), Err(reset()), Err(reset())];
        send(layer, request("GET"), answers).await.1
    };
    let layer = RetryOn429Layer::new();
    assert_ne!(waits(layer.clone()).await, waits(layer).await);

    let seeded = || RetryOn429Layer::new().seed(7);
    let (client, sent) = client((0..6).map(|_| Err(reset())).collect());
    let service = ServiceBuilder::new().layer(seeded()).service(client);
    for _ in 0..2 {
        let outcome = service.clone().oneshot(request("GET")).await;
        outcome.unwrap_err();
    }
    let at: Vec<_> = sent.lock().unwrap().iter().map(|(at, _)| *at).collect();
    assert_ne!(at[1] - at[0], at[4] - at[3], "clones share one generator");
    assert_eq!(waits(seeded()).await, waits(seeded()).await);
}

#[tokio::test(start_paused = true)]
async fn a_header_says_which_attempt_it_is() {
    let name = HeaderName::from_static("x-attempt");
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let client = tower::service_fn(move |request: Request<ReplayBody<Body>>| {
        let number = request.headers().get("x-attempt").cloned();
        log.lock()
            .unwrap()
            .push(number.map(|number| number.to_str().unwrap().to_owned()));
        async { Ok::<_, BoxError>(answer(503)) }
    });
    let inner = layer().prepared_body().attempt_header(name.clone());
    let service = ServiceBuilder::new()
        .layer(layer().attempt_header(name.clone()))
        .layer(inner)
        .service(client.clone());
    service.oneshot(request("GET")).await.unwrap();
    let once = layer().max_attempts(1).attempt_header(name);
    once.layer_oneshot(client.clone(), request("GET"))
        .await
        .unwrap();
    layer()
        .max_attempts(1)
        .layer_oneshot(client, request("GET"))
        .await
        .unwrap();

    let seen = seen.lock().unwrap();
    let seen: Vec<_> = seen.iter().map(|number| number.as_deref()).collect();
    assert_eq!(seen, [Some("1"), Some("2"), Some("3"), Some("1"), None]);
}

#[tokio::test(start_paused = true)]
async fn a_closure_can_judge_otherwise() {
    let classifier = classify_fn(|outcome| match outcome {
        Ok(head) if head.status() == 404 => Verdict::new(Class::Overloaded),
        other => DefaultClassifier.classify(other),
    });
    let (client, sent) = client(vec![Ok(answer(404)), Ok(answer(200))]);
    let service = ServiceBuilder::new()
        .layer(layer())
        .layer(ClassifyLayer::new(classifier))
        .service(client);
    assert_eq!(service.oneshot(request("GET")).await.unwrap().status(), 200);
    assert_eq!(sent.lock().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_verdict_at_the_edge_counts() {
    let error = Classified::new(Verdict::new(Class::Timeout), reset());
    let (_, sent) = send(layer(), request("GET"), vec![Err(error.into())]).await;
    assert_eq!(
        sent.len(),
        1,
        "a timeout is not tried again where it happened"
    );
}

#[tokio::test(start_paused = true)]
async fn tells_of_each_wait() {
    let events = Arc::new(Mutex::new(Vec::new()));
    let log = events.clone();
    let layer = layer().observer(observer_fn(move |event| {
        log.lock().unwrap().push(event.clone());
    }));
    send(
        layer,
        request("GET"),
        vec![Ok(limited("2")), Ok(answer(200))],
    )
    .await
    .0
    .unwrap();
    let wait = 2 * SECOND + SECOND / 2;
    let expected = Event::Retry {
        class: Class::RateLimited,
        attempt: 2,
        wait,
    };
    assert_eq!(*events.lock().unwrap(), [expected]);
}

// ===== over a balancer, which is played by closures that write the trail =====

/// Answers for the endpoints, and what the balancer says comes next.
async fn balanced(attempts: Vec<(&'static str, u16, Answer, Next)>) -> (Returned, Duration, usize) {
    balanced_by(layer(), attempts).await
}

async fn balanced_by(
    layer: RetryOn429Layer,
    attempts: Vec<(&'static str, u16, Answer, Next)>,
) -> (Returned, Duration, usize) {
    let attempts = Arc::new(Mutex::new(VecDeque::from(attempts)));
    let left = attempts.clone();
    let client = tower::service_fn(move |request: Request<ReplayBody<Body>>| {
        let trail = Trail::of(request.extensions())
            .expect("the retry layer made it")
            .clone();
        let (endpoint, tier, answer, next) = attempts
            .lock()
            .unwrap()
            .pop_front()
            .expect("no more requests");
        let verdict = match &answer {
            Ok(response) => steadfast_core::layer::verdict_of(Ok(response)),
            Err(error) => DefaultClassifier.classify(Err(&**error)),
        };
        if !endpoint.is_empty() {
            let mut attempt = Attempt::new(Instant::now(), verdict);
            attempt.endpoint = Some(endpoint.into());
            attempt.tier = tier;
            trail.record(attempt);
        }
        trail.set_next(next);
        async move { answer }
    });
    let start = Instant::now();
    let outcome = layer.layer_oneshot(client, request("POST")).await;
    let left = left.lock().unwrap().len();
    (outcome, start.elapsed(), left)
}

#[tokio::test(start_paused = true)]
async fn another_endpoint_is_asked_without_any_sleep() {
    let (outcome, slept, left) = balanced(vec![
        ("a", 0, Ok(limited("60")), Next::Now),
        ("b", 0, Err(refused()), Next::Now),
        ("c", 0, Ok(limited("60")), Next::Now),
        ("d", 1, Ok(limited("60")), Next::Now),
        ("e", 1, Ok(answer(200)), Next::Never),
    ])
    .await;
    let response = outcome.unwrap();
    assert_eq!(
        (response.status().as_u16(), slept, left),
        (200, Duration::ZERO, 0)
    );
    let trail = Trail::of(response.extensions()).expect("five attempts");
    assert_eq!((trail.len(), trail.failovers()), (5, 4));
}

#[tokio::test(start_paused = true)]
async fn the_answer_of_the_lowest_tier_is_the_root_cause() {
    let (outcome, _, _) = balanced(vec![
        ("a", 0, Ok(limited("60")), Next::Now),
        ("b", 0, Ok(limited("90")), Next::Now),
        ("fallback", 1, Ok(answer(401)), Next::Never),
    ])
    .await;
    let response = outcome.unwrap();
    assert_eq!(response.status(), 429);
    assert_eq!(
        response.headers()["retry-after"],
        "90",
        "the last one of its tier"
    );
    assert_eq!(Trail::of(response.extensions()).map(Trail::len), Some(3));
}

#[tokio::test(start_paused = true)]
async fn waits_for_the_soonest_endpoint_although_its_own_hint_is_longer() {
    let soon = Instant::now() + 2 * SECOND;
    let (outcome, slept, _) = balanced(vec![
        ("a", 0, Ok(limited("86400")), Next::At(soon)),
        ("b", 0, Ok(answer(200)), Next::Never),
    ])
    .await;
    assert_eq!(outcome.unwrap().status(), 200);
    assert_eq!(slept, 2 * SECOND + SECOND / 2);
}

#[tokio::test(start_paused = true)]
async fn waits_although_no_endpoint_could_be_asked_yet() {
    let soon = Instant::now() + 2 * SECOND;
    let nobody = || {
        let verdict = Verdict::new(Class::RateLimited).with_hint(Some(2 * SECOND));
        Err(Exhausted::new(Trail::new(), verdict, None).into())
    };
    let (outcome, slept, _) = balanced(vec![
        ("", 0, nobody(), Next::At(soon)),
        ("a", 0, Ok(answer(200)), Next::Never),
    ])
    .await;
    assert_eq!(outcome.unwrap().status(), 200);
    assert_eq!(slept, 2 * SECOND + SECOND / 2);

    let late = Instant::now() + 60 * SECOND;
    let (outcome, slept, _) = balanced(vec![("", 0, nobody(), Next::At(late))]).await;
    let error = outcome.unwrap_err();
    assert_eq!(
        Exhausted::find(&*error).and_then(Exhausted::retry_in),
        Some(2 * SECOND)
    );
    assert_eq!(slept, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn without_any_answer_the_error_says_when_to_come_back() {
    let late = Instant::now() + 60 * SECOND;
    let (outcome, _, _) = balanced(vec![
        ("a", 0, Err(refused()), Next::Now),
        ("b", 1, Err(refused()), Next::At(late)),
    ])
    .await;
    let error = outcome.unwrap_err();
    let exhausted = Exhausted::find(&*error).expect("typed");
    assert_eq!(exhausted.retry_in(), Some(60 * SECOND));
    assert_eq!(exhausted.trail().to_string(), "a: connect, b: connect");
}

/// The one attempt was refused, and the balancer says when it is worth coming back.
#[tokio::test(start_paused = true)]
async fn an_error_says_when_to_come_back_although_there_was_one_attempt() {
    let late = Instant::now() + 600 * SECOND;
    let nobody = || {
        let verdict = Verdict::new(Class::Overloaded).with_hint(Some(600 * SECOND));
        Err(Exhausted::new(Trail::new(), verdict, None).into())
    };
    let (outcome, _, _) = balanced(vec![
        ("a", 0, Err(refused()), Next::At(Instant::now())),
        ("", 0, nobody(), Next::At(late)),
    ])
    .await;
    let error = outcome.unwrap_err();
    let exhausted = Exhausted::find(&*error).expect("typed");
    assert!(exhausted.retry_in() > Some(590 * SECOND));
    assert_eq!(exhausted.trail().to_string(), "a: connect");
    let source = std::error::Error::source(exhausted).expect("the error of the attempt");
    assert!(source.is::<io::Error>(), "and not that nobody was asked");
}

/// A retry was paid for and sent to a balancer which then asked nobody.
#[tokio::test(start_paused = true)]
async fn a_retry_that_nobody_took_costs_nothing() {
    let budget = RetryBudget::default();
    let nobody = || Err(Exhausted::new(Trail::new(), Verdict::new(Class::Overloaded), None).into());
    let attempts = vec![
        ("a", 0, Err(refused()), Next::At(Instant::now())),
        ("", 0, nobody(), Next::Never),
    ];
    let layer = layer().budget(budget.clone());
    let (outcome, _, left) = balanced_by(layer, attempts).await;
    outcome.unwrap_err();
    assert_eq!((left, budget.available()), (0, 500));
}
