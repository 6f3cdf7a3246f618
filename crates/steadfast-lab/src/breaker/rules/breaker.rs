//! The crate `breaker`, 2.0.2, with the defaults of its builder.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::breaker::{Breaker, End, Ticket};

/// The consecutive failures that open it.
const IN_A_ROW: u32 = 5;
/// The number of outcomes in its window.
const WINDOW: usize = 10;
/// The share of failures in a full window that opens it.
const RATE: f64 = 0.5;
/// The simultaneous calls of a half-open breaker.
const PROBES: u32 = 3;
/// The successes that close it.
const SUCCESSES: u32 = 3;
/// The open time.
const OPEN: Duration = Duration::from_secs(30);

/// The state of one breaker.
pub(crate) struct Rule {
    /// The current state.
    state: State,
    /// The current streak.
    in_a_row: u32,
    /// The last outcomes. A failure is `true`.
    window: VecDeque<bool>,
    /// The calls in flight that were admitted as probes.
    probes: u32,
    /// The open time.
    open: Duration,
}

/// The states of the crate.
#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Closed,
    Open { since: Instant },
    HalfOpen { successes: u32 },
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
            in_a_row: 0,
            window: VecDeque::new(),
            probes: 0,
            open,
        }
    }

    /// Returns whether the open time has ended.
    fn is_over(&self, now: Instant) -> bool {
        matches!(self.state, State::Open { since }
            if now.saturating_duration_since(since) >= self.open)
    }

    /// Starts the half-open phase at the end of the open time. In the crate only the end of a call
    /// does so.
    fn tick(&mut self, now: Instant) {
        if self.is_over(now) {
            self.state = State::HalfOpen { successes: 0 };
        }
    }

    /// Counts an outcome of a closed breaker.
    fn count(&mut self, failed: bool) {
        self.in_a_row = if failed { self.in_a_row + 1 } else { 0 };
        if self.window.len() == WINDOW {
            self.window.pop_front();
        }
        self.window.push_back(failed);
    }

    /// Returns whether the outcomes open the breaker.
    fn is_too_much(&self) -> bool {
        let failures = self.window.iter().filter(|failed| **failed).count();
        self.in_a_row >= IN_A_ROW
            || (self.window.len() == WINDOW && failures as f64 >= RATE * WINDOW as f64)
    }

    /// Opens the breaker.
    fn open(&mut self, now: Instant) {
        self.state = State::Open { since: now };
        self.in_a_row = 0;
    }
}

impl Breaker for Rule {
    fn admit(&mut self, now: Instant) -> Option<Ticket> {
        let half_open = self.is_over(now) || matches!(self.state, State::HalfOpen { .. });
        match self.state {
            State::Closed => return Some(Ticket::default()),
            _ if half_open && self.probes < PROBES => self.probes += 1,
            _ => return None,
        }
        Some(Ticket {
            phase: Some(0),
            ..Ticket::default()
        })
    }

    fn record(&mut self, ticket: Ticket, end: End, now: Instant) {
        if ticket.phase.is_some() {
            self.probes -= 1;
        }
        if end == End::Cancelled {
            return;
        }
        self.tick(now);
        let failed = end == End::Failed;
        match &mut self.state {
            State::Closed => {
                self.count(failed);
                if failed && self.is_too_much() {
                    self.open(now);
                }
            }
            State::HalfOpen { .. } if failed => self.open(now),
            State::HalfOpen { successes } => {
                *successes += 1;
                if *successes == SUCCESSES {
                    self.state = State::Closed;
                    self.in_a_row = 0;
                    self.window.clear();
                }
            }
            State::Open { .. } => {}
        }
    }

    fn is_closed(&self) -> bool {
        self.state == State::Closed
    }
}
