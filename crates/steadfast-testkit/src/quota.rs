//! The request quota of an upstream.

use std::time::Duration;

use crate::hint::Hint;

/// Allows a number of requests per window, and answers 429 to the rest.
///
/// A quota is a token bucket or a [fixed window](Self::fixed_window). The bucket is full at the
/// start, refills evenly and holds [`burst`](Self::burst) requests. A 429 states the true wait for
/// the next token, by default in `retry-after`.
///
/// # Example
///
/// ```
/// use std::time::Duration;
/// use steadfast_testkit::{Hint, Quota};
///
/// // Sixty a minute, ten of them at once, refused in the words of Gemini.
/// let quota = Quota::new(60, Duration::from_secs(60)).burst(10).hint(Hint::Gemini);
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "a quota does nothing until an upstream has it"]
pub struct Quota {
    pub(crate) requests: u32,
    pub(crate) window: Duration,
    pub(crate) burst: u32,
    pub(crate) hint: fn(Duration) -> Hint,
    pub(crate) announced: bool,
    pub(crate) fixed: bool,
}

impl Quota {
    /// Creates a quota of `requests` per `window`, all of which may come at once.
    ///
    /// With no requests, every request is refused, with a hint of one window. With a window of
    /// zero, none is.
    pub fn new(requests: u32, window: Duration) -> Self {
        Self {
            requests,
            window,
            burst: requests,
            hint: Hint::RetryAfter,
            announced: false,
            fixed: false,
        }
    }

    /// Sets how many requests may come at once after a quiet time. Zero is taken for one.
    pub fn burst(self, burst: u32) -> Self {
        Self {
            burst: burst.max(1),
            ..self
        }
    }

    /// Gives all requests of a window back at its end, and none before. Windows follow each other
    /// from the start on.
    pub fn fixed_window(self) -> Self {
        Self {
            fixed: true,
            ..self
        }
    }

    /// Sets the dialect in which the wait is stated: `Hint::RetryAfterMs`, or `|_| Hint::None`.
    pub fn hint(self, hint: fn(Duration) -> Hint) -> Self {
        Self { hint, ..self }
    }

    /// Adds OpenAI's `x-ratelimit-{limit,remaining,reset}-requests` to the answers it lets through.
    pub fn announced(self) -> Self {
        Self {
            announced: true,
            ..self
        }
    }

    /// Returns the requests of a window.
    #[must_use]
    pub fn requests(&self) -> u32 {
        self.requests
    }

    /// Returns the window.
    #[must_use]
    pub fn window(&self) -> Duration {
        self.window
    }
}
