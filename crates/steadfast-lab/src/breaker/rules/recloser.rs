//! recloser 1.4.0 with its defaults.
//!
//! It has no limit for calls of a half-open breaker: a ring of outcomes decides, and until it is
//! full all calls pass.

use std::time::Duration;

use tokio::time::Instant;

use crate::breaker::{Breaker, End, Ticket};

/// The share of failures that opens it.
const RATE: f64 = 0.5;
/// The outcomes that a closed breaker keeps.
const CLOSED: usize = 100;
/// The outcomes that a half-open breaker keeps.
const HALF_OPEN: usize = 10;
/// The open time.
const OPEN: Duration = Duration::from_secs(30);

/// The state of one breaker.
pub(crate) struct Rule {
    /// The current state.
    state: State,
    /// The open time.
    open: Duration,
}

/// The states of the crate.
#[derive(Debug)]
enum State {
    Closed(Ring),
    Open { until: Instant },
    HalfOpen(Ring),
}

/// The last outcomes.
#[derive(Debug)]
struct Ring {
    /// The outcomes. A failure is `true`.
    outcomes: Vec<bool>,
    /// The index of the oldest outcome.
    next: usize,
    /// The number of failures in the ring.
    failures: usize,
    /// The number of outcomes so far, at most the length of the ring.
    seen: usize,
}

impl Default for Rule {
    fn default() -> Self {
        Self::open_for(OPEN)
    }
}

impl Rule {
    /// Creates a closed breaker with this open time.
    pub(crate) fn open_for(open: Duration) -> Self {
        Self {
            state: State::Closed(Ring::new(CLOSED)),
            open,
        }
    }
}

impl Breaker for Rule {
    fn admit(&mut self, now: Instant) -> Option<Ticket> {
        if let State::Open { until } = self.state {
            if now <= until {
                return None;
            }
            self.state = State::HalfOpen(Ring::new(HALF_OPEN));
        }
        Some(Ticket::default())
    }

    fn record(&mut self, _: Ticket, end: End, now: Instant) {
        if end == End::Cancelled {
            return;
        }
        let failed = end == End::Failed;
        let until = now + self.open;
        match &mut self.state {
            State::Closed(ring) => {
                if ring.push(failed).is_some_and(|rate| rate >= RATE) {
                    self.state = State::Open { until };
                }
            }
            State::HalfOpen(ring) => match ring.push(failed) {
                Some(rate) if failed && rate >= RATE => self.state = State::Open { until },
                Some(rate) if !failed && rate <= RATE => {
                    self.state = State::Closed(Ring::new(CLOSED));
                }
                _ => {}
            },
            State::Open { .. } => {}
        }
    }

    fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed(_))
    }
}

impl Ring {
    /// Creates a ring of successes.
    fn new(len: usize) -> Self {
        Self {
            outcomes: vec![false; len],
            next: 0,
            failures: 0,
            seen: 0,
        }
    }

    /// Adds an outcome. Returns the share of failures, once the ring was full before.
    fn push(&mut self, failed: bool) -> Option<f64> {
        let old = std::mem::replace(&mut self.outcomes[self.next], failed);
        self.next = (self.next + 1) % self.outcomes.len();
        self.failures = self.failures + usize::from(failed) - usize::from(old);
        let len = self.outcomes.len();
        let full = self.seen == len;
        self.seen = (self.seen + 1).min(len);
        full.then(|| self.failures as f64 / len as f64)
    }
}
