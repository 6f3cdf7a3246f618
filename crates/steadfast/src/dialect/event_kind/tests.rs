use super::*;
use crate::dialect::context::tests::context_of;
use steadfast_core::Class;

const fn choices(begun: u64, ended: u64, visible: bool) -> EventKind {
    EventKind::Choices {
        begun,
        ended,
        visible,
    }
}

#[test]
fn event_maps_to_kind() {
    const PREAMBLE: EventKind = choices(1, 0, false);
    const VISIBLE: EventKind = choices(1, 0, true);
    const FINAL: EventKind = choices(1, 1, false);
    for (data, expected) in [
        // OpenAI, and compatible servers.
        (
            r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#,
            PREAMBLE,
        ),
        (r#"{"choices":[{"delta":{"content":"Hi"}}]}"#, VISIBLE),
        (
            r#"{"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}"#,
            VISIBLE,
        ),
        (
            r#"{"choices":[{"delta":{"reasoning_content":"hm"}}]}"#,
            VISIBLE,
        ),
        (
            r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#,
            FINAL,
        ),
        (
            r#"{"choices":[{"text":"Hi","finish_reason":null}]}"#,
            VISIBLE,
        ),
        (
            r#"{"choices":[],"usage":{"total_tokens":3}}"#,
            choices(0, 0, false),
        ),
        (
            r#"{"choices":[{"delta":{"role":"assistant"},"finish_reason":""}]}"#,
            PREAMBLE,
        ),
        (
            r#"{"choices":[{"index":2,"delta":{"content":"Hi"},"finish_reason":"null"}]}"#,
            choices(4, 0, true),
        ),
        ("[DONE]", EventKind::Done),
        (" [DONE] ", EventKind::Done),
        // OpenAI's responses.
        (
            r#"{"type":"response.created","response":{"error":null}}"#,
            EventKind::Preamble,
        ),
        (r#"{"type":"response.in_progress"}"#, EventKind::Preamble),
        (
            r#"{"type":"response.output_text.delta","delta":"Hi"}"#,
            EventKind::Visible,
        ),
        (
            r#"{"type":"response.output_text.delta","delta":""}"#,
            EventKind::Preamble,
        ),
        (r#"{"type":"response.completed"}"#, EventKind::Final),
        // Anthropic.
        (
            r#"{"type":"message_start","message":{}}"#,
            EventKind::Preamble,
        ),
        (r#"{"type":"ping"}"#, EventKind::Ping),
        (
            r#"{"type":"content_block_start","content_block":{"type":"text","text":""}}"#,
            EventKind::Preamble,
        ),
        (
            r#"{"type":"content_block_start","content_block":{"type":"tool_use"}}"#,
            EventKind::Visible,
        ),
        (
            r#"{"type":"content_block_delta","delta":{"text":"Hi"}}"#,
            EventKind::Visible,
        ),
        (
            r#"{"type":"content_block_delta","delta":{"type":"text_delta","text":""}}"#,
            EventKind::Preamble,
        ),
        (
            r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"}}"#,
            EventKind::Final,
        ),
        (r#"{"type":"message_stop"}"#, EventKind::Final),
        // Gemini.
        (
            r#"{"candidates":[{"content":{"parts":[{"text":"Hi"}]}}]}"#,
            VISIBLE,
        ),
        (
            r#"{"candidates":[{"content":{"parts":[]},"finishReason":"STOP"}]}"#,
            FINAL,
        ),
        // Unknown events.
        (r#"{"progress":0.5}"#, EventKind::Unknown),
        ("plain text", EventKind::Unknown),
        ("", EventKind::Unknown),
        ("[]", EventKind::Unknown),
    ] {
        assert_eq!(
            EventKind::of(b"", data.as_bytes(), &context_of("{}")),
            expected,
            "{data}"
        );
    }
}

#[test]
fn each_part_of_a_delta_is_visible() {
    for field in [
        "content",
        "tool_calls",
        "function_call",
        "reasoning",
        "reasoning_content",
        "refusal",
        "audio",
    ] {
        let event = format!(r#"{{"choices":[{{"delta":{{"{field}":["x"]}}}}]}}"#);
        let kind = EventKind::of(b"", event.as_bytes(), &Context::default());
        assert_eq!(kind, choices(1, 0, true), "{field}");
    }
}

#[test]
fn delta_of_cohere_is_visible() {
    for kind in ["content-delta", "tool-plan-delta", "tool-call-start"] {
        let event = format!(r#"{{"type":"{kind}","delta":{{"message":{{"text":"Hi"}}}}}}"#);
        let kind = EventKind::of(b"", event.as_bytes(), &Context::default());
        assert_eq!(kind, EventKind::Visible, "{event}");
    }
}

/// Pings do not prove that the model works, and count by their name too.
#[test]
fn name_or_type_of_event_maps_to_kind() {
    for (kind, expected) in [
        ("keepalive", EventKind::Ping),
        ("keep-alive", EventKind::Ping),
        ("keep_alive", EventKind::Ping),
        ("heartbeat", EventKind::Ping),
        ("ping", EventKind::Ping),
        ("response.keepalive", EventKind::Ping),
        ("response.queued", EventKind::Preamble),
        ("response.output_item.added", EventKind::Preamble),
        ("response.content_part.added", EventKind::Preamble),
        ("response.completed", EventKind::Final),
        ("response.incomplete", EventKind::Final),
        ("message-start", EventKind::Preamble),
        ("content-start", EventKind::Preamble),
        ("content-end", EventKind::Preamble),
        ("citation-start", EventKind::Preamble),
    ] {
        let context = Context::default();
        let typed = format!(r#"{{"type":"{kind}"}}"#);
        assert_eq!(
            EventKind::of(b"", typed.as_bytes(), &context),
            expected,
            "{kind}"
        );
        assert_eq!(
            EventKind::of(kind.as_bytes(), b"{}", &context),
            expected,
            "{kind}"
        );
    }
}

#[test]
fn error_event_of_each_dialect_maps_to_class() {
    for (dialect, data, class) in [
        (
            "OpenAI chat",
            r#"{"error":{"message":"The server had an error while processing your request. Sorry about that!","type":"server_error"}}"#,
            Class::ServerError,
        ),
        (
            "OpenAI responses",
            r#"{"type":"error","code":"rate_limit_exceeded","message":"slow"}"#,
            Class::RateLimited,
        ),
        (
            "MiniMax, a number",
            r#"{"choices":null,"base_resp":{"status_code":1002,"status_msg":"x"}}"#,
            Class::RateLimited,
        ),
        (
            "Mistral, a type",
            r#"{"object":"error","message":"x","type":"rate_limited","code":"1300"}"#,
            Class::RateLimited,
        ),
        (
            "OpenAI responses",
            r#"{"type":"response.failed","response":{"error":{"code":"server_error","message":"x"}}}"#,
            Class::ServerError,
        ),
        (
            "OpenAI responses, a prompt",
            r#"{"type":"response.failed","response":{"error":{"code":"invalid_prompt","message":"x"}}}"#,
            Class::CallerFault,
        ),
        (
            "OpenAI responses, an image",
            r#"{"type":"response.failed","response":{"error":{"code":"image_file_too_large","message":"x"}}}"#,
            Class::CallerFault,
        ),
        (
            "OpenAI responses, the content of an image",
            r#"{"type":"response.failed","response":{"error":{"code":"image_content_policy_violation","message":"x"}}}"#,
            Class::ContentPolicy,
        ),
        (
            "Anthropic, a request",
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"x"}}"#,
            Class::CallerFault,
        ),
        (
            "Anthropic, a prompt",
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 9 tokens"}}"#,
            Class::ContextTooLong,
        ),
        (
            "Gemini, a request",
            r#"{"error":{"code":400,"status":"INVALID_ARGUMENT","message":"x"}}"#,
            Class::CallerFault,
        ),
        (
            "vLLM, after a failure of its engine",
            r#"{"error":{"object":"error","message":"x","type":"BadRequestError","code":400}}"#,
            Class::ServerError,
        ),
        (
            "Anthropic",
            r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
            Class::Overloaded,
        ),
        (
            "Gemini",
            r#"{"error":{"code":503,"status":"UNAVAILABLE","message":"busy"}}"#,
            Class::Overloaded,
        ),
        (
            "Gemini, an array",
            r#"[{"error":{"code":429,"status":"RESOURCE_EXHAUSTED"}}]"#,
            Class::RateLimited,
        ),
        (
            "OpenRouter",
            r#"{"id":"cmpl-1","object":"chat.completion.chunk","error":{"code":"server_error","message":"Provider disconnected unexpectedly"},"choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}]}"#,
            Class::ServerError,
        ),
        (
            "a text",
            r#"{"error":"overloaded, try again later"}"#,
            Class::ServerError,
        ),
    ] {
        match EventKind::of(b"", data.as_bytes(), &context_of("{}")) {
            EventKind::Failed(verdict) => assert_eq!(verdict.class(), class, "{dialect}"),
            other => panic!("{dialect}: {other:?}"),
        }
    }
}

/// A tree of a large error takes many times its memory.
#[test]
fn error_beyond_64_kib_is_not_read() {
    let kind = |data: &str| EventKind::of(b"", data.as_bytes(), &context_of("{}"));
    for (length, class) in [(100, Class::ContentPolicy), (MAX_ERROR, Class::ServerError)] {
        let pad = "x".repeat(length);
        let error = format!(
            r#"{{"error":{{"code":"content_policy_violation","message":"flagged","x":"{pad}"}}}}"#
        );
        match kind(&error) {
            EventKind::Failed(verdict) => assert_eq!(verdict.class(), class, "{length}"),
            other => panic!("{length}: {other:?}"),
        }
        let bare = format!(
            r#"{{"object":"error","message":"x","type":"rate_limited","code":"1300","x":"{pad}"}}"#
        );
        let is_read = length < MAX_ERROR;
        assert_eq!(kind(&bare) != EventKind::Unknown, is_read, "{length}");
    }
}
