//! Answers in one piece.

use serde_json::{Value, json};

use super::shape::Shape;
use super::subject::{CREATED, Subject};

/// The answer to `subject` in one piece.
pub(crate) fn answer(shape: Shape, subject: &Subject) -> Value {
    match shape {
        Shape::Anthropic => json!({
            "id": subject.id("msg"), "type": "message", "role": "assistant",
            "model": subject.model(),
            "content": [{"type": "text", "text": subject.full_text()}],
            "stop_reason": "end_turn", "stop_sequence": null, "usage": subject.usage_in_out(),
        }),
        Shape::Chat => chat(subject),
        Shape::Completion => json!({
            "id": subject.id("cmpl"), "object": "text_completion", "created": CREATED,
            "model": subject.model(),
            "choices": [{
                "index": 0, "text": subject.full_text(), "finish_reason": "stop",
                "logprobs": null,
            }],
            "usage": subject.usage(),
        }),
        Shape::Embeddings => embeddings(subject),
        Shape::Gemini => json!({
            "candidates": [{
                "index": 0, "finishReason": "STOP",
                "content": {"role": "model", "parts": [{"text": subject.full_text()}]},
            }],
            "usageMetadata": subject.usage_gemini(), "modelVersion": subject.model(),
        }),
        Shape::Models => json!({
            "object": "list",
            "data": [{
                "id": "test-model", "object": "model", "created": CREATED,
                "owned_by": subject.upstream,
            }],
        }),
        Shape::OpenRouter => {
            let mut answer = chat(subject);
            answer["provider"] = json!(subject.upstream);
            answer
        }
        Shape::Responses => response(subject, "completed"),
    }
}

/// A response object of OpenAI's Responses API, as it is after `status` was reached.
pub(crate) fn response(subject: &Subject, status: &str) -> Value {
    let done = status == "completed";
    let message = json!({
        "id": subject.id("msg"), "type": "message", "role": "assistant", "status": status,
        "content": [{"type": "output_text", "text": subject.full_text(), "annotations": []}],
    });
    json!({
        "id": subject.id("resp"), "object": "response", "created_at": CREATED,
        "model": subject.model(), "status": status, "error": null,
        "output": if done { json!([message]) } else { json!([]) },
        "usage": if done { subject.usage_in_out() } else { Value::Null },
    })
}

/// Returns a chat completion of OpenAI.
fn chat(subject: &Subject) -> Value {
    json!({
        "id": subject.id("chatcmpl"), "object": "chat.completion", "created": CREATED,
        "model": subject.model(),
        "choices": [{
            "index": 0, "finish_reason": "stop", "logprobs": null,
            "message": {"role": "assistant", "content": subject.full_text(), "refusal": null},
        }],
        "usage": subject.usage(),
    })
}

/// Returns one vector for each input.
fn embeddings(subject: &Subject) -> Value {
    let input = &subject.request["input"];
    // A list of numbers is one text, as tokens.
    let texts = match input.as_array() {
        Some(items) if !items.iter().all(Value::is_number) => items.len(),
        _ => 1,
    };
    let vectors: Vec<_> = (0..texts)
        .map(
            |index| json!({"object": "embedding", "index": index, "embedding": [0.25, -0.5, 0.75]}),
        )
        .collect();
    json!({
        "object": "list", "data": vectors, "model": subject.model(),
        "usage": {"prompt_tokens": subject.prompt_tokens, "total_tokens": subject.prompt_tokens},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_gets_an_embedding() {
        for (input, expected) in [
            (json!("one"), 1),
            (json!(["one", "two"]), 2),
            (json!([1, 2, 3]), 1),
            (json!([[1, 2], [3]]), 2),
            (Value::Null, 1),
        ] {
            let subject = Subject {
                upstream: "primary".to_owned(),
                number: 1,
                request: json!({"input": input}),
                prompt_tokens: 4,
                chunks: 3,
            };
            let answer = answer(Shape::Embeddings, &subject);
            assert_eq!(answer["data"].as_array().map(Vec::len), Some(expected));
        }
    }
}
