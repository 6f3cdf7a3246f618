//! What an event of a stream means, in the dialects of the providers.

use serde_json::Value;
use steadfast_core::Verdict;

use crate::edge::error_body::verdict_of_error_value;

/// What the data of one event tells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Meaning {
    /// The server is still there, and that is all.
    Ping,
    /// Something before the answer: a role, an announcement.
    Preamble,
    /// Something that the reader shows.
    Visible,
    /// A piece of one or more choices of a completion, a bit for each.
    Choices {
        /// Those that it is about.
        begun: u64,
        /// Those that end with it.
        ended: u64,
        /// Whether it has something that the reader shows.
        visible: bool,
    },
    /// The end of the answer.
    Final,
    /// The endpoint failed after it had said `200`.
    Failed(Verdict),
    /// Nothing that is known here.
    Unknown,
}

impl Meaning {
    pub(crate) fn of(data: &[u8]) -> Self {
        if data.trim_ascii() == b"[DONE]" {
            return Self::Final;
        }
        match serde_json::from_slice::<Value>(data) {
            Ok(Value::Array(items)) => items.first().map_or(Self::Unknown, of_value),
            Ok(value) => of_value(&value),
            Err(_) => Self::Unknown,
        }
    }
}

fn of_value(value: &Value) -> Meaning {
    if let Some(error) = error_in(value) {
        return Meaning::Failed(verdict_of_error_value(error));
    }
    if let Some(kind) = value["type"].as_str() {
        return of_type(kind, value);
    }
    // The usage of a completion comes last, without any choice.
    if let Some(choices) = value["choices"].as_array() {
        return of_choices(choices, is_shown, "finish_reason");
    }
    if let Some(candidates) = value["candidates"].as_array() {
        let is_shown = |candidate: &Value| is_something(&candidate["content"]["parts"]);
        return of_choices(candidates, is_shown, "finishReason");
    }
    Meaning::Unknown
}

/// The error that an event carries, wherever its dialect puts it.
fn error_in(value: &Value) -> Option<&Value> {
    if let Some(error) = value.get("error").filter(|error| is_something(error)) {
        return Some(error);
    }
    match value["type"].as_str()? {
        "error" => Some(value),
        "response.failed" => Some(&value["response"]["error"]),
        _ => None,
    }
}

/// Anthropic's messages and OpenAI's responses.
fn of_type(kind: &str, value: &Value) -> Meaning {
    match kind {
        "message_stop" | "response.completed" | "response.incomplete" => Meaning::Final,
        "ping" => Meaning::Ping,
        "message_start"
        | "content_block_stop"
        | "response.created"
        | "response.in_progress"
        | "response.queued"
        | "response.output_item.added"
        | "response.content_part.added" => Meaning::Preamble,
        "content_block_start" => match value["content_block"]["type"].as_str() {
            Some("text" | "thinking") => Meaning::Preamble,
            _ => Meaning::Visible,
        },
        // A message delta carries the reason why the answer ended.
        "message_delta" if value["delta"]["stop_reason"].is_string() => Meaning::Final,
        kind if kind.starts_with("response.") || kind.starts_with("content_block") => {
            if is_empty_delta(&value["delta"]) {
                Meaning::Preamble
            } else {
                Meaning::Visible
            }
        }
        _ => Meaning::Unknown,
    }
}

/// Whether a piece of an answer is there, and has nothing in it.
fn is_empty_delta(delta: &Value) -> bool {
    match delta {
        Value::String(text) => text.is_empty(),
        Value::Object(fields) => {
            (fields.iter()).all(|(name, value)| name == "type" || !is_something(value))
        }
        _ => false,
    }
}

