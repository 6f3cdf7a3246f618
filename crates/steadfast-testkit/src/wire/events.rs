//! Answers in server-sent events.

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use super::answers::response;
use super::errors;
use super::shape::Shape;
use super::subject::Subject;

/// A comment, which readers of server-sent events skip. Gateways send them against idle timeouts.
pub(crate) const KEEP_ALIVE: Bytes = Bytes::from_static(b": keep-alive\n\n");

/// The events of one streamed answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Events<'a> {
    pub(crate) shape: Shape,
    pub(crate) subject: &'a Subject,
}

impl Events<'_> {
    /// The events before the first visible token.
    pub(crate) fn opening(self) -> Vec<Bytes> {
        let role = json!({"role": "assistant", "content": ""});
        match self.shape {
            Shape::Anthropic => {
                let mut message = super::answers::answer(self.shape, self.subject);
                message["content"] = json!([]);
                message["stop_reason"] = Value::Null;
                let block = json!({"type": "text", "text": ""});
                vec![
                    named("message_start", json!({"message": message})),
                    named(
                        "content_block_start",
                        json!({"index": 0, "content_block": block}),
                    ),
                    named("ping", json!({})),
                ]
            }
            Shape::Chat => vec![data(&self.chunk(role, None))],
            Shape::OpenRouter => vec![
                Bytes::from_static(b": OPENROUTER PROCESSING\n\n"),
                data(&self.chunk(role, None)),
            ],
            Shape::Responses => ["created", "in_progress"]
                .map(|step| self.response_event(step, "in_progress"))
                .into(),
            _ => vec![],
        }
    }

    /// The event with the visible text of chunk `index`.
    pub(crate) fn content(self, index: usize) -> Bytes {
        let text = self.subject.text(index);
        match self.shape {
            Shape::Anthropic => {
                let delta = json!({"type": "text_delta", "text": text});
                named("content_block_delta", json!({"index": 0, "delta": delta}))
            }
            Shape::Gemini => data(&self.subject.gemini_chunk(&text, None)),
            Shape::Completion => data(&self.subject.completion_chunk(&text, None)),
            Shape::Responses => named(
                "response.output_text.delta",
                json!({
                    "item_id": self.subject.id("msg"), "output_index": 0, "content_index": 0,
                    "delta": text, "sequence_number": index + 2,
                }),
            ),
            _ => data(&self.chunk(json!({"content": text}), None)),
        }
    }

    /// What ends a stream that went well.
    pub(crate) fn closing(self) -> Vec<Bytes> {
        let finish = match self.shape {
            Shape::Anthropic => {
                let delta = json!({"stop_reason": "end_turn", "stop_sequence": null});
                let usage = self.subject.usage_in_out();
                return vec![
                    named("content_block_stop", json!({"index": 0})),
                    named("message_delta", json!({"delta": delta, "usage": usage})),
                    named("message_stop", json!({})),
                ];
            }
            Shape::Gemini => return vec![data(&self.subject.gemini_chunk("", Some("STOP")))],
            Shape::Responses => return vec![self.response_event("completed", "completed")],
            Shape::Completion => self.subject.completion_chunk("", Some("stop")),
            _ => self.chunk(json!({}), Some("stop")),
        };
        self.finish_with_usage(finish)
    }

    /// The event that reports a failure after `200 OK`.
    pub(crate) fn error(self) -> Bytes {
        match self.shape {
            Shape::Anthropic => {
                let error = json!({"type": "overloaded_error", "message": "Overloaded"});
                named("error", json!({"error": error}))
            }
            Shape::Gemini => {
                let message = "The model is overloaded. Please try again later.";
                let status = StatusCode::SERVICE_UNAVAILABLE;
                data(&errors::gemini(status, message, json!([])))
            }
            Shape::OpenRouter => {
                let mut chunk = self.chunk(json!({"content": ""}), Some("error"));
                let message = "Provider disconnected unexpectedly";
                chunk["error"] = json!({"code": "server_error", "message": message});
                data(&chunk)
            }
            Shape::Responses => {
                let message = "The server had an error while processing your request.";
                named(
                    "error",
                    json!({"code": "server_error", "message": message, "param": null}),
                )
            }
            _ => {
                let message =
                    "The server had an error while processing your request. Sorry about that!";
                data(&json!({"error": {"message": message, "type": "server_error"}}))
            }
        }
    }

    /// OpenAI sends usage in an extra chunk on request. Other providers put it in the last chunk.
    fn finish_with_usage(self, mut finish: Value) -> Vec<Bytes> {
        let mut events = Vec::new();
        if self.subject.request["stream_options"]["include_usage"] == true {
            let mut usage = finish.clone();
            usage["choices"] = json!([]);
            usage["usage"] = self.subject.usage();
            events.extend([data(&finish), data(&usage)]);
        } else {
            finish["usage"] = self.subject.usage();
            events.push(data(&finish));
        }
        events.push(Bytes::from_static(b"data: [DONE]\n\n"));
        events
    }

    /// Returns a chunk of a chat or text completion.
    fn chunk(self, delta: Value, finish_reason: Option<&str>) -> Value {
        let mut chunk = self.subject.chat_chunk(delta, finish_reason);
        if self.shape == Shape::OpenRouter {
            chunk["provider"] = json!(self.subject.upstream);
        }
        chunk
    }

    /// Returns an event of OpenAI's responses API.
    fn response_event(self, step: &str, status: &str) -> Bytes {
        let response = response(self.subject, status);
        named(&format!("response.{step}"), json!({"response": response}))
    }
}

