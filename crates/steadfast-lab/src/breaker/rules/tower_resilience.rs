//! tower-resilience-circuitbreaker 0.14.0 with its defaults.
//!
//! Its defaults count all calls since the last transition. So after a long healthy time an outage
//! must last as long to be noticed.

use std::time::Duration;

use tokio::time::Instant;

use crate::breaker::{Breaker, End, Ticket};

/// The share of failures that opens it.
const RATE: f64 = 0.5;
/// The calls without which the share does not count.
const LEAST: u64 = 100;
/// The open time.
const OPEN: Duration = Duration::from_secs(30);

/// The state of one breaker.
pub(crate) struct Rule {
    /// The current state.
    state: State,
    /// The failures since the last transition. The window does not slide.
    failures: u64,
    /// The calls since the last transition.
    calls: u64,
    /// The number of the half-open phase.
    phase: u64,
    /// The open time.
    open: Duration,
}

/// The states of the crate.
#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Closed,
    Open { since: Instant },
    HalfOpen { taken: bool },
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
            state: State::Closed,
            failures: 0,
            calls: 0,
            phase: 0,
            open,
        }
    }

    /// Changes the state, and forgets all outcomes.
    fn enter(&mut self, state: State) {
        self.state = state;
        self.failures = 0;
        self.calls = 0;
    }
}

impl Breaker for Rule {
    fn admit(&mut self, now: Instant) -> Option<Ticket> {
        match self.state {
            State::Closed => return Some(Ticket::default()),
            State::Open { since } if now.saturating_duration_since(since) >= self.open => {
                self.phase += 1;
            }
            State::HalfOpen { taken: false } => {}
            State::Open { .. } | State::HalfOpen { .. } => return None,
        }
        if let State::Open { .. } = self.state {
            self.enter(State::HalfOpen { taken: true });
        }
        self.state = State::HalfOpen { taken: true };
        Some(Ticket {
            phase: Some(self.phase),
            ..Ticket::default()
        })
    }

    fn record(&mut self, ticket: Ticket, end: End, now: Instant) {
        if end == End::Cancelled {
            // A slot of an earlier phase has no owner any more.
            if let State::HalfOpen { taken } = &mut self.state {
                *taken &= ticket.phase != Some(self.phase);
            }
            return;
        }
        self.calls += 1;
        self.failures += u64::from(end == End::Failed);
        let rate = self.failures as f64 / self.calls as f64;
        match self.state {
            State::HalfOpen { .. } if end == End::Failed => self.enter(State::Open { since: now }),
            State::HalfOpen { .. } => self.enter(State::Closed),
            State::Closed if self.calls >= LEAST && rate >= RATE => {
                self.enter(State::Open { since: now });
            }
            State::Closed | State::Open { .. } => {}
        }
    }

    fn is_closed(&self) -> bool {
        self.state == State::Closed
    }
}
