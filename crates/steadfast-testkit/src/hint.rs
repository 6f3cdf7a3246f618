//! The hints of a 429.

use std::time::Duration;

/// The hint of a 429: a dialect, and the wait that it states.
///
/// Each variant has the headers and the error body of its provider. If the dialect has a coarser
/// unit, the wait is rounded up, so that an obedient client is never early.
///
/// Absolute times (dates, epochs) are counted from the reply's own `date` header, which lies up to
/// a second ahead of the machine's clock. So the stated wait is exact for a client that compares
/// the two headers, and never too short for one that looks at its own clock.
///
/// The variants are functions, too: `Quota::hint(Hint::Gemini)` states true waits in that dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hint {
    /// Sends no hint.
    None,
    /// Sends `retry-after: 30`.
    RetryAfter(Duration),
    /// Sends `retry-after: 1.5`.
    RetryAfterDecimal(Duration),
    /// Sends `retry-after: Sun, 06 Nov 1994 08:49:37 GMT`.
    RetryAfterDate(Duration),
    /// Sends `retry-after-ms: 1500`.
    RetryAfterMs(Duration),
    /// Sends `x-ms-retry-after-ms: 1500`.
    XMsRetryAfterMs(Duration),
    /// Sends OpenAI's bucket headers: no request remaining, the reset as a Go duration (`1m30s`).
    ///
    /// The reset means "until the bucket is full". The limit is 1, so full and "one request" are
    /// the same moment. The bucket of tokens is not empty, and its reset must not be taken.
    OpenAi(Duration),
    /// Sends Azure's bucket headers: the reset in whole seconds, repeated in the message.
    Azure(Duration),
    /// Sends Anthropic's bucket headers: the reset in RFC 3339, and a unified one as epoch seconds.
    Anthropic(Duration),
    /// Sends no header, but a `google.rpc.RetryInfo` in the body.
    Gemini(Duration),
    /// Sends Groq's headers: tokens per minute spent, requests per day not; text in the message.
    Groq(Duration),
    /// Sends Mistral's `ratelimitbysize-*`: the reset in whole seconds.
    Mistral(Duration),
    /// Sends Cohere's headers: the reset as epoch seconds.
    Cohere(Duration),
    /// Sends OpenRouter's headers: the reset as epoch milliseconds, repeated in the body.
    OpenRouter(Duration),
    /// Sends `ratelimit: "default";r=0;t=30`, the IETF draft.
    RateLimitDraft(Duration),
}

impl Hint {
    /// Lists every hint that states `wait`, for tests that go through all dialects.
    #[must_use]
    pub fn all(wait: Duration) -> Vec<Self> {
        vec![
            Self::RetryAfter(wait),
            Self::RetryAfterDecimal(wait),
            Self::RetryAfterDate(wait),
            Self::RetryAfterMs(wait),
            Self::XMsRetryAfterMs(wait),
            Self::OpenAi(wait),
            Self::Azure(wait),
            Self::Anthropic(wait),
            Self::Gemini(wait),
            Self::Groq(wait),
            Self::Mistral(wait),
            Self::Cohere(wait),
            Self::OpenRouter(wait),
            Self::RateLimitDraft(wait),
        ]
    }
}
