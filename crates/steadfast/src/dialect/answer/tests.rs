use super::*;
use crate::dialect::context::tests::context_of;

fn verdict_on(body: &str, path: &str) -> Result<Option<TokenCounts>, Class> {
    let shape = answer_shape(path).expect("a shape");
    let judged = judge(body.as_bytes(), shape, &context_of("{}"));
    judged.map(|it| it.usage).map_err(|verdict| verdict.class())
}

#[test]
fn path_has_the_shape_of_its_answers() {
    for (path, shape) in [
        ("/v1/chat/completions", Some("choices")),
        ("/openai/deployments/gpt/chat/completions", Some("choices")),
        ("/v1/completions", Some("choices")),
        ("/v1/embeddings", Some("data")),
        ("/v1/messages", Some("content")),
        ("/v1/responses", Some("output")),
        ("/v2/chat", Some("message")),
        (
            "/v1beta/models/gemini-3:generateContent",
            Some("candidates"),
        ),
        ("/v1/messages/count_tokens", None),
        ("/v1/responses/r_1/cancel", None),
        ("/v1/models", None),
        ("/myembeddings", None),
        ("/", None),
    ] {
        let found = answer_shape(path).and_then(|shape| shape.first().copied());
        assert_eq!(found, shape, "{path}");
    }
}

#[test]
fn answer_of_the_requested_shape_succeeds_with_its_usage() {
    let counts = |input, output| Ok(Some(TokenCounts { input, output }));
    for (path, body, expected) in [
        (
            "/v1/chat/completions",
            r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":5,"x":{"prompt_tokens":9}}}"#,
            counts(3, 5),
        ),
        (
            "/v1/chat/completions",
            r#"{"choices":[],"error":null}"#,
            Ok(None),
        ),
        (
            "/v1/chat/completions",
            r#"{"choices":[],"error":"","usage":null}"#,
            Ok(None),
        ),
        (
            "/v1/chat/completions",
            r#"{"base_resp":{"status_code":0,"status_msg":""},"choices":[{}]}"#,
            Ok(None),
        ),
        (
            "/v1/embeddings",
            r#" {"data":[],"usage":{"prompt_tokens":3}} "#,
            counts(3, 0),
        ),
        (
            "/v1/messages",
            r#"{"type":"message","content":[],"usage":{"input_tokens":3,"output_tokens":5}}"#,
            counts(3, 5),
        ),
        (
            "/v1/responses",
            r#"{"output":[],"error":null,"usage":{"input_tokens":1,"output_tokens":2}}"#,
            counts(1, 2),
        ),
        (
            "/m:generateContent",
            r#"{"candidates":[],"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":5}}"#,
            counts(3, 5),
        ),
        (
            "/m:generateContent",
            r#"{"promptFeedback":{"blockReason":"SAFETY"}}"#,
            Ok(None),
        ),
        (
            "/m:streamGenerateContent",
            r#"[{"candidates":[]},{"candidates":[]}]"#,
            Ok(None),
        ),
    ] {
        assert_eq!(verdict_on(body, path), expected, "{body}");
    }
}

#[test]
fn other_body_fails_with_the_class_of_its_error() {
    for (body, class) in [
        ("", Class::ServerError),
        ("<html></html>", Class::ServerError),
        ("{}", Class::ServerError),
        ("[]", Class::ServerError),
        ("[1]", Class::ServerError),
        ("null", Class::ServerError),
        (r#"{"choices":null}"#, Class::ServerError),
        (r#"{"choices":"a"}"#, Class::ServerError),
        (r#"{"data":[]}"#, Class::ServerError),
        (r#"{"choices":[]"#, Class::ServerError),
        (r#"{"choices":[]}}"#, Class::ServerError),
        (
            r#"{"choices":[],"error":{"code":"slow_down"}}"#,
            Class::Overloaded,
        ),
        (
            r#"{"error":{"code":"rate_limit_exceeded"}}"#,
            Class::RateLimited,
        ),
        (r#"{"error":"no"}"#, Class::ServerError),
        (r#"{"error":{"code":503}}"#, Class::Overloaded),
        (r#"{"error":{"code":400}}"#, Class::ServerError),
        (
            r#"{"code":"rate_limit_exceeded","message":"m"}"#,
            Class::RateLimited,
        ),
        (r#"[{"error":{"code":429}}]"#, Class::RateLimited),
    ] {
        let found = verdict_on(body, "/v1/chat/completions");
        assert_eq!(found, Err(class), "{body}");
    }
}

/// A tree of a large error takes many times its size.
#[test]
fn error_beside_a_large_field_is_read_alone() {
    let large = "x".repeat(MAX_ERROR);
    for (error, class) in [
        (r#"{"code":"slow_down"}"#.to_owned(), Class::Overloaded),
        (
            format!(r#"{{"code":"slow_down","x":"{large}"}}"#),
            Class::ServerError,
        ),
    ] {
        let body = format!(r#"{{"error":{error},"large":"{large}"}}"#);
        assert_eq!(verdict_on(&body, "/v1/completions"), Err(class));
    }
}
