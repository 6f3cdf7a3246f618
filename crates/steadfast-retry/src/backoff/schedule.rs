use std::sync::Arc;
use std::time::Duration;

use steadfast_core::InvalidConfig;

/// How long to wait before each retry: a bound that grows from retry to retry, and the part of it
/// that is left to chance.
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
    schedule: Schedule,
    jitter: Jitter,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Schedule {
    Doubling { base: Duration, max: Duration },
    List(Arc<[Duration]>),
}

/// Which part of a wait is left to chance.
///
/// Clients that failed together come back together unless chance separates them, so the default
/// leaves all of it. `bound` is that of [`Backoff::bound`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Jitter {
    /// Between nothing and the bound.
    #[default]
    Full,
    /// Between half of the bound and the bound.
    Equal,
    /// Between the first bound and three times the wait before, and never above the last bound.
    Decorrelated,
    /// The bound, always.
    None,
}

/// A wait that was drawn. A hint replaces the fixed part if it is longer, and never the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wait {
    pub(crate) fixed: Duration,
    pub(crate) random: Duration,
}

impl Backoff {
    /// The bound of the first wait, if none is set.
    pub const DEFAULT_BASE: Duration = Duration::from_millis(500);
    /// The bound of all waits, if none is set.
    pub const DEFAULT_MAX: Duration = Duration::from_secs(8);

    /// Creates a backoff whose bound is `base` at first and doubles up to `max`, with
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

    /// Creates a backoff that waits as long as `delays` say, one after the other, with
    /// [`Jitter::None`]. The last one is for all retries that follow.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no delay.
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

    /// Sets which part of a wait is left to chance.
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

    /// Draws the wait before retry number `retry`. `before` is the wait that was drawn last, and
    /// `chance` gives numbers from 0 up to 1.
    pub(crate) fn draw(&self, retry: u32, before: Duration, chance: impl FnOnce() -> f64) -> Wait {
        let bound = self.bound(retry);
        self.draw_within(bound, bound, before, chance)
    }

    /// Draws a wait whose fixed part is that of one bound, and whose random part is that of
    /// another.
    fn draw_within(
        &self,
        bound: Duration,
        spread: Duration,
        before: Duration,
        chance: impl FnOnce() -> f64,
    ) -> Wait {
        let (fixed, spread) = match self.jitter {
            Jitter::Full => (Duration::ZERO, spread),
            Jitter::Equal => (bound / 2, spread - spread / 2),
            Jitter::Decorrelated => {
                let last = self.bound(u32::MAX);
                let least = self.bound(0).min(last);
                let most = before.max(least).saturating_mul(3).min(last);
                (least, most.saturating_sub(least))
            }
            Jitter::None => (bound, Duration::ZERO),
        };
        let random = if spread.is_zero() {
            Duration::ZERO
        } else {
            // What is injected may be anything.
            let chance = chance().clamp(0.0, 1.0);
            let chance = if chance.is_nan() { 0.0 } else { chance };
            Duration::try_from_secs_f64(spread.as_secs_f64() * chance)
                .unwrap_or(spread)
                .min(spread)
        };
        Wait { fixed, random }
    }

