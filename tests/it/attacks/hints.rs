//! Absurd hints: each header and body of the dialects, with each absurd value.

use std::time::Duration;

use bytes::Bytes;
use stack_tests::{SECOND, chat, endpoint, read, served_by, status_of, upstreams};
use steadfast::AiStack;
use steadfast_testkit::{Reply, Upstream};

/// The places of a hint. `{}` stands for the value.
const PLACES: [(&str, &str); 15] = [
    ("retry-after", "{}"),
    ("retry-after-ms", "{}"),
    ("x-ms-retry-after-ms", "{}"),
    ("x-ratelimit-reset", "{}"),
    ("x-ratelimit-reset-requests", "{}"),
    ("x-ratelimit-reset-tokens", "{}s"),
    ("anthropic-ratelimit-requests-reset", "{}"),
    ("anthropic-ratelimit-unified-reset", "{}"),
    ("ratelimitbysize-reset", "{}"),
    ("ratelimit-reset", "{}"),
    ("ratelimit", "\"default\";r=0;t={}"),
    ("ratelimit", "limit=1, remaining=0, reset={}"),
    (
        "",
        r#"{"error":{"message":"Please try again in {}s.","code":"rate_limit_exceeded"}}"#,
    ),
    (
        "",
        r#"{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"{}s"}]}}"#,
    ),
    (
        "",
        r#"{"error":{"message":"x","metadata":{"headers":{"X-RateLimit-Reset":"{}"}}}}"#,
    ),
];

/// The absurd values.
const VALUES: [&str; 22] = [
    "-1",
    "-9223372036854775808",
    "0",
    "-0",
    "0.0000000001",
    "86400",
    "31622401",
    "4294967296",
    "9223372036854775807",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999999999999999999999999",
    "1e308",
    "1e400",
    "-1e400",
    "NaN",
    "inf",
    "0x7fffffff",
    "Thu, 01 Jan 1970 00:00:00 GMT",
    "Fri, 31 Dec 9999 23:59:59 GMT",
    "9999-12-31T23:59:59Z",
    "\u{7f}",
];

/// The longest cooldown that a server can cause.
const DAY: Duration = Duration::from_secs(86_400);

/// Makes the refusal with a hint, or `None` if HTTP cannot carry the value.
fn refusal((header, template): (&str, &str), value: &str, status: u16) -> Option<Reply> {
    let text = template.replace("{}", value);
    let is_valid = |text: &str| http::HeaderValue::from_str(text).is_ok();
    let json = [("content-type", "application/json")];
    match header {
        "" => Some(Reply::raw(status, json, text)),
        _ if !is_valid(&text) => None,
        _ => Some(Reply::raw(
            status,
            [(header, &*text), json[0]],
            Bytes::from("{}"),
        )),
    }
}

fn stack_over(first: &Upstream, second: &Upstream) -> AiStack {
    let endpoints = [endpoint(first), endpoint(second)];
    AiStack::builder().endpoints(endpoints).build().unwrap()
}

/// The next endpoint answers at once. The limited endpoint returns within a day.
#[tokio::test(start_paused = true)]
async fn absurd_hint_delays_no_other_endpoint_and_ends() {
    let [limited, good] = upstreams(["limited", "good"]).await;
    let mut hints = 0;
    for place in PLACES {
        for value in VALUES {
            hints += 1;
            for status in [429, 503] {
                let Some(refusal) = refusal(place, value, status) else {
                    continue;
                };
                let case = format!("{status} {place:?} {value:?}");
                limited.set(refusal);
                let ai = stack_over(&limited, &good);
                let start = tokio::time::Instant::now();
                let answer = ai.send(chat(false)).await.expect(&case);
                assert_eq!(served_by(&answer), "good", "{case}");
                read(answer).await.expect(&case);
                assert!(start.elapsed() < SECOND, "{case}: {:?}", start.elapsed());
                let keys = status_of(&ai, "limited").keys;
                let cooling = keys.iter().map(|key| key.cooling.unwrap_or_default()).max();
                let cooling = cooling.max(status_of(&ai, "limited").cooling);
                assert!(cooling.unwrap_or_default() <= DAY, "{case}: {cooling:?}");
            }
        }
    }
    assert_eq!(hints, 330);
}

/// With one endpoint, a request waits at most for its bound.
#[tokio::test(start_paused = true)]
async fn absurd_hint_of_only_endpoint_keeps_no_request() {
    let [limited] = upstreams(["limited"]).await;
    for place in PLACES {
        for value in VALUES {
            let Some(refusal) = refusal(place, value, 429) else {
                continue;
            };
            let case = format!("{place:?} {value:?}");
            limited.set(refusal);
            let ai = AiStack::builder()
                .endpoint(endpoint(&limited))
                .build()
                .unwrap();
            let start = tokio::time::Instant::now();
            let answer = ai.send(chat(false)).await;
            let waited = start.elapsed();
            assert!(
                answer.is_err() || answer.is_ok_and(|it| it.status() == 429),
                "{case}"
            );
            assert!(waited < 60 * SECOND, "{case}: {waited:?}");
        }
    }
}
