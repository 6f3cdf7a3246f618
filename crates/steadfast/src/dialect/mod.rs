//! The formats of the providers for errors, stream events and paths, as data.
//!
//! Each provider has a file with one [`Dialect`] table. The interpreter reads all tables at once,
//! because a relay repeats the formats of the providers behind it: [`refine`] classifies errors,
//! [`EventKind`] classifies stream events, and [`path_rule`] finds the rule of a path.
//!
//! A new code, phrase, event or path of a provider is a row of its table. A new provider is a file,
//! and a row of [`DIALECTS`](dialects::DIALECTS).

mod answer;
mod anthropic;
mod aws;
mod azure;
mod cohere;
mod context;
mod dashscope;
mod deepseek;
mod dialects;
mod error_body;
mod event_kind;
mod evidence;
mod fireworks;
mod gemini;
mod github;
mod groq;
mod hugging_face;
mod llama_cpp;
mod minimax;
mod mistral;
mod moonshot;
mod ollama;
mod openai;
mod openrouter;
mod path;
mod proxies;
mod relays;
mod request_text;
mod table;
mod texts;
mod together;
mod vllm;
mod xai;
mod zhipu;

pub(crate) use self::answer::{Shape, answer_shape, judge};
pub(crate) use self::context::Context;
pub(crate) use self::error_body::refine;
pub(crate) use self::event_kind::EventKind;
pub(crate) use self::path::{below, is_stored_by_default, path_rule};
pub(crate) use self::request_text::RequestText;
pub(crate) use self::table::PathRule;
pub use self::texts::dialect_texts;

#[cfg(test)]
mod tests;