    /// Draws the wait after so many hints of a server were followed and followed in vain.
    ///
    /// Everyone whom it refused got the same hint, and those came back with this client. So after
    /// the first time the random part is that of the longest wait. The fixed part is not: a server
    /// that says when to come back needs no other pause.
    pub(crate) fn draw_for_hint(
        &self,
        retry: u32,
        before: Duration,
        chance: impl FnOnce() -> f64,
    ) -> Wait {
        let bound = self.bound(retry);
        let spread = match &self.schedule {
            Schedule::Doubling { max, .. } if retry > 0 => *max,
            _ => bound,
        };
        self.draw_within(bound, spread, before, chance)
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

impl Wait {
    /// How long to wait if the server asks for `floor` at least.
    pub(crate) fn with_floor(self, floor: Duration) -> Duration {
        floor.max(self.fixed).saturating_add(self.random)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn draws(backoff: &Backoff, chance: f64) -> Vec<Duration> {
        let mut before = Duration::ZERO;
        let draw = |retry| {
            let wait = backoff.draw(retry, before, || chance);
            before = wait.with_floor(Duration::ZERO);
            before
        };
        (0..5).map(draw).collect()
    }

    #[test]
    fn the_bound_doubles_up_to_the_maximum() {
        let backoff = Backoff::default();
        let millis = [0, 1, 2, 3, 4, 5, u32::MAX].map(|n| backoff.bound(n).as_millis());
        assert_eq!(millis, [500, 1000, 2000, 4000, 8000, 8000, 8000]);
    }

    #[test]
    fn a_list_is_followed_and_its_last_delay_stays() {
        let backoff = Backoff::list([1, 2, 4].map(Duration::from_secs)).unwrap();
        let expected = [1, 2, 4, 4, 4].map(Duration::from_secs);
        assert_eq!(draws(&backoff, 0.5), expected);
        let halves = expected.map(|delay| delay / 2);
        assert_eq!(draws(&backoff.jitter(Jitter::Full), 0.5), halves);
    }

    #[test]
    fn jitter_says_which_part_is_left_to_chance() {
        let backoff = Backoff::new(SECOND, 8 * SECOND).unwrap();
        for (jitter, chance, expected) in [
            (Jitter::Full, 0.0, [0.0, 0.0, 0.0, 0.0, 0.0]),
            (Jitter::Full, 0.5, [0.5, 1.0, 2.0, 4.0, 4.0]),
            (Jitter::Equal, 0.0, [0.5, 1.0, 2.0, 4.0, 4.0]),
            (Jitter::Equal, 0.5, [0.75, 1.5, 3.0, 6.0, 6.0]),
            (Jitter::Decorrelated, 0.0, [1.0, 1.0, 1.0, 1.0, 1.0]),
            (Jitter::Decorrelated, 0.5, [2.0, 3.5, 4.5, 4.5, 4.5]),
            (Jitter::None, 0.5, [1.0, 2.0, 4.0, 8.0, 8.0]),
        ] {
            let expected = expected.map(Duration::from_secs_f64);
            let drawn = draws(&backoff.clone().jitter(jitter), chance);
            assert_eq!(drawn, expected, "{jitter:?} at {chance}");
        }
    }

    /// 300 clients at a bucket of 10/s, in the lab: 5.8 calls each if their waits double, 4.3 so.
    #[test]
    fn a_hint_that_was_followed_in_vain_spreads_the_crowd() {
        let backoff = Backoff::default();
        let longest = |retry| backoff.draw_for_hint(retry, Duration::ZERO, || 1.0).random;
        assert_eq!([0, 1, 2].map(longest), [SECOND / 2, 8 * SECOND, 8 * SECOND]);
        let list = Backoff::list([1, 2, 4].map(Duration::from_secs)).unwrap();
        let wait = list.draw_for_hint(1, Duration::ZERO, || 1.0);
        assert_eq!(wait.fixed, 2 * SECOND, "who gives a list means it");
        for (jitter, least) in [(Jitter::None, SECOND), (Jitter::Equal, SECOND / 2)] {
            let backoff = backoff.clone().jitter(jitter);
            let wait = backoff.draw_for_hint(1, Duration::ZERO, || 0.0);
            assert_eq!(
                wait.with_floor(Duration::ZERO),
                least,
                "{jitter:?}: only chance spreads"
            );
        }
    }

    #[test]
    fn a_hint_replaces_the_fixed_part_only() {
        let wait = Wait {
            fixed: 2 * SECOND,
            random: SECOND,
        };
        assert_eq!(wait.with_floor(SECOND), 3 * SECOND);
        assert_eq!(wait.with_floor(5 * SECOND), 6 * SECOND);
        assert_eq!(wait.with_floor(Duration::MAX), Duration::MAX);
    }

    #[test]
    fn refuses_what_makes_no_sense() {
        let error = Backoff::new(Duration::ZERO, SECOND).unwrap_err();
        assert_eq!(error.field(), "base_delay");
        let error = Backoff::new(2 * SECOND, SECOND).unwrap_err();
        assert_eq!(
            error.to_string(),
            "max_delay: must not be below base_delay, got 1s"
        );
        assert_eq!(Backoff::list([]).unwrap_err().field(), "delays");
    }

    proptest! {
        #[test]
        fn no_wait_is_longer_than_its_bound(
            retry: u32,
            base in 1..u64::MAX,
            max: u64,
            before: u64,
            chance in prop_oneof![0.0..=1.0, any::<f64>()],
            jitter in prop::sample::select(vec![
                Jitter::Full, Jitter::Equal, Jitter::Decorrelated, Jitter::None,
            ]),
        ) {
            let retry = retry % 200;
            let (base, max) = (base.min(max.max(1)), max.max(1));
            let backoff = Backoff::new(Duration::from_millis(base), Duration::from_millis(max))
                .unwrap()
                .jitter(jitter);
            let before = Duration::from_millis(before);
            let wait = backoff
                .draw(retry, before, || chance)
                .with_floor(Duration::ZERO);
            let bound = match jitter {
                Jitter::Decorrelated => backoff.bound(u32::MAX),
                _ => backoff.bound(retry),
            };
            prop_assert!(wait <= bound, "{wait:?} > {bound:?}");
        }
    }
}
