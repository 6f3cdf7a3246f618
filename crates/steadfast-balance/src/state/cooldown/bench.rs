//! A bench: a cooldown for a reason that time alone may not end, such as a spent quota. A check may
//! find out that it has ended sooner.

use tokio::time::Instant;

use super::{Cooldown, Phase};

/// Why an endpoint is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cooling {
    /// Its limit, or an order. It is over in time.
    Limited,
    /// A spent quota or a rejected credential.
    Benched(Bench),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bench {
    pub(crate) generation: u64,
    /// Whether it began with the very attempt that came after another cooldown.
    pub(crate) again: bool,
}

impl Cooldown {
    /// Returns why it cools, if it does.
    pub(crate) fn cooling(&self, now: Instant) -> Option<Cooling> {
        let state = self.lock();
        if !matches!(state.phase, Phase::Cooling { until } if until > now) {
            return None;
        }
        if !state.bench {
            return Some(Cooling::Limited);
        }
        Some(Cooling::Benched(Bench {
            generation: state.generation,
            again: state.streak > 0,
        }))
    }

    /// Ends this bench, if it still lasts: an attempt may be made at once.
    pub(crate) fn end_bench(&self, bench: Bench, now: Instant) -> bool {
        let mut state = self.lock();
        state.generation == bench.generation && state.end(now)
    }
}
