//! recloser 1.4.0 with its defaults.

use std::time::Duration;

use tokio::time::Instant;

use crate::breaker::{Breaker, End, Ticket};

const RATE: f64 = 0.5;
const CLOSED: usize = 100;
const HALF_OPEN: usize = 10;
const OPEN: Duration = Duration::from_secs(30);

pub(crate) struct Rule {
    state: State,
    open: Duration,
}

#[derive(Debug)]
enum State {
    Closed(Ring),
    Open { until: Instant },
    HalfOpen(Ring),
}

#[derive(Debug)]
struct Ring {
    outcomes: Vec<bool>,
    next: usize,
    failures: usize,
    seen: usize,
}

impl Default for Rule {
    fn default() -> Self {
        Self::open_for(OPEN)
    }
}

impl Rule {
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
    fn new(len: usize) -> Self {
        Self {
            outcomes: vec![false; len],
            next: 0,
            failures: 0,
            seen: 0,
        }
    }

    /// The share of failures, which is known from the end on that follows the first `len`.
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
