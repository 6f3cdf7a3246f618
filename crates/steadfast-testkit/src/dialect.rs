//! The formats of providers.

/// Names the provider format of a reply: its answers, stream events and error bodies.
///
/// # Example
///
/// ```
/// use steadfast_testkit::{Dialect, Reply};
///
/// // `message_start` and `ping`, two pieces of text, then Anthropic's `overloaded_error`.
/// let reply = Reply::ok().dialect(Dialect::Anthropic).error_after(2);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dialect {
    /// Speaks as Anthropic's Messages API: named events, `event: error` inside a stream.
    Anthropic,
    /// Speaks as Gemini with `alt=sse`: no opening event, `error.status` inside a stream.
    Gemini,
    /// Speaks as OpenAI's chat completions.
    #[default]
    OpenAi,
    /// Speaks as OpenRouter: comments first, an error inside a regular chunk.
    OpenRouter,
    /// Speaks as OpenAI's Responses API: two events before any text, `event: error`.
    Responses,
}

impl Dialect {
    /// Lists every dialect, for tests that go through all of them.
    pub const ALL: [Self; 5] = [
        Self::Anthropic,
        Self::Gemini,
        Self::OpenAi,
        Self::OpenRouter,
        Self::Responses,
    ];
}
