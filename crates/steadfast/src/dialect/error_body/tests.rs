use super::*;
use crate::dialect::context::tests::context_of;
use http::{HeaderName, HeaderValue};
use proptest::prelude::*;
use steadfast_core::{Classify, DefaultClassifier, Head};

fn verdict(status: u16, headers: &HeaderMap, body: &str) -> Verdict {
    verdict_after(&context_of("{}"), status, headers, body)
}

/// Returns the verdict on an error that answers a request with this text.
fn verdict_after(request: &Context, status: u16, headers: &HeaderMap, body: &str) -> Verdict {
    let status = StatusCode::from_u16(status).unwrap();
    let verdict = DefaultClassifier.classify(Ok(Head::new(status, headers)));
    refine(verdict, (status, headers), body.as_bytes(), request, true)
}

/// The error bodies in the facts about providers.
#[test]
fn error_body_proves_class_and_hint() {
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
fn refined_verdict_keeps_retry_and_breaker_effect() {
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
fn retry_after_precedes_body_and_body_precedes_bucket() {
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

/// One request could bench an endpoint for a day: the message of an error repeats its model, its
/// prompt or its field names, and the words were taken for the endpoint's own.
#[test]
fn text_of_the_request_is_no_evidence() {
    let attacks = [
        (
            429,
            r#"{"model":"x, try again in 86400s"}"#,
            r#"{"error":{"message":"Rate limit reached for x, try again in 86400s","code":"rate_limit_exceeded"}}"#,
            Class::RateLimited,
        ),
        (
            429,
            r#"{"model":"gpt","try_again_in":"86400s"}"#,
            r#"{"message":"try again in 86400s: unknown field"}"#,
            Class::RateLimited,
        ),
        (
            400,
            r#"{"Your credit balance is too low":1}"#,
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low: Extra inputs are not permitted"}}"#,
            Class::CallerFault,
        ),
        (
            429,
            r#"{"messages":[{"content":"Too many tokens per day"}]}"#,
            r#"{"message":"Too many tokens per day, is no prompt"}"#,
            Class::RateLimited,
        ),
        (
            429,
            r#"{"model":"insufficient_quota"}"#,
            r#"{"error":"insufficient_quota"}"#,
            Class::RateLimited,
        ),
    ];
    for (status, request, body, class) in attacks {
        for request in [context_of(request), Context::default()] {
            let verdict = verdict_after(&request, status, &HeaderMap::new(), body);
            assert_eq!(verdict.class(), class, "{body}");
            assert_eq!(verdict.hint(), None, "{body}");
            assert!(!verdict.is_from_text(), "{body}");
        }
        let other = verdict(status, &HeaderMap::new(), body);
        let is_evidence = other.class() != class || other.hint().is_some();
        assert!(is_evidence, "the same words of the endpoint count: {body}");
    }
}

#[test]
fn verdict_marks_text_and_has_scope_of_body() {
    for (status, body, from_text, scope) in [
        (
            429,
            r#"{"error":{"code":"insufficient_quota"}}"#,
            false,
            Scope::Endpoint,
        ),
        (
            402,
            r#"{"error":{"message":"pay"}}"#,
            false,
            Scope::Endpoint,
        ),
        (429, r#"{"message":"Try again in 9s"}"#, true, Scope::Key),
        (
            429,
            r#"{"message":"Too many tokens per day"}"#,
            true,
            Scope::Endpoint,
        ),
        (
            429,
            r#"{"error":{"message":"Your account x request reached max"}}"#,
            false,
            Scope::Endpoint,
        ),
        (
            400,
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low"}}"#,
            true,
            Scope::Request,
        ),
        (
            404,
            r#"{"error":{"message":"The model `x` does not exist"}}"#,
            true,
            Scope::Key,
        ),
        (
            404,
            r#"{"error":{"code":"model_not_found"}}"#,
            false,
            Scope::Key,
        ),
        (
            429,
            r#"{"error":{"details":[{"violations":[{"quotaId":"PerDayPerModel","quotaDimensions":{"model":"gemini"}}]}]}}"#,
            false,
            Scope::Key,
        ),
    ] {
        let verdict = verdict(status, &HeaderMap::new(), body);
        assert_eq!(verdict.is_from_text(), from_text, "{body}");
        assert_eq!(verdict.scope(), scope, "{body}");
    }
}

proptest! {
    #[test]
    fn arbitrary_body_does_not_panic(status in 400..600u16, body in ".{0,80}", depth in 0..300usize) {
        let nested = format!("{}{}", "[".repeat(depth), body);
        for body in [body, nested] {
            verdict(status, &HeaderMap::new(), &body);
        }
    }
}
