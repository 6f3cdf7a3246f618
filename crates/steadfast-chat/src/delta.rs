use std::collections::VecDeque;

use serde_json::Value;

use crate::completion::Usage;

/// A part of a streamed answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Delta {
    /// The reason for the end of the answer, such as `stop` or `length`.
    Finish(String),
    /// A part of the thoughts of a reasoning model.
    Reasoning(String),
    /// A part of the text.
    Text(String),
    /// A part of a call of a tool.
    ToolCall(ToolCallDelta),
    /// The tokens of the whole answer. See [`ChatCall::usage`](crate::ChatCall::usage).
    Usage(Usage),
}

/// A part of a call of a tool. The arguments of all parts with one index form a JSON text.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ToolCallDelta {
    /// The position of the call within the answer.
    pub index: u64,
    /// The id of the call, in its first part.
    pub id: Option<String>,
    /// The name of the function, in its first part.
    pub name: Option<String>,
    /// A part of the arguments.
    pub arguments: String,
}

/// Appends the deltas of a chunk.
pub(crate) fn read_chunk(chunk: &Value, found: &mut VecDeque<Delta>) {
    let choices = chunk["choices"].as_array().map_or(&[][..], Vec::as_slice);
    let first = choices
        .iter()
        .find(|it| it["index"].as_u64().unwrap_or(0) == 0);
    if let Some(choice) = first {
        let delta = &choice["delta"];
        let text = |name: &str| delta[name].as_str().filter(|text| !text.is_empty());
        if let Some(thoughts) = text("reasoning_content").or_else(|| text("reasoning")) {
            found.push_back(Delta::Reasoning(thoughts.to_owned()));
        }
        // A refusal is the text that the model writes in the place of an answer.
        if let Some(text) = text("content").or_else(|| text("refusal")) {
            found.push_back(Delta::Text(text.to_owned()));
        }
        let calls = delta["tool_calls"].as_array().into_iter().flatten();
        found.extend(calls.map(|call| Delta::ToolCall(ToolCallDelta::of(call))));
        if let Some(reason) = choice["finish_reason"].as_str() {
            found.push_back(Delta::Finish(reason.to_owned()));
        }
    }
    found.extend(Usage::of(&chunk["usage"]).map(Delta::Usage));
}

impl ToolCallDelta {
    fn of(call: &Value) -> Self {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        Self {
            index: call["index"].as_u64().unwrap_or(0),
            id: text(&call["id"]),
            name: text(&call["function"]["name"]),
            arguments: text(&call["function"]["arguments"]).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn deltas(chunk: &Value) -> Vec<Delta> {
        let mut found = VecDeque::new();
        read_chunk(chunk, &mut found);
        found.into()
    }

    #[test]
    fn chunk_has_deltas_in_the_order_of_an_answer() {
        let chunk = json!({
            "choices": [
                { "index": 1, "delta": { "content": "other" } },
                {
                    "index": 0,
                    "delta": { "content": "a", "reasoning_content": "t", "tool_calls": [
                        { "index": 2, "id": "c", "function": { "name": "f", "arguments": "{" } },
                    ]},
                    "finish_reason": "stop",
                },
            ],
            "usage": {
                "prompt_tokens": 3,
                "completion_tokens": 2,
                "prompt_tokens_details": { "cached_tokens": 1 },
            },
        });
        let call = ToolCallDelta {
            index: 2,
            id: Some("c".into()),
            name: Some("f".into()),
            arguments: "{".into(),
        };
        let usage = Usage {
            prompt_tokens: 3,
            cached_tokens: 1,
            completion_tokens: 2,
        };
        let expected = [
            Delta::Reasoning("t".into()),
            Delta::Text("a".into()),
            Delta::ToolCall(call),
            Delta::Finish("stop".into()),
            Delta::Usage(usage),
        ];
        assert_eq!(deltas(&chunk), expected);
    }

    /// A server chooses the types.
    #[test]
    fn unusual_chunk_has_no_deltas() {
        for chunk in [
            json!(null),
            json!([1]),
            json!({ "choices": {} }),
            json!({ "choices": [7, null], "usage": null }),
            json!({ "choices": [{ "delta": { "content": "" }, "finish_reason": null }] }),
            json!({ "choices": [{ "delta": { "content": 7, "tool_calls": 7 } }], "usage": 7 }),
        ] {
            assert!(deltas(&chunk).is_empty(), "{chunk}");
        }
    }
}
