use std::time::Duration;

use tokio::time::Instant;

use crate::state::cooldown::Cooldown;
use crate::state::quota::Quota;

/// One set of limits: the cooldown with its send rate, and the quotas of the headers.
#[derive(Debug)]
pub(crate) struct LimitState {
    pub(crate) cooldown: Cooldown,
    pub(crate) quota: Quota,
}

impl LimitState {
    /// Creates a state without a known limit, in a pool since `start`. `learns` enables the send
    /// rate.
    pub(super) fn new(learns: bool, start: Instant) -> Self {
        let cooldown = Cooldown::new().in_pool_since(start);
        Self {
            cooldown: if learns {
                cooldown
            } else {
                cooldown.without_rate()
            },
            quota: Quota::default(),
        }
    }

    /// Marks the requests as the ones with the credential of one caller.
    pub(super) fn of_one_caller(self) -> Self {
        Self {
            cooldown: self.cooldown.of_one_caller(),
            ..self
        }
    }

    /// Begins a cooldown by order. Zero ends the present one. Returns its length.
    pub(super) fn order(&self, wait: Duration, now: Instant) -> Duration {
        if wait.is_zero() {
            self.cooldown.end(now);
            return wait;
        }
        self.cooldown.order(wait, now)
    }
}
