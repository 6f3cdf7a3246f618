//! The 429 of each provider: headers and body.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::clock::{ServerClock, decimal_seconds, go_duration, milliseconds, seconds};
use super::errors;
use crate::hint::Hint;

/// Writes `hint` as of `now`.
pub(crate) fn refusal(hint: Hint, now: SystemTime) -> (HeaderMap, Value) {
    let clock = ServerClock::at(now);
    let mut headers = HeaderMap::new();
    for (name, value) in headers_of(hint, clock) {
        // Digits, letters and punctuation of ASCII, apart from Go's "µs".
        if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    (headers, body_of(hint, clock))
}

/// The headers of `hint`: a wait, or the state of a limit.
fn headers_of(hint: Hint, clock: ServerClock) -> Vec<(&'static str, String)> {
    match hint {
        Hint::RetryAfter(wait) => vec![("retry-after", seconds(wait).to_string())],
        // The debug form keeps the point in "2.0".
        Hint::RetryAfterDecimal(wait) => {
            vec![("retry-after", format!("{:?}", wait.as_secs_f64()))]
        }
        Hint::RetryAfterDate(wait) => vec![
            ("date", clock.date()),
            ("retry-after", clock.date_after(wait)),
        ],
        Hint::RetryAfterMs(wait) => vec![("retry-after-ms", milliseconds(wait).to_string())],
        Hint::XMsRetryAfterMs(wait) => {
            vec![("x-ms-retry-after-ms", milliseconds(wait).to_string())]
        }
        Hint::RateLimitDraft(wait) => vec![
            ("ratelimit-policy", r#""default";q=50;w=60"#.to_owned()),
            ("ratelimit", format!(r#""default";r=0;t={}"#, seconds(wait))),
        ],
        _ => limit_headers(hint, clock),
    }
}

/// The headers of a provider that reports the state of its buckets. Gemini reports it in the body.
fn limit_headers(hint: Hint, clock: ServerClock) -> Vec<(&'static str, String)> {
    match hint {
        Hint::OpenAi(wait) => vec![
            ("x-ratelimit-limit-requests", "1".to_owned()),
            ("x-ratelimit-remaining-requests", "0".to_owned()),
            ("x-ratelimit-reset-requests", go_duration(wait)),
            ("x-ratelimit-limit-tokens", "40000".to_owned()),
            ("x-ratelimit-remaining-tokens", "39996".to_owned()),
            ("x-ratelimit-reset-tokens", "6ms".to_owned()),
        ],
        Hint::Azure(wait) => vec![
            ("x-ratelimit-limit-requests", "1".to_owned()),
            ("x-ratelimit-remaining-requests", "0".to_owned()),
            ("x-ratelimit-reset-requests", seconds(wait).to_string()),
        ],
        Hint::Anthropic(wait) => vec![
            ("date", clock.date()),
            ("anthropic-ratelimit-requests-limit", "50".to_owned()),
            ("anthropic-ratelimit-requests-remaining", "0".to_owned()),
            (
                "anthropic-ratelimit-requests-reset",
                clock.rfc3339_after(wait),
            ),
            (
                "anthropic-ratelimit-unified-reset",
                clock.after(wait).to_string(),
            ),
        ],
        Hint::Groq(wait) => vec![
            ("x-ratelimit-limit-requests", "14400".to_owned()),
            ("x-ratelimit-remaining-requests", "14370".to_owned()),
            ("x-ratelimit-reset-requests", "2m59.56s".to_owned()),
            ("x-ratelimit-limit-tokens", "18000".to_owned()),
            ("x-ratelimit-remaining-tokens", "0".to_owned()),
            ("x-ratelimit-reset-tokens", go_duration(wait)),
        ],
        Hint::Mistral(wait) => vec![
            ("ratelimitbysize-limit", "500000".to_owned()),
            ("ratelimitbysize-remaining", "0".to_owned()),
            ("ratelimitbysize-query-cost", "32000".to_owned()),
            ("ratelimitbysize-reset", seconds(wait).to_string()),
        ],
        Hint::Cohere(wait) => vec![
            ("date", clock.date()),
            ("x-ratelimit-limit", "40".to_owned()),
            ("x-ratelimit-remaining", "0".to_owned()),
            ("x-ratelimit-reset", clock.after(wait).to_string()),
        ],
        Hint::OpenRouter(wait) => vec![
            ("date", clock.date()),
            ("x-ratelimit-limit", "20".to_owned()),
            ("x-ratelimit-remaining", "0".to_owned()),
            ("x-ratelimit-reset", clock.after_ms(wait).to_string()),
        ],
        _ => vec![],
    }
}

/// The body of a 429 with `hint`.
fn body_of(hint: Hint, clock: ServerClock) -> Value {
    match hint {
        Hint::Azure(wait) => json!({"error": {"code": "429", "message": format!(
            "Requests to the ChatCompletions_Create Operation under Azure OpenAI API version \
             2024-10-21 have exceeded token rate limit of your current OpenAI S0 pricing tier. \
             Please retry after {} seconds.", seconds(wait),
        )}}),
        Hint::Anthropic(_) => errors::anthropic(
            "rate_limit_error",
            "This request would exceed your organization's rate limit.",
        ),
        Hint::Gemini(wait) => gemini(wait),
        Hint::Groq(wait) => errors::openai(
            &format!(
                "Rate limit reached for model `llama` on tokens per minute (TPM): Limit 18000. \
                 Please try again in {}.",
                go_duration(wait)
            ),
            "tokens",
            Some("rate_limit_exceeded"),
        ),
        Hint::Mistral(_) => json!({
            "object": "error", "message": "Rate limit exceeded", "type": "rate_limited",
            "param": null, "code": "1300", "raw_status_code": 429,
        }),
        Hint::Cohere(_) => json!({"message":
            "You are using a Trial key, which is limited to 40 API calls / minute.",
        }),
        Hint::OpenRouter(wait) => json!({"error": {
            "code": 429,
            "message": "Rate limit exceeded: free-models-per-min",
            "metadata": {
                "headers": {
                    "X-RateLimit-Limit": "20",
                    "X-RateLimit-Remaining": "0",
                    "X-RateLimit-Reset": clock.after_ms(wait).to_string(),
                },
                "provider_name": null,
            },
        }}),
        _ => errors::openai(
            "Rate limit reached for requests",
            "requests",
            Some("rate_limit_exceeded"),
        ),
    }
}

/// Returns Google's 429 with a `RetryInfo`.
fn gemini(wait: Duration) -> Value {
    let delay = decimal_seconds(wait);
    errors::gemini(
        StatusCode::TOO_MANY_REQUESTS,
        &format!("You exceeded your current quota. Please retry in {delay}."),
        json!([
            errors::quota_failure("GenerateRequestsPerMinutePerProjectPerModel-FreeTier"),
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay},
        ]),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(hint: Hint, name: &str) -> String {
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(1_741_305_599_500);
        let (headers, _) = refusal(hint, now);
        let value = headers.get(name).expect("the header is there");
        value.to_str().expect("the header is ASCII").to_owned()
    }

    #[test]
    fn wait_has_notation_of_its_dialect() {
        let wait = Duration::from_millis(1_500);
        for (hint, name, expected) in [
            (Hint::RetryAfter(wait), "retry-after", "2"),
            (Hint::RetryAfterDecimal(wait), "retry-after", "1.5"),
            (
                Hint::RetryAfterDate(wait),
                "retry-after",
                "Fri, 07 Mar 2025 00:00:02 GMT",
            ),
            (Hint::RetryAfterMs(wait), "retry-after-ms", "1500"),
            (Hint::XMsRetryAfterMs(wait), "x-ms-retry-after-ms", "1500"),
            (Hint::OpenAi(wait), "x-ratelimit-reset-requests", "1.5s"),
            (Hint::Azure(wait), "x-ratelimit-reset-requests", "2"),
            (
                Hint::Anthropic(wait),
                "anthropic-ratelimit-requests-reset",
                "2025-03-07T00:00:02Z",
            ),
            (
                Hint::Anthropic(wait),
                "anthropic-ratelimit-unified-reset",
                "1741305602",
            ),
            (Hint::Groq(wait), "x-ratelimit-reset-tokens", "1.5s"),
            (Hint::Mistral(wait), "ratelimitbysize-reset", "2"),
            (Hint::Cohere(wait), "x-ratelimit-reset", "1741305602"),
            (Hint::OpenRouter(wait), "x-ratelimit-reset", "1741305601500"),
            (
                Hint::RateLimitDraft(wait),
                "ratelimit",
                r#""default";r=0;t=2"#,
            ),
        ] {
            assert_eq!(header(hint, name), expected, "{hint:?}");
        }
    }

    #[test]
    fn absolute_times_have_a_date_header() {
        let wait = Duration::from_secs(1);
        for hint in [
            Hint::RetryAfterDate(wait),
            Hint::Anthropic(wait),
            Hint::Cohere(wait),
            Hint::OpenRouter(wait),
        ] {
            assert_eq!(header(hint, "date"), "Fri, 07 Mar 2025 00:00:00 GMT");
        }
    }

    #[test]
    fn wait_of_some_dialects_is_in_the_body() {
        let wait = Duration::from_millis(7_660);
        for (hint, expected) in [
            (Hint::Azure(wait), "Please retry after 8 seconds."),
            (Hint::Gemini(wait), r#""retryDelay":"7.66s""#),
            (Hint::Groq(wait), "Please try again in 7.66s."),
            (Hint::OpenRouter(wait), r#""X-RateLimit-Reset":"#),
        ] {
            let (_, body) = refusal(hint, SystemTime::now());
            assert!(body.to_string().contains(expected), "{body}");
        }
    }

    #[test]
    fn refusal_without_hint_has_no_header() {
        assert!(refusal(Hint::None, SystemTime::now()).0.is_empty());
    }
}
