//! What the body of an error says, in the dialects of the providers.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::Value;
use steadfast_core::{Class, RateLimit, Verdict, hint_in_text};

/// Codes that mean that a quota or a credit is spent, and that waiting a little does not help.
const QUOTA: &[&str] = &[
    "insufficient_quota",
    "credit_balance_exhausted",
    "organization_spend_limit_exceeded",
    "project_spend_limit_exceeded",
    "organization_usage_limit_exceeded",
    "contract_spend_limit_reached",
    "enforced_spend_limit_reached",
    "billing_error",
    "blocked_api_access",
    "quota_exceeded",
    "servicequotaexceededexception",
];
/// How the texts of refusals begin that mean the same and have no code for it. Further on there may
/// be text of the caller, such as a model with the name of a quota.
const QUOTA_OF_A_DAY: &[&str] = &[
    "too many tokens per day",
    "rate limit exceeded: free-models-per-day",
];
/// So does a spent credit with Anthropic, whose code says no more than that the request is invalid.
const CREDIT: &[&str] = &["your credit balance is too low"];
const RATE: &[&str] = &[
    "rate_limit_exceeded",
    "rate_limit_error",
    "rate_limited",
    "resource_exhausted",
    "throttlingexception",
    "429",
];
const OVERLOADED: &[&str] = &[
    "overloaded_error",
    "server_is_overloaded",
    "slow_down",
    "unavailable",
    "529",
    "503",
];
const UNAUTHORIZED: &[&str] = &[
    "authentication_error",
    "invalid_api_key",
    "api_key_invalid",
    "permission_error",
    "unauthenticated",
];
const CONTEXT: &[&str] = &[
    "context_length_exceeded",
    "string_above_max_length",
    "request_too_large",
];
const POLICY: &[&str] = &[
    "content_filter",
    "content_policy_violation",
    "image_content_policy_violation",
    "responsibleaipolicyviolation",
];
const MODEL: &[&str] = &[
    "model_not_found",
    "deploymentnotfound",
    "model_not_available",
];

/// Something is missing, and the text tells whether it is the model.
const MISSING: &[&str] = &["not_found", "not_found_error", "notfounderror"];
/// What the caller did wrong, where there is no status to say so. A lone `400` is not among them:
/// vLLM sends it in streams when its engine fails.
const CALLER: &[&str] = &[
    "invalid_request_error",
    "invalid_argument",
    "invalid_prompt",
    "empty_image_file",
    "failed_to_download_image",
    "image_file_not_found",
    "image_file_too_large",
    "image_parse_error",
    "image_too_large",
    "image_too_small",
    "invalid_base64_image",
    "invalid_image",
    "invalid_image_format",
    "invalid_image_mode",
    "invalid_image_url",
    "unsupported_image_media_type",
];

/// What an error says about itself, gathered from wherever its dialect puts it.
#[derive(Debug, Default)]
struct Said {
    /// Codes and types, in lower case.
    codes: Vec<String>,
    /// In lower case.
    messages: Vec<String>,
    hint: Option<Duration>,
    /// Its status is 404.
    missing: bool,
}

/// Refines the verdict on a status and its headers by what the body says.
pub(crate) fn refine(
    verdict: Verdict,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
) -> Verdict {
    let Ok(value) = serde_json::from_slice::<Value>(body) else {
        return verdict;
    };
    let mut said = Said::gather(&value);
    said.missing = status == StatusCode::NOT_FOUND;
    // What is meant for everyone comes before what is meant for readers, and a bucket that is
    // empty comes last.
    let explicit = RateLimit::from_headers(headers, SystemTime::now()).retry_after();
    let class = said.class(verdict.class());
    let hint = explicit.or(said.hint(class)).or(verdict.hint());
    verdict.with_class(class).with_hint(hint)
}

/// The verdict on an error that came after `200`, as an event of a stream.
pub(crate) fn verdict_of_error_value(error: &Value) -> Verdict {
    let said = Said::gather(error);
    let class = said.class(if said.has(CALLER) {
        Class::CallerFault
    } else {
        Class::ServerError
    });
    Verdict::new(class).with_hint(said.hint(class))
}

impl Said {
    fn gather(value: &Value) -> Self {
        let value = value.get(0).unwrap_or(value);
        let mut said = Self::default();
        said.read(value);
        if let Some(error) = value.get("error") {
            said.read(error);
        }
        said
    }

