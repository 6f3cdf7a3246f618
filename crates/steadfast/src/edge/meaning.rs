//! What an event of a stream means, in the dialects of the providers.

use serde_json::Value;
use steadfast_core::Verdict;

use crate::edge::error_body::verdict_of_error_value;

/// What the data of one event tells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Meaning {
    /// Something before the answer: a role, a ping, an announcement.
    Preamble,
    /// Something that the reader shows.
    Visible,
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
    if let Some(choices) = value["choices"].as_array() {
        // The usage comes last, and alone.
        return strongest(choices.iter().map(of_choice));
    }
    if let Some(candidates) = value["candidates"].as_array() {
        return strongest(candidates.iter().map(|candidate| {
            if candidate["finishReason"].is_string() {
                Meaning::Final
            } else if is_something(&candidate["content"]["parts"]) {
                Meaning::Visible
            } else {
                Meaning::Preamble
            }
        }));
    }
    Meaning::Unknown
}

/// The error that an event carries, wherever its dialect puts it.
fn error_in(value: &Value) -> Option<&Value> {
    if let Some(error) = value.get("error").filter(|error| !error.is_null()) {
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
        "message_start"
        | "ping"
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
            Meaning::Visible
        }
        _ => Meaning::Unknown,
    }
}

/// One choice of a chat completion, or of a completion.
fn of_choice(choice: &Value) -> Meaning {
    if choice["finish_reason"].is_string() {
        return Meaning::Final;
    }
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
    if shown.into_iter().any(is_something) {
        Meaning::Visible
    } else {
        Meaning::Preamble
    }
}

fn is_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => true,
    }
}

/// Of several choices, the one that tells the most.
fn strongest(meanings: impl Iterator<Item = Meaning>) -> Meaning {
    let rank = |meaning: &Meaning| match meaning {
        Meaning::Final => 2,
        Meaning::Visible => 1,
        _ => 0,
    };
    meanings.max_by_key(rank).unwrap_or(Meaning::Preamble)
}

#[cfg(test)]
mod tests {
    use super::*;
    use steadfast_core::Class;

    #[test]
    fn tells_preamble_from_what_is_shown() {
        for (data, expected) in [
            // OpenAI, and those who speak like it.
            (
                r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#,
                Meaning::Preamble,
            ),
            (
                r#"{"choices":[{"delta":{"content":"Hi"}}]}"#,
                Meaning::Visible,
            ),
            (
                r#"{"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}"#,
                Meaning::Visible,
            ),
            (
                r#"{"choices":[{"delta":{"reasoning_content":"hm"}}]}"#,
                Meaning::Visible,
            ),
            (
                r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#,
                Meaning::Final,
            ),
            (
                r#"{"choices":[{"text":"Hi","finish_reason":null}]}"#,
                Meaning::Visible,
            ),
            (
                r#"{"choices":[],"usage":{"total_tokens":3}}"#,
                Meaning::Preamble,
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
            (r#"{"type":"response.completed"}"#, Meaning::Final),
            // Anthropic.
            (
                r#"{"type":"message_start","message":{}}"#,
                Meaning::Preamble,
            ),
            (r#"{"type":"ping"}"#, Meaning::Preamble),
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
                r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"}}"#,
                Meaning::Final,
            ),
            (r#"{"type":"message_stop"}"#, Meaning::Final),
            // Gemini.
            (
                r#"{"candidates":[{"content":{"parts":[{"text":"Hi"}]}}]}"#,
                Meaning::Visible,
            ),
            (
                r#"{"candidates":[{"content":{"parts":[]},"finishReason":"STOP"}]}"#,
                Meaning::Final,
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
