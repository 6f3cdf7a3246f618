//! The request quota, over the wire.

use std::time::Duration;

use steadfast_testkit::{Hint, Quota, Reply};
use tokio::time::advance;

use crate::support::{body_json, chat, header, http1, status, upstream};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn requests_beyond_quota_get_429_with_true_hint() {
    let (upstream, http) = (upstream().await, http1());
    upstream.limit(Quota::new(2, 60 * SECOND));
    for expected in [200, 200, 429] {
        let answer = chat(&http, &upstream).await;
        assert_eq!(status(&answer), expected);
        let headers = format!("{:?}", answer.map(|answer| answer.into_parts().0.headers));
        assert!(!headers.contains("ratelimit"), "not announced: {headers}");
    }
    // 30 s a token, and 500 ms are gone: 29.5 s, rounded up.
    advance(Duration::from_millis(500)).await;
    let answer = chat(&http, &upstream).await;
    assert_eq!(header(&answer, "retry-after"), "30");

    advance(28 * SECOND).await;
    assert_eq!(header(&chat(&http, &upstream).await, "retry-after"), "2");
    advance(2 * SECOND).await;
    assert_eq!(status(&chat(&http, &upstream).await), 200);
    assert_eq!(upstream.counts().ok, 3);
    assert_eq!(upstream.counts().rate_limited, 3);
}

#[tokio::test(start_paused = true)]
async fn limit_is_set_changed_and_removed_at_run_time() {
    let (upstream, http) = (upstream().await, http1());
    assert_eq!(status(&chat(&http, &upstream).await), 200);

    upstream.limit(Quota::new(0, SECOND));
    assert_eq!(status(&chat(&http, &upstream).await), 429);

    upstream.limit(Quota::new(1, 10 * SECOND).hint(Hint::Gemini));
    assert_eq!(status(&chat(&http, &upstream).await), 200);
    let body = body_json(chat(&http, &upstream).await).await;
    assert_eq!(body["error"]["details"][1]["retryDelay"], "10s");

    upstream.unlimited();
    for _ in 0..5 {
        assert_eq!(status(&chat(&http, &upstream).await), 200);
    }
}

#[tokio::test(start_paused = true)]
async fn one_time_replies_bypass_quota() {
    let (upstream, http) = (upstream().await, http1());
    upstream.limit(Quota::new(1, 60 * SECOND));
    upstream.script([Reply::status(500), Reply::ok()]);
    for expected in [500, 200, 200, 429] {
        assert_eq!(status(&chat(&http, &upstream).await), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn announced_quota_is_in_headers_of_answers() {
    let (upstream, http) = (upstream().await, http1());
    upstream.limit(Quota::new(60, 60 * SECOND).burst(2).announced());
    for remaining in ["1", "0"] {
        let answer = chat(&http, &upstream).await;
        assert_eq!(header(&answer, "x-ratelimit-limit-requests"), "2");
        assert_eq!(header(&answer, "x-ratelimit-remaining-requests"), remaining);
    }
    assert_eq!(status(&chat(&http, &upstream).await), 429);
}