/// The choices of a completion, or the candidates of Gemini.
fn of_choices(choices: &[Value], is_shown: impl Fn(&Value) -> bool, reason: &str) -> Meaning {
    let (mut begun, mut ended, mut visible) = (0, 0, false);
    for choice in choices {
        let index = choice["index"].as_u64().unwrap_or_default().min(63);
        begun |= 1 << index;
        // Some relays send an empty reason, or the text "null", with every piece.
        let reason = choice[reason].as_str().unwrap_or_default();
        if !reason.is_empty() && reason != "null" {
            ended |= 1 << index;
        }
        visible |= is_shown(choice);
    }
    Meaning::Choices {
        begun,
        ended,
        visible,
    }
}

/// Whether a choice of a chat completion, or of a completion, has something to show.
fn is_shown(choice: &Value) -> bool {
    let delta = &choice["delta"];
    let shown = [
        &delta["content"],
        &delta["tool_calls"],
        &delta["function_call"],
        &delta["reasoning"],
        &delta["reasoning_content"],
        &delta["refusal"],
        &delta["audio"],
        &choice["text"],
    ];
    shown.into_iter().any(is_something)
}

fn is_something(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use steadfast_core::Class;

    const fn choices(begun: u64, ended: u64, visible: bool) -> Meaning {
        Meaning::Choices {
            begun,
            ended,
            visible,
        }
    }

    #[test]
    fn tells_preamble_from_what_is_shown() {
        const PREAMBLE: Meaning = choices(1, 0, false);
        const VISIBLE: Meaning = choices(1, 0, true);
        const FINAL: Meaning = choices(1, 1, false);
        for (data, expected) in [
            // OpenAI, and those who speak like it.
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
            ("[DONE]", Meaning::Final),
            (" [DONE] ", Meaning::Final),
            // OpenAI's responses.
            (
                r#"{"type":"response.created","response":{"error":null}}"#,
                Meaning::Preamble,
            ),
            (r#"{"type":"response.in_progress"}"#, Meaning::Preamble),
            (
                r#"{"type":"response.output_text.delta","delta":"Hi"}"#,
                Meaning::Visible,
            ),
            (
                r#"{"type":"response.output_text.delta","delta":""}"#,
                Meaning::Preamble,
            ),
            (r#"{"type":"response.completed"}"#, Meaning::Final),
            // Anthropic.
            (
                r#"{"type":"message_start","message":{}}"#,
                Meaning::Preamble,
            ),
            (r#"{"type":"ping"}"#, Meaning::Ping),
            (
                r#"{"type":"content_block_start","content_block":{"type":"text","text":""}}"#,
                Meaning::Preamble,
            ),
            (
                r#"{"type":"content_block_start","content_block":{"type":"tool_use"}}"#,
                Meaning::Visible,
            ),
            (
                r#"{"type":"content_block_delta","delta":{"text":"Hi"}}"#,
                Meaning::Visible,
            ),
            (
                r#"{"type":"content_block_delta","delta":{"type":"text_delta","text":""}}"#,
                Meaning::Preamble,
            ),
            (
                r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"}}"#,
                Meaning::Final,
            ),
            (r#"{"type":"message_stop"}"#, Meaning::Final),
            // Gemini.
            (
                r#"{"candidates":[{"content":{"parts":[{"text":"Hi"}]}}]}"#,
                VISIBLE,
            ),
            (
                r#"{"candidates":[{"content":{"parts":[]},"finishReason":"STOP"}]}"#,
                FINAL,
            ),
            // Somebody else.
            (r#"{"progress":0.5}"#, Meaning::Unknown),
            ("plain text", Meaning::Unknown),
            ("", Meaning::Unknown),
            ("[]", Meaning::Unknown),
        ] {
            assert_eq!(Meaning::of(data.as_bytes()), expected, "{data}");
        }
    }

    #[test]
    fn finds_the_error_in_every_dialect() {
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
                "OpenAI responses, what an image shows",
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
                "vLLM, whose engine failed",
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
            match Meaning::of(data.as_bytes()) {
                Meaning::Failed(verdict) => assert_eq!(verdict.class(), class, "{dialect}"),
                other => panic!("{dialect}: {other:?}"),
            }
        }
    }
}
