//! The calls of a rate.

use std::time::Duration;

/// The calls of a rate: the last ones by number or by time.
///
/// ```
/// use std::time::Duration;
/// use steadfast_breaker::{CircuitBreaker, Window};
///
/// let breaker = CircuitBreaker::builder()
///     .failure_rate(0.5, Window::time(Duration::from_secs(10)).min_calls(5))
///     .build()?;
/// # Ok::<(), steadfast_core::InvalidConfig>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub(crate) span: Span,
    pub(crate) min_calls: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Span {
    Calls(u32),
    Time(Duration),
}

impl Window {
    /// The maximum number of calls in a window.
    pub const MAX_CALLS: u32 = 100_000;
    /// The default of [`min_calls`](Self::min_calls) for a window of time.
    pub const DEFAULT_MIN_CALLS: u32 = 10;

    /// Creates a window of the last `calls` calls. The rate counts once the window is full.
    #[must_use]
    pub fn calls(calls: u32) -> Self {
        Self {
            span: Span::Calls(calls),
            min_calls: calls,
        }
    }

    /// Creates a window of the calls of the last `time`, exact to a tenth of it.
    ///
    /// The rate counts once there were [`DEFAULT_MIN_CALLS`](Self::DEFAULT_MIN_CALLS).
    #[must_use]
    pub fn time(time: Duration) -> Self {
        Self {
            span: Span::Time(time),
            min_calls: Self::DEFAULT_MIN_CALLS,
        }
    }

    /// Sets the number of calls in the window from which its rate counts.
    #[must_use]
    pub fn min_calls(mut self, calls: u32) -> Self {
        self.min_calls = calls;
        self
    }

    /// Returns whether calls can fill the window.
    pub(crate) fn is_possible(&self) -> bool {
        let calls = match self.span {
            Span::Calls(calls) => (1..=Self::MAX_CALLS).contains(&calls) && self.min_calls <= calls,
            Span::Time(time) => time >= Duration::from_millis(1),
        };
        calls && self.min_calls >= 1
    }
}
