//! The request fields that an answer repeats.

use serde_json::{Value, json};

/// The moment of every answer, so that two runs give the same bytes.
pub(crate) const CREATED: u64 = 1_700_000_000;

/// What an answer, in one piece or in events, is about.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    /// The name of the upstream, which its answers carry.
    pub(crate) upstream: String,
    /// Which request this is: 1 is the first one.
    pub(crate) number: u64,
    pub(crate) request: Value,
    pub(crate) prompt_tokens: usize,
    pub(crate) chunks: usize,
}

impl Subject {
    /// The model that the client asked for, at the upstream that answered.
    pub(crate) fn model(&self) -> String {
        let asked = self.request["model"].as_str().unwrap_or("test-model");
        format!("{asked}@{}", self.upstream)
    }

    /// Returns the id of an answer, equal in every run.
    pub(crate) fn id(&self, prefix: &str) -> String {
        format!("{prefix}-{}-{}", self.upstream, self.number)
    }

    /// The visible text of chunk `index`.
    pub(crate) fn text(&self, index: usize) -> String {
        if index == 0 {
            format!("Hello from {}.", self.upstream)
        } else {
            format!(" Chunk {index}.")
        }
    }

    /// Usage in OpenAI's words. A chunk of content is one token.
    pub(crate) fn usage(&self) -> Value {
        json!({
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.chunks,
            "total_tokens": self.prompt_tokens + self.chunks,
        })
    }

    /// Usage in the words of Anthropic and of OpenAI's newer API.
    pub(crate) fn usage_in_out(&self) -> Value {
        json!({
            "input_tokens": self.prompt_tokens,
            "output_tokens": self.chunks,
            "total_tokens": self.prompt_tokens + self.chunks,
        })
    }

    /// Returns the token counts in Google's format.
    pub(crate) fn usage_gemini(&self) -> Value {
        json!({
            "promptTokenCount": self.prompt_tokens,
            "candidatesTokenCount": self.chunks,
            "totalTokenCount": self.prompt_tokens + self.chunks,
        })
    }

    /// The whole text: what the chunks of a stream add up to.
    pub(crate) fn full_text(&self) -> String {
        (0..self.chunks).map(|index| self.text(index)).collect()
    }

    /// A chunk of a chat completion.
    pub(crate) fn chat_chunk(&self, delta: Value, finish_reason: Option<&str>) -> Value {
        let mut chunk = json!({
            "id": self.id("chatcmpl"), "object": "chat.completion.chunk",
            "created": CREATED, "model": self.model(),
            "choices": [{"index": 0, "finish_reason": finish_reason}],
        });
        chunk["choices"][0]["delta"] = delta;
        chunk
    }

    /// A chunk of a text completion.
    pub(crate) fn completion_chunk(&self, text: &str, finish_reason: Option<&str>) -> Value {
        json!({
            "id": self.id("cmpl"), "object": "text_completion", "created": CREATED,
            "model": self.model(),
            "choices": [{"index": 0, "text": text, "finish_reason": finish_reason}],
        })
    }

    /// A chunk of Gemini's stream.
    pub(crate) fn gemini_chunk(&self, text: &str, finish_reason: Option<&str>) -> Value {
        let content = json!({"role": "model", "parts": [{"text": text}]});
        let mut candidate = json!({"index": 0, "content": content});
        if let Some(reason) = finish_reason {
            candidate["finishReason"] = json!(reason);
        }
        json!({
            "candidates": [candidate], "modelVersion": self.model(),
            "usageMetadata": self.usage_gemini(),
        })
    }
}
