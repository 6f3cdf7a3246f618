//! Operations: status, metrics, health and shutdown of the gateway.

use examples::gateway::DRAIN;
use http::Version;
use http_body_util::BodyExt;
use stack_tests::{SECOND, upstreams};
use steadfast_testkit::{Hint, Reply, Upstream};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::{CHAT, Gateway, MINUTE, REQUEST, chunk, endpoint_table, header, json, text};

#[tokio::test]
async fn limited_model_is_cooling_in_status() {
    let [first, second] = upstreams(["first", "second"]).await;
    first.next(Reply::rate_limited(Hint::RetryAfter(MINUTE)));
    let config = format!(
        "{}{}tier = 1\n",
        endpoint_table("first", &first.url()),
        endpoint_table("second", &second.url())
    );
    let gateway = Gateway::start(&config).await;
    let answer = gateway.post(CHAT, REQUEST).await;
    text(answer).await;

    let status = json(gateway.admin("/status").await).await;
    let [first_now, second_now] = &status["endpoints"].as_array().unwrap()[..] else {
        panic!("{status}");
    };
    assert_eq!(first_now["name"], "first");
    assert_eq!(first_now["base"], first.url());
    assert_eq!(first_now["tier"], 0);
    assert_eq!(
        first_now["breaker"], "closed",
        "a rate limit opens no breaker"
    );
    assert_eq!(first_now["health"], 1.0);
    // Only the model of the request is limited.
    assert_eq!(first_now["admissible"], true);
    assert!(first_now["cooling_seconds"].is_null());
    let key = &first_now["keys"][0];
    assert_eq!(key["key"], "m");
    let cooling = key["cooling_seconds"].as_f64().unwrap();
    assert!(cooling > 50.0 && cooling <= 60.0, "{cooling}");
    assert!(first_now["latency_seconds"].is_null());

    assert_eq!(second_now["tier"], 1);
    assert_eq!(second_now["admissible"], true);
    assert!(second_now["cooling_seconds"].is_null());
    assert!(second_now["latency_seconds"].as_f64().unwrap() > 0.0);
    assert_eq!(second_now["in_flight"], 0);

    let requests = &status["requests"];
    for (field, expected) in [
        ("total", 1),
        ("successful", 1),
        ("attempts", 2),
        ("failovers", 1),
        ("in_flight", 0),
    ] {
        assert_eq!(requests[field], expected, "{field}");
    }
    assert_eq!(requests["success_rate"], 1.0);
}

#[tokio::test]
async fn failed_endpoint_has_open_breaker_in_status() {
    let upstream = Upstream::start().await.unwrap();
    upstream.set(Reply::status(500));
    let config = format!(
        "{}[endpoint.breaker]\nconsecutive_failures = 1\n",
        endpoint_table("broken", &upstream.url())
    );
    let gateway = Gateway::start(&config).await;
    assert_eq!(gateway.post(CHAT, REQUEST).await.status(), 500);
    let status = json(gateway.admin("/status").await).await;
    assert_eq!(status["endpoints"][0]["breaker"], "open");
    assert_eq!(status["endpoints"][0]["admissible"], false);
}

#[tokio::test]
async fn failover_appears_in_prometheus_metrics() {
    let [first, second] = upstreams(["first", "second"]).await;
    first.next(Reply::rate_limited(Hint::RetryAfter(MINUTE)));
    // All tests share the recorder of the process, so this test has endpoint names of its own.
    let config = format!(
        "{}{}",
        endpoint_table("measured-1", &first.url()),
        endpoint_table("measured-2", &second.url())
    );
    let gateway = Gateway::start(&config).await;
    let answer = gateway.post(CHAT, REQUEST).await;
    text(answer).await;

    let answer = gateway.admin("/metrics").await;
    assert!(header(&answer, "content-type").starts_with("text/plain; version=0.0.4"));
    let metrics = text(answer).await;
    for line in [
        "# HELP steadfast_requests_total ",
        "# TYPE steadfast_request_duration_seconds histogram",
        r#"steadfast_requests_total{outcome="success"} "#,
        r#"steadfast_attempts_total{endpoint="measured-1",outcome="rate_limited"} 1"#,
        r#"steadfast_attempts_total{endpoint="measured-2",outcome="success"} 1"#,
        r#"steadfast_failovers_total{from="measured-1",to="measured-2",class="rate_limited"} 1"#,
        r#"steadfast_cooldown_seconds_bucket{endpoint="measured-1",le="81.92"} 1"#,
        r#"steadfast_request_attempts_bucket{le="2"} "#,
    ] {
        let found = metrics.lines().any(|found| found.starts_with(line));
        assert!(found, "{line} is missing in\n{metrics}");
    }
}

#[tokio::test]
async fn endpoint_down_leaves_gateway_healthy() {
    let gateway = Gateway::start(&endpoint_table("down", "http://127.0.0.1:1/v1")).await;
    let answer = gateway.get("/healthz").await;
    assert_eq!(answer.status(), 200);
    assert_eq!(text(answer).await, "ok\n");
}

// ===== Shutdown =====

#[tokio::test(start_paused = true)]
async fn shutdown_finishes_answer_in_progress() {
    let upstream = Upstream::start().await.unwrap();
    upstream.set(Reply::ok().chunks(3).chunk_delay(SECOND));
    let gateway = Gateway::over(&[&upstream]).await;
    let mut answer = gateway.stream(Version::HTTP_11).await;
    chunk(&mut answer).await.expect("a chunk");

    gateway.stop.send(()).unwrap();
    let rest = answer.into_body().collect().await.unwrap().to_bytes();
    assert!(rest.ends_with(b"data: [DONE]\n\n"));
    gateway.server.await.unwrap();
    assert!(TcpStream::connect(gateway.addr).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn shutdown_cuts_endless_answer_after_drain_time() {
    let upstream = Upstream::start().await.unwrap();
    upstream.set(Reply::ok().stall_after(1));
    let gateway = Gateway::over(&[&upstream]).await;
    let mut answer = gateway.stream(Version::HTTP_11).await;
    chunk(&mut answer).await.expect("a chunk");

    let start = Instant::now();
    gateway.stop.send(()).unwrap();
    gateway.server.await.unwrap();
    let took = start.elapsed();
    assert!(took >= DRAIN && took < DRAIN + SECOND, "{took:?}");
}
