use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Case, Group, Observed, Seen, Shape, repeated};
use crate::retry::ask::Ask;
use crate::server::{Reply, Script};

const SECOND: Duration = Duration::from_secs(1);

/// How far the clock of the server is ahead.
const AHEAD: Duration = Duration::from_secs(600);

pub(super) fn cases() -> Vec<Case> {
    let now = SystemTime::now() + AHEAD;
    let date = |after: u32| httpdate::fmt_http_date(now + after * SECOND);
    let instant = humantime::format_rfc3339_seconds(now + 20 * SECOND).to_string();
    let epoch = (now + 20 * SECOND).duration_since(UNIX_EPOCH);
    let epoch = epoch.expect("a clock that is set");
    let refusal = || Reply::error(429);
    let dated = || refusal().header("date", date(0));
    let mut cases = vec![
        hint(
            "`retry-after: 2`",
            "Not sent again before the two seconds have passed, and soon after (RFC 9110, 10.2.3).",
            refusal().header("retry-after", "2"),
            2 * SECOND,
        ),
        hint(
            "`retry-after: 2.5`",
            "Decimal seconds, which some gateways send, are read as such.",
            refusal().header("retry-after", "2.5"),
            Duration::from_millis(2500),
        ),
        hint(
            "`retry-after` as a date",
            "The date is measured against the `date` of the same answer, so it does not matter that the clock of \
             the server is ten minutes ahead (RFC 9110, 10.2.3 and 6.6.1).",
            dated().header("retry-after", date(20)),
            20 * SECOND,
        ),
        hint(
            "`retry-after-ms: 1500`",
            "Milliseconds, as OpenAI sends them and its SDKs read them.",
            refusal().header("retry-after-ms", "1500"),
            Duration::from_millis(1500),
        ),
        hint(
            "`x-ms-retry-after-ms: 1500`",
            "Milliseconds, as Azure sends them.",
            refusal().header("x-ms-retry-after-ms", "1500"),
            Duration::from_millis(1500),
        ),
        hint(
            "`x-ratelimit-reset-requests: 20s`",
            "No request remains, and the bucket of ten is full again in 20 s: one is there after 2 s (OpenAI's \
             guide to rate limits; durations as Go writes them).",
            refusal()
                .header("x-ratelimit-limit-requests", "10")
                .header("x-ratelimit-remaining-requests", "0")
                .header("x-ratelimit-reset-requests", "20s"),
            2 * SECOND,
        ),
        hint(
            "`anthropic-ratelimit-requests-reset`",
            "No request remains until an instant in RFC 3339 (Anthropic's reference of rate limits).",
            dated()
                .header("anthropic-ratelimit-requests-limit", "50")
                .header("anthropic-ratelimit-requests-remaining", "0")
                .header("anthropic-ratelimit-requests-reset", instant),
            20 * SECOND,
        ),
        hint(
            "`ratelimit: \"default\";r=0;t=20`",
            "Nothing remains for 20 s (draft-ietf-httpapi-ratelimit-headers).",
            refusal().header("ratelimit", r#""default";r=0;t=20"#),
            20 * SECOND,
        ),
        hint(
            "`x-ratelimit-reset` in epoch seconds",
            "None remains until this second, by the clock that the `date` of the answer shows (GitHub's reference).",
            dated()
                .header("x-ratelimit-remaining", "0")
                .header("x-ratelimit-reset", epoch.as_secs().to_string()),
            20 * SECOND,
        ),
        hint(
            "`x-ratelimit-reset` in epoch milliseconds",
            "The same in milliseconds, as OpenRouter sends it.",
            dated()
                .header("x-ratelimit-remaining", "0")
                .header("x-ratelimit-reset", (epoch.as_secs() * 1000).to_string()),
            20 * SECOND,
        ),
        hint(
            "`retry-after: 2` of a `503`",
            "The hint of an outage counts like the hint of a limit (RFC 9110, 10.2.3).",
            Reply::error(503).header("retry-after", "2"),
            2 * SECOND,
        )
        .ask(Ask::get()),
        hint(
            "`RetryInfo` in the body",
            "The `retryDelay` of Google's error details (google.rpc.RetryInfo).",
            Reply::new(429, GOOGLE),
            3 * SECOND,
        )
        .shape(Shape::ErrorBodies),
        hint(
            "\"try again in 2.5s\" in the body",
            "The only hint of some answers is in the words of their error (OpenAI).",
            Reply::new(429, TRY_AGAIN),
            Duration::from_millis(2500),
        )
        .shape(Shape::ErrorBodies),
    ];
    cases.extend(
        [("`retry-after: -5`", "-5"), ("`retry-after: soon`", "soon")].map(|(name, value)| {
            Case::new(
                Group::Hints,
                name,
                "What makes no sense is no hint: sent again after the usual wait.",
                Ask::post(),
                Script::once(refusal().header("retry-after", value)),
                |observed| {
                    let mut seen = repeated(observed);
                    seen.holds &= observed.gap().is_some_and(|gap| gap <= 2 * SECOND);
                    seen
                },
            )
        }),
    );
    cases
}

const GOOGLE: &str = r#"{"error":{"code":429,"message":"Quota exceeded.","status":"RESOURCE_EXHAUSTED","type":"error",
"details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"3s"}]}}"#;
const TRY_AGAIN: &str = r#"{"error":{"message":"Rate limit reached for m. Please try again in 2.5s.",
"type":"requests","param":null,"code":"rate_limit_exceeded"}}"#;

fn hint(name: &'static str, right: &'static str, refusal: Reply, wait: Duration) -> Case {
    let script = Script::once(refusal);
    Case::new(
        Group::Hints,
        name,
        right,
        Ask::post(),
        script,
        move |observed| waited(observed, wait),
    )
}

/// Sent again once, after `wait` and not long after.
fn waited(observed: &Observed, wait: Duration) -> Seen {
    let seen = repeated(observed);
    let Some(gap) = observed.gap() else {
        return seen;
    };
    let (when, in_time) = if gap < wait {
        ("before the hint", false)
    } else if gap <= wait + SECOND {
        ("after the hint", true)
    } else {
        ("long after the hint", false)
    };
    let mut seen = seen.and(when);
    seen.holds &= in_time;
    seen
}
