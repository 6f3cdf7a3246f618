//! A bench is a cooldown for a reason that time alone may not end, such as a spent quota. A health
//! check may end a bench early.

use tokio::time::Instant;

use super::{Cooldown, Phase};

/// The reason of a cooldown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cooling {
    /// A limit or an order. Time alone ends the cooldown.
    Limited,
    /// A spent quota or a rejected credential.
    Benched(Bench),
}

/// Identifies one bench of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bench {
    /// The generation that the bench began.
    pub(crate) generation: u64,
    /// Whether the bench began with the probe after another cooldown.
    pub(crate) again: bool,
}

impl Cooldown {
    /// Returns the reason of the present cooldown, if the endpoint cools.
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

    /// Ends this bench, if it still lasts, so that a probe is admissible at once. Returns whether
    /// it still lasted.
    pub(crate) fn end_bench(&self, bench: Bench, now: Instant) -> bool {
        let mut state = self.lock();
        state.generation == bench.generation && state.end(now)
    }
}
