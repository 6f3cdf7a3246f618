//! The waits between attempts: an exponential backoff or a list.

use std::sync::Arc;
use std::time::Duration;

use steadfast_core::InvalidConfig;

use super::hint::Hint;
use super::jitter::{Jitter, Wait};

/// The wait before each retry: a bound that grows from retry to retry, and its random part.
///
/// ```
/// use std::time::Duration;
/// use steadfast_retry::{Backoff, Jitter};
///
/// let spread = Backoff::new(Duration::from_millis(100), Duration::from_secs(5))?.jitter(Jitter::Equal);
/// let exact = Backoff::list([1, 2, 4].map(Duration::from_secs))?;
/// # let _ = (spread, exact);
/// # Ok::<(), steadfast_core::InvalidConfig>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The waits before the random part.
    schedule: Schedule,
    /// The random part.
    jitter: Jitter,
}

/// The waits between attempts, before jitter.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Schedule {
    Doubling { base: Duration, max: Duration },
    List(Arc<[Duration]>),
}

impl Backoff {
    /// The bound of the first wait of the default backoff.
    pub const DEFAULT_BASE: Duration = Duration::from_millis(500);
    /// The bound of all waits of the default backoff.
    pub const DEFAULT_MAX: Duration = Duration::from_secs(8);

    /// Creates a backoff with a first bound of `base`, which doubles up to `max`, and with
    /// [`Jitter::Full`].
    ///
    /// # Errors
    ///
    /// Returns an error if `base` is zero or longer than `max`.
    pub fn new(base: Duration, max: Duration) -> Result<Self, InvalidConfig> {
        if base.is_zero() {
            let value = format!("{base:?}");
            return Err(InvalidConfig::new(
                "base_delay",
                value,
                "must be longer than zero",
            ));
        }
        if base > max {
            let value = format!("{max:?}");
            return Err(InvalidConfig::new(
                "max_delay",
                value,
                "must not be below base_delay",
            ));
        }
        Ok(Self {
            schedule: Schedule::Doubling { base, max },
            jitter: Jitter::Full,
        })
    }

    /// Creates a backoff that waits for each of `delays` in turn, with [`Jitter::None`]. The last
    /// delay applies to all further retries.
    ///
    /// # Errors
    ///
    /// Returns an error if `delays` is empty.
    pub fn list(delays: impl IntoIterator<Item = Duration>) -> Result<Self, InvalidConfig> {
        let delays: Arc<[Duration]> = delays.into_iter().collect();
        if delays.is_empty() {
            return Err(InvalidConfig::new("delays", "[]", "must not be empty"));
        }
        Ok(Self {
            schedule: Schedule::List(delays),
            jitter: Jitter::None,
        })
    }

    /// Sets the random part of each wait.
    #[must_use]
    pub fn jitter(mut self, jitter: Jitter) -> Self {
        self.jitter = jitter;
        self
    }

    /// Returns the longest wait before retry number `retry`, counted from 0.
    #[must_use]
    pub fn bound(&self, retry: u32) -> Duration {
        match &self.schedule {
            Schedule::Doubling { base, max } => {
                let factor = 2u32.saturating_pow(retry);
                base.saturating_mul(factor).min(*max)
            }
            Schedule::List(delays) => {
                let index = usize::try_from(retry).unwrap_or(usize::MAX);
                let delay = delays.get(index).or(delays.last());
                delay.copied().unwrap_or_default()
            }
        }
    }

    /// Draws the wait before retry number `retry`. `before` is the previous wait, and `random`
    /// returns numbers from 0 up to 1.
    pub(crate) fn draw(&self, retry: u32, before: Duration, random: impl FnOnce() -> f64) -> Wait {
        let bound = self.bound(retry);
        self.draw_within(bound, bound, before, random)
    }

    /// Draws a wait with the fixed part of `bound` and the random part of `spread`.
    fn draw_within(
        &self,
        bound: Duration,
        spread: Duration,
        before: Duration,
        random: impl FnOnce() -> f64,
    ) -> Wait {
        let (fixed, spread) = match self.jitter {
            Jitter::Full => (Duration::ZERO, spread),
            Jitter::Equal => (bound / 2, spread - spread / 2),
            Jitter::Decorrelated => self.decorrelated(before),
            Jitter::None => (bound, Duration::ZERO),
        };
        Wait::draw(fixed, spread, random)
    }

    /// Returns the fixed and the random part of a wait after the wait `before`.
    fn decorrelated(&self, before: Duration) -> (Duration, Duration) {
        let last = self.bound(u32::MAX);
        let least = self.bound(0).min(last);
        let most = before.max(least).saturating_mul(3).min(last);
        (least, most.saturating_sub(least))
    }

    /// Draws the wait after a hint. `retry` is the number of earlier hints that did not help.
    ///
    /// All clients that the server refused got the same hint, and returned at the same time. The
    /// random part therefore grows with the evidence of a crowd, up to the longest wait. The fixed
    /// part does not grow: a server that sends hints needs no longer pause.
    pub(crate) fn draw_for_hint(
        &self,
        retry: u32,
        hint: Hint,
        before: Duration,
        random: impl FnOnce() -> f64,
    ) -> Wait {
        let bound = self.bound(retry);
        let spread = match &self.schedule {
            Schedule::Doubling { max, .. } if retry > 0 => hint.spread(retry, bound, *max),
            _ => bound,
        };
        self.draw_within(bound, spread, before, random)
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            schedule: Schedule::Doubling {
                base: Self::DEFAULT_BASE,
                max: Self::DEFAULT_MAX,
            },
            jitter: Jitter::Full,
        }
    }
}
