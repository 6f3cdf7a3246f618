//! Round robin: in turn, and to the next one after a failure.

use std::time::Duration;

use tokio::time::Instant;

use crate::policy::rival::{End, Progress, Rival, Rules};
use crate::policy::{Policy, Setup};

struct RoundRobin {
    attempts: u32,
    endpoints: usize,
    next: usize,
}

pub(super) fn policy() -> Box<dyn Policy> {
    Box::new(Rival {
        name: "round-robin",
        about: "each request to the next endpoint, and on to the one after it at once if it is \
                refused or fails",
        rules: |setup: &Setup| RoundRobin {
            attempts: setup.attempts(),
            endpoints: setup.endpoints().len(),
            next: 0,
        },
    })
}

impl Rules for RoundRobin {
    fn choose(&mut self, _: &Progress, _: Instant) -> Option<usize> {
        let chosen = self.next;
        self.next = (self.next + 1) % self.endpoints;
        Some(chosen)
    }

    fn again(&mut self, request: &Progress, _: End, _: Instant) -> Option<Duration> {
        (request.attempts() < self.attempts).then_some(Duration::ZERO)
    }
}
