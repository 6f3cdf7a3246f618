//! The random part of waits.

use std::time::Duration;

/// The random part of a wait.
///
/// Clients that fail together return together unless random waits separate them, so the default
/// makes the whole wait random. The bound is [`Backoff::bound`](crate::Backoff::bound).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Jitter {
    /// Between zero and the bound.
    #[default]
    Full,
    /// Between half of the bound and the bound.
    Equal,
    /// Between the first bound and three times the previous wait, and at most the last bound.
    Decorrelated,
    /// Always the bound.
    None,
}

/// A wait with its random part. A longer hint replaces the fixed part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wait {
    /// The part that is always waited.
    pub(crate) fixed: Duration,
    /// The upper bound of the random part.
    pub(crate) random: Duration,
}

impl Wait {
    /// Draws the random part between zero and `spread`. `random` returns numbers from 0 up to 1.
    pub(super) fn draw(fixed: Duration, spread: Duration, random: impl FnOnce() -> f64) -> Self {
        let drawn = if spread.is_zero() {
            Duration::ZERO
        } else {
            // A custom source may return any number.
            let share = random().clamp(0.0, 1.0);
            let share = if share.is_nan() { 0.0 } else { share };
            Duration::try_from_secs_f64(spread.as_secs_f64() * share)
                .unwrap_or(spread)
                .min(spread)
        };
        Self {
            fixed,
            random: drawn,
        }
    }

    /// Returns the length of the wait after a hint of `floor`.
    pub(crate) fn with_floor(self, floor: Duration) -> Duration {
        floor.max(self.fixed).saturating_add(self.random)
    }
}