/// Returns an event with data alone.
fn data(event: &Value) -> Bytes {
    format!("data: {event}\n\n").into()
}

/// An event with a name, which is repeated as the `type` of its data.
fn named(name: &str, mut event: Value) -> Bytes {
    event["type"] = json!(name);
    format!("event: {name}\ndata: {event}\n\n").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAMED: [Shape; 6] = [
        Shape::Anthropic,
        Shape::Chat,
        Shape::Completion,
        Shape::Gemini,
        Shape::OpenRouter,
        Shape::Responses,
    ];

    fn subject(request: Value) -> Subject {
        Subject {
            upstream: "primary".to_owned(),
            number: 7,
            request,
            prompt_tokens: 5,
            chunks: 2,
        }
    }

    fn text(events: &[Bytes]) -> String {
        String::from_utf8(events.concat()).expect("events are UTF-8")
    }

    #[test]
    fn events_before_first_token_have_no_content() {
        let subject = subject(Value::Null);
        for shape in STREAMED {
            let events = Events {
                shape,
                subject: &subject,
            };
            let opening = text(&events.opening());
            assert!(!opening.contains("Hello"), "{opening}");
            assert!(text(&[events.content(0)]).contains("Hello from primary."));
        }
    }

    #[test]
    fn failure_has_format_of_its_provider() {
        let subject = subject(Value::Null);
        for (shape, expected) in [
            (Shape::Anthropic, r#"event: error"#),
            (Shape::Anthropic, r#""type":"overloaded_error""#),
            (Shape::Chat, r#""type":"server_error""#),
            (Shape::Completion, r#""type":"server_error""#),
            (Shape::Gemini, r#""status":"UNAVAILABLE""#),
            (Shape::OpenRouter, r#""finish_reason":"error""#),
            (Shape::Responses, r#""type":"error""#),
        ] {
            let event = text(&[Events {
                shape,
                subject: &subject,
            }
            .error()]);
            assert!(event.contains(expected), "{event}");
        }
    }

    #[test]
    fn requested_usage_comes_once_in_its_own_chunk() {
        let asked = subject(json!({"stream_options": {"include_usage": true}}));
        let not_asked = subject(Value::Null);
        for (subject, events) in [(&asked, 3), (&not_asked, 2)] {
            let shape = Shape::Chat;
            let closing = Events { shape, subject }.closing();
            assert_eq!(closing.len(), events);
            assert_eq!(text(&closing).matches(r#""total_tokens":7"#).count(), 1);
            assert!(text(&closing).ends_with("data: [DONE]\n\n"));
        }
    }
}