    fn read(&mut self, error: &Value) {
        for place in [
            error,
            &error["code"],
            &error["type"],
            &error["status"],
            &error["__type"],
            &error["details"]["error_code"],
            &error["innererror"]["code"],
        ] {
            match place {
                Value::String(text) => self.codes.push(text.to_ascii_lowercase()),
                Value::Number(number) => self.codes.push(number.to_string()),
                _ => {}
            }
        }
        for place in [error, &error["message"], &error["detail"]] {
            if let Some(text) = place.as_str() {
                self.messages.push(text.to_ascii_lowercase());
            }
        }
        for detail in error["details"].as_array().into_iter().flatten() {
            self.read_google(detail);
        }
        self.read_copied_headers(&error["metadata"]["headers"]);
    }

    /// One of Google's error details: how long to wait, which quota, or why.
    fn read_google(&mut self, detail: &Value) {
        if let Some(delay) = detail["retryDelay"].as_str() {
            self.hint = hint_in_text(&format!("retry in {delay}"));
        }
        if let Some(reason) = detail["reason"].as_str() {
            self.codes.push(reason.to_ascii_lowercase());
        }
        for violation in detail["violations"].as_array().into_iter().flatten() {
            let of_a_day = violation["quotaId"]
                .as_str()
                .is_some_and(|id| id.contains("PerDay"));
            if of_a_day {
                self.codes.push("quota_exceeded".to_owned());
            }
        }
    }

