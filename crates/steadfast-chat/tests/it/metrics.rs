//! The numbers of a client.

use std::time::Duration;

use steadfast_testkit::{Hint, Reply};

use crate::support::client;

#[tokio::test]
async fn attempts_and_requests_are_counted() {
    let (client, [primary, backup]) = client(["primary", "backup"]).await;
    primary.next(Reply::rate_limited(Hint::RetryAfter(Duration::from_secs(
        60,
    ))));
    client
        .chat_completion("m", "Hi")
        .await
        .expect("served by the backup");
    client
        .stream("m", "Hi")
        .await
        .expect("served by the backup");
    backup.next(Reply::status(400));
    client
        .chat_completion("m", "Hi")
        .await
        .expect_err("a fault of the request");
    let shown = client.metrics().to_string();
    let expected = "total_requests: 3\nsuccessful_requests: 2\n429_errors: 1\n\
        other_errors: 1\nfallback_count: 1\nsuccess_rate: 66.67%";
    assert_eq!(shown, expected);
    assert_eq!(client.clone().metrics(), client.metrics());
}

#[tokio::test]
async fn dropped_call_is_a_request_without_success() {
    let (client, [primary]) = client(["primary"]).await;
    primary.set(Reply::silence());
    let call = client.chat_completion("m", "Hi").into_future();
    tokio::time::timeout(Duration::from_millis(50), call)
        .await
        .expect_err("no answer");
    let metrics = client.metrics();
    assert_eq!(
        (metrics.total_requests, metrics.successful_requests),
        (1, 0)
    );
    assert_eq!((metrics.errors_429, metrics.other_errors), (0, 0));
}
