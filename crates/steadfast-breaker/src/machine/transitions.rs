//! The transitions of the state machine.

use std::time::Duration;

use steadfast_core::layer::saturating_add;
use tokio::time::Instant;

use super::phase::{Change, Order, Phase};
use super::ramp::Ramp;
use super::state_machine::Machine;
use super::trips::TripReason;

/// The longest hint that is followed. A longer one is a mistake of the server.
const MAX_HINT: Duration = Duration::from_secs(24 * 3600);

impl Machine {
    /// Makes a manual transition, independent of all outcomes.
    pub(crate) fn order(&mut self, order: Order, now: Instant) {
        match (order, self.phase) {
            (Order::Trip, Phase::Open { .. } | Phase::Disabled | Phase::Isolated)
            | (Order::Disable, Phase::Disabled)
            | (Order::Isolate, Phase::Isolated) => return,
            (Order::Trip, Phase::Closed { .. }) => self.trip(TripReason::Manual, None, now),
            (Order::Trip, Phase::HalfOpen { .. }) => {
                let wait = self.backoff.after_probe();
                self.open(wait, TripReason::Manual, now);
            }
            (Order::Reset, _) => {
                self.backoff.reset();
                self.clear();
                self.enter(Phase::NEW, None);
            }
            (Order::Disable, _) => {
                self.clear();
                self.enter(Phase::Disabled, None);
            }
            (Order::Isolate, _) => {
                self.enter(Phase::Isolated, None);
                self.reason = Some(TripReason::Manual);
            }
        }
        self.opened = self.generation;
    }

    pub(super) fn trip(&mut self, reason: TripReason, hint: Option<Duration>, now: Instant) {
        let before = self.before_opening();
        let wait = match self.phase {
            // The recovery was not over.
            Phase::Closed {
                ramp: Some(ramp), ..
            } if !ramp.is_over(now) => self.backoff.after_probe(),
            Phase::Closed {
                since: Some(since), ..
            } => self
                .backoff
                .after_health(now.saturating_duration_since(since)),
            _ => self.backoff.after_health(Duration::MAX),
        };
        self.open(at_least(wait, hint), reason, now);
        self.before = Some(before).filter(|_| reason.is_by_failures());
    }

    pub(super) fn reopen(&mut self, hint: Option<Duration>, now: Instant) {
        let before = self.before_opening();
        // A failed early probe shows nothing new, so the rest of the open time remains.
        let wait = match self.interrupted {
            Some(until) if until > now => until.saturating_duration_since(now),
            _ => self.backoff.after_probe(),
        };
        self.open(at_least(wait, hint), TripReason::Probe, now);
        self.before = Some(before);
    }

    pub(super) fn open_until_hint(&mut self, hint: Duration, now: Instant) {
        self.open(hint.min(MAX_HINT), TripReason::RateLimited, now);
    }

    fn open(&mut self, wait: Duration, reason: TripReason, now: Instant) {
        let until = saturating_add(now, wait);
        self.enter(
            Phase::Open { until },
            Some(until.saturating_duration_since(now)),
        );
        self.opened = self.generation;
        self.opened_at = Some(now);
        self.interrupted = None;
        self.reason = Some(reason);
    }

    pub(super) fn close(&mut self, now: Instant) {
        self.clear();
        self.enter(
            Phase::Closed {
                since: Some(now),
                ramp: Ramp::new(self.rules.ramp, now),
            },
            None,
        );
    }

    fn clear(&mut self) {
        self.interrupted = None;
        self.streak.clear();
        self.window.clear();
        self.counters.clear();
    }

    pub(super) fn enter(&mut self, phase: Phase, retry_in: Option<Duration>) {
        let from = self.state();
        self.phase = phase;
        self.generation = self.generation.wrapping_add(1);
        self.slots.clear();
        self.before = None;
        let to = self.state();
        if from != to || retry_in.is_some() {
            self.change = Some(Change { from, to, retry_in });
        }
    }
}

fn at_least(wait: Duration, hint: Option<Duration>) -> Duration {
    wait.max(hint.unwrap_or_default().min(MAX_HINT))
}