    /// OpenRouter copies the headers of the provider behind it into the body.
    fn read_copied_headers(&mut self, copied: &Value) {
        let headers: HeaderMap = copied
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(name, value)| {
                let name = HeaderName::try_from(name).ok()?;
                Some((name, HeaderValue::try_from(value.as_str()?).ok()?))
            })
            .collect();
        let limit = RateLimit::from_headers(&headers, SystemTime::now());
        self.hint = self.hint.or(limit.hint());
    }

    /// The class of the error, if its status says `class`. The first that matches counts.
    fn class(&self, class: Class) -> Class {
        let refused = matches!(
            class,
            Class::RateLimited
                | Class::Unauthorized
                | Class::CallerFault
                | Class::QuotaExhausted
                | Class::ServerError
        );
        let limited = class == Class::RateLimited || self.has(RATE);
        if class == Class::QuotaExhausted
            || refused && (self.has(QUOTA) || limited && self.message_begins(QUOTA_OF_A_DAY))
            || class == Class::CallerFault
                && self.codes == ["error", "invalid_request_error"]
                && self.message_begins(CREDIT)
        {
            Class::QuotaExhausted
        } else if limited {
            Class::RateLimited
        } else if self.has(OVERLOADED) {
            Class::Overloaded
        } else if self.has(CONTEXT)
            || class == Class::CallerFault
                && self.message_has(&[
                    "prompt is too long",
                    "maximum context length",
                    "exceeds the maximum number of tokens",
                ])
        {
            Class::ContextTooLong
        } else if self.has(POLICY) {
            Class::ContentPolicy
        } else if self.has(MODEL)
            || class == Class::CallerFault && self.has(MISSING) && self.message_has(&["model"])
            || self.missing
                && self.message_begins(&["the model "])
                && self.message_has(&["does not exist"])
        {
            Class::ModelUnavailable
        } else if self.has(UNAUTHORIZED) && class != Class::ServerError {
            Class::Unauthorized
        } else {
            class
        }
    }

    /// How long an error of this class asks to wait. Text counts only if a status or a code has said
    /// that it is about a limit: it may repeat what the caller sent.
    fn hint(&self, class: Class) -> Option<Duration> {
        let limit = class == Class::RateLimited || self.has(QUOTA);
        let in_text = || self.messages.iter().find_map(|text| hint_in_text(text));
        (self.hint).or_else(|| limit.then(in_text).flatten())
    }

    fn has(&self, codes: &[&str]) -> bool {
        self.codes.iter().any(|said| codes.contains(&&**said))
    }

    fn message_has(&self, phrases: &[&str]) -> bool {
        let has = |text: &String| phrases.iter().any(|phrase| text.contains(phrase));
        self.messages.iter().any(has)
    }

    fn message_begins(&self, phrases: &[&str]) -> bool {
        let begins = |text: &String| phrases.iter().any(|phrase| text.starts_with(phrase));
        self.messages.iter().any(begins)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use steadfast_core::{Classify, DefaultClassifier, Head};

    fn verdict(status: u16, headers: &HeaderMap, body: &str) -> Verdict {
        let status = StatusCode::from_u16(status).unwrap();
        let verdict = DefaultClassifier.classify(Ok(Head::new(status, headers)));
        refine(verdict, status, headers, body.as_bytes())
    }

    /// The table of error bodies in the facts about providers.
    #[test]
    fn tells_a_limit_that_passes_from_a_spent_quota() {
        for (status, body, class, hint) in [
            (
                429,
                r#"{"error":{"message":"Rate limit reached for gpt in organization o on tokens per min. Please try again in 7.66s.","type":"tokens","param":null,"code":"rate_limit_exceeded"}}"#,
                Class::RateLimited,
                Some(7_660),
            ),
            (
                429,
                r#"{"error":{"message":"slow","code":"slow_down"}}"#,
                Class::RateLimited,
                None,
            ),
            (
                429,
                r#"{"error":{"message":"You exceeded your current quota, please check your plan and billing details.","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}"#,
                Class::QuotaExhausted,
                None,
            ),
            (
                429,
                r#"{"error":{"message":"x","type":"requests","code":"insufficient_quota"}}"#,
                Class::QuotaExhausted,
                None,
            ),
            (
                429,
                r#"{"error":{"code":"429","message":"Requests have exceeded token rate limit of your current pricing tier. Please retry after 37 seconds."}}"#,
                Class::RateLimited,
                Some(37_000),
            ),
            (
                429,
                r#"{"type":"error","error":{"type":"rate_limit_error","message":"x"},"request_id":"req_1"}"#,
                Class::RateLimited,
                None,
            ),
            (
                429,
                r#"{"type":"error","error":{"type":"rate_limit_error","message":"x","details":{"error_code":"enforced_spend_limit_reached"}}}"#,
                Class::QuotaExhausted,
                None,
            ),
            (
                402,
                r#"{"type":"error","error":{"type":"billing_error","message":"x"}}"#,
                Class::QuotaExhausted,
                None,
            ),
            (
                400,
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the API."}}"#,
                Class::QuotaExhausted,
                None,
            ),
            (
                529,
                r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
                Class::Overloaded,
                None,
            ),
            (
                503,
                r#"{"error":{"code":"server_is_overloaded","type":"service_unavailable_error"}}"#,
                Class::Overloaded,
                None,
            ),
            (
                429,
                r#"{"error":{"code":429,"message":"You exceeded your current quota. Please retry in 10h17m5.72s","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaId":"GenerateRequestsPerMinutePerProjectPerModel-FreeTier","quotaValue":"15"}]},{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"34.074824224s"}]}}"#,
                Class::RateLimited,
                Some(34_074),
            ),
            (
                429,
                r#"{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","details":[{"violations":[{"quotaId":"GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]}]}}"#,
                Class::QuotaExhausted,
                None,
            ),
            (
                429,
                r#"{"object":"error","message":"Rate limit exceeded","type":"rate_limited","param":null,"code":"1300","raw_status_code":429}"#,
                Class::RateLimited,
                None,
            ),
            (
                429,
                r#"{"message":"Too many requests, please wait before trying again."}"#,
                Class::RateLimited,
                None,
            ),
            (
                429,
                r#"{"error":{"message":"Rate limit reached on tokens per day (TPD): Limit 500000. Please try again in 1m12s.","type":"tokens","code":"rate_limit_exceeded"}}"#,
                Class::RateLimited,
                Some(72_000),
            ),
            (
                429,
                r#"{"message":"Too many tokens per day, please wait."}"#,
                Class::QuotaExhausted,
                None,
            ),
            (
                429,
                r#"{"error":{"code":429,"message":"Rate limit exceeded: free-models-per-min","metadata":{"headers":{"Retry-After":"12"}}}}"#,
                Class::RateLimited,
                Some(12_000),
            ),
            (
                429,
                r#"{"error":{"code":429,"message":"Rate limit exceeded: free-models-per-day"}}"#,
                Class::QuotaExhausted,
                None,
            ),
            (
                400,
                r#"{"error":{"message":"This model's maximum context length is 8192 tokens","type":"invalid_request_error","code":"context_length_exceeded"}}"#,
                Class::ContextTooLong,
                None,
            ),
            (
                400,
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 210000 tokens"}}"#,
                Class::ContextTooLong,
                None,
            ),
            (
                400,
                r#"{"error":{"code":"content_filter","message":"x","innererror":{"code":"ResponsibleAIPolicyViolation"}}}"#,
                Class::ContentPolicy,
                None,
            ),
            (
                404,
                r#"{"error":{"message":"The model `x` does not exist","code":"model_not_found"}}"#,
                Class::ModelUnavailable,
                None,
            ),
            (
                404,
                r#"{"error":{"message":"The model `credit balance is too low, try again in 20 hours` does not exist","code":"model_not_found"}}"#,
                Class::ModelUnavailable,
                None,
            ),
            (
                429,
                r#"{"error":{"message":"Rate limit reached for `free-models-per-day`. Try again in 2s","code":"rate_limit_exceeded"}}"#,
                Class::RateLimited,
                Some(2_000),
            ),
            (
                400,
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"tools.0.name: `your credit balance is too low` is no name"}}"#,
                Class::CallerFault,
                None,
            ),
            (
                404,
                r#"{"type":"error","error":{"type":"not_found_error","message":"model: claude-x"}}"#,
                Class::ModelUnavailable,
                None,
            ),
            (
                403,
                r#"{"error":{"message":"x","type":"invalid_request_error","code":"blocked_api_access"}}"#,
                Class::QuotaExhausted,
                None,
            ),
            (
                400,
                r#"{"error":{"code":400,"message":"The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).","status":"INVALID_ARGUMENT"}}"#,
                Class::ContextTooLong,
                None,
            ),
            (
                404,
                r#"{"error":{"code":404,"message":"models/x is not found for API version v1beta","status":"NOT_FOUND"}}"#,
                Class::ModelUnavailable,
                None,
            ),
            (
                404,
                r#"{"object":"error","message":"The model `x` does not exist.","type":"NotFoundError","param":null,"code":404}"#,
                Class::ModelUnavailable,
                None,
            ),
            (
                404,
                r#"{"error":{"message":"The model 'x' does not exist","type":"invalid_request_error"}}"#,
                Class::ModelUnavailable,
                None,
            ),
            (
                422,
                r#"{"error":{"message":"The model `x` does not exist here"}}"#,
                Class::CallerFault,
                None,
            ),
            (
                404,
                r#"{"error":{"code":404,"message":"Requested entity was not found.","status":"NOT_FOUND"}}"#,
                Class::CallerFault,
                None,
            ),
            (
                404,
                r#"{"error":{"message":"no such route"}}"#,
                Class::CallerFault,
                None,
            ),
            (
                400,
                r#"{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT","details":[{"reason":"API_KEY_INVALID"}]}}"#,
                Class::Unauthorized,
                None,
            ),
            (
                401,
                r#"{"error":{"message":"Incorrect API key provided","code":"invalid_api_key"}}"#,
                Class::Unauthorized,
                None,
            ),
            (
                400,
                r#"{"error":{"message":"you must provide messages","type":"invalid_request_error"}}"#,
                Class::CallerFault,
                None,
            ),
            // A relay repeats the model here, too.
            (
                503,
                r#"{"error":{"message":"no channel for model `try again in 20 hours`","type":"relay_error"}}"#,
                Class::Overloaded,
                None,
            ),
            (
                500,
                r#"{"error":{"message":"boom","type":"server_error"}}"#,
                Class::ServerError,
                None,
            ),
            (
                429,
                "<html><body>Too Many Requests</body></html>",
                Class::RateLimited,
                None,
            ),
            (429, "", Class::RateLimited, None),
            (500, "[]", Class::ServerError, None),
            (429, "null", Class::RateLimited, None),
        ] {
            let verdict = verdict(status, &HeaderMap::new(), body);
            assert_eq!(verdict.class(), class, "{status} {body}");
            let millis = verdict.hint().map(|hint| hint.as_millis());
            assert_eq!(millis, hint, "{status} {body}");
        }
    }

    #[test]
    fn what_the_endpoint_said_beside_its_class_is_kept() {
        use steadfast_core::{BreakerEffect, SameEndpoint};
        let headers = HeaderMap::from_iter([(
            HeaderName::from_static("x-should-retry"),
            HeaderValue::from_static("false"),
        )]);
        let overloaded = verdict(
            500,
            &headers,
            r#"{"error":{"code":"server_is_overloaded"}}"#,
        );
        assert_eq!(overloaded.class(), Class::Overloaded);
        assert_eq!(overloaded.same_endpoint(), SameEndpoint::Never);
        let timeout = verdict(
            408,
            &HeaderMap::new(),
            r#"{"error":{"code":"unavailable"}}"#,
        );
        assert_eq!(timeout.breaker(), BreakerEffect::Neutral);
    }

    #[test]
    fn a_header_that_says_how_long_comes_before_the_body_and_a_bucket_after_it() {
        let body = r#"{"error":{"message":"try again in 5s"}}"#;
        let with = |name: &'static str, value: &'static str| {
            let name = HeaderName::from_static(name);
            HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
        };
        let seconds = |headers| {
            verdict(429, &headers, body)
                .hint()
                .map(|hint| hint.as_secs())
        };
        assert_eq!(seconds(with("retry-after", "2")), Some(2));
        assert_eq!(seconds(with("ratelimit", "\"default\";r=0;t=30")), Some(5));
    }

    proptest! {
        #[test]
        fn no_body_panics(status in 400..600u16, body in ".{0,80}", depth in 0..300usize) {
            let nested = format!("{}{}", "[".repeat(depth), body);
            for body in [body, nested] {
                verdict(status, &HeaderMap::new(), &body);
            }
        }
    }
}
