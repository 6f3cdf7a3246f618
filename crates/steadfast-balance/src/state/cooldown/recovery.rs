//! Recovery probes: attempts during a long cooldown that test whether the cooldown still holds.
//!
//! A hint may be wrong, and a bill may be paid. A refused recovery probe begins no cooldown and
//! leaves the present one, except for a sooner hint.
//!
//! A bench may concern only the refused requests, and so may a cooldown without a hint. A request
//! without another endpoint [tests](super::doubt) it at once, so one caller takes no endpoint from
//! the others.

use std::num::NonZeroU64;
use std::time::Duration;

use steadfast_core::layer::saturating_add;
use tokio::time::Instant;

use super::accused::Sender;
use super::{Cooldown, Pass, Phase, State, Ticket};
use crate::state::bench::Cause;
use crate::state::recovery::RECOVERY_PROBES;

/// Why a request tests a cooldown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Occasion {
    /// A recovery probe is due, whether or not other endpoints take the request.
    Probe,
    /// No other endpoint takes the request.
    Alone,
    /// No other endpoint takes the request now, and one of them does at its send rate.
    BesideSlots,
    /// No other endpoint takes the request within seconds, and the pool has just served another
    /// request with the same limits.
    AloneInService,
    /// No other endpoint takes the request of this caller, and [another one](super::others) may be
    /// the only one that is refused.
    OfCaller(NonZeroU64),
}

/// The time of a probe after which tests are due beside it. The caller of a probe may delay its
/// outcome, and so the patience, by a slow request body.
const SLOW_PROBE: Duration = Duration::from_millis(250);

/// Whether a cooldown admits a recovery probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recovery {
    /// An attempt is admitted without a probe.
    Unneeded,
    /// A probe is admitted from this instant on.
    At(Instant),
    /// Another limit applies, or the cooldown ends soon.
    Never,
}

impl Recovery {
    /// Combines two limits of one request.
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Never, _) | (_, Self::Never) => Self::Never,
            (Self::At(a), Self::At(b)) => Self::At(a.max(b)),
            (Self::Unneeded, one) | (one, Self::Unneeded) => one,
        }
    }
}

impl Cooldown {
    /// Returns whether a recovery probe of a request is admitted.
    pub(crate) fn recovery(&self, occasion: Occasion, now: Instant) -> Recovery {
        if !self.is_busy() {
            return Recovery::Unneeded;
        }
        let mut state = self.lock();
        if !state.cools(now) && state.ready_at(now).0 <= now {
            return Recovery::Unneeded;
        }
        let due = state.recovery_due(occasion, now);
        due.map_or(Recovery::Never, Recovery::At)
    }

    /// Admits a recovery probe, or an attempt without a limit. The next probe is due a minute
    /// later.
    pub(crate) fn try_recover(&self, occasion: Occasion, now: Instant) -> Option<Ticket> {
        let mut state = self.lock();
        if !state.cools(now) {
            drop(state);
            if let Some(ticket) = self.try_admit(now) {
                return Some(ticket);
            }
            state = self.lock();
        }
        let due = state.recovery_due(occasion, now);
        let is_due = due.is_some_and(|due| due <= now);
        is_due.then(|| state.send_recovery(occasion, now))
    }

    /// Returns whether a request that was sent within this time has succeeded.
    pub(crate) fn has_served_within(&self, time: Duration, now: Instant) -> bool {
        let newest = Duration::from_millis(self.newest_success());
        let age = now.saturating_duration_since(self.origin);
        self.has_served() && age.saturating_sub(newest) <= time
    }
}

impl State {
    /// Returns whether the endpoint cools.
    fn cools(&self, now: Instant) -> bool {
        matches!(self.phase, Phase::Cooling { until } if until > now)
    }

    /// Returns when a recovery probe is due, or the test of a doubtful cooldown that has not ended.
    fn recovery_due(&self, occasion: Occasion, now: Instant) -> Option<Instant> {
        match occasion {
            Occasion::OfCaller(caller) => self.due_for(caller, now),
            _ if !self.cools(now) => None,
            Occasion::Probe => self.probe_due,
            _ if !self.doubtful => None,
            // A pool at its quota serves until the next refusal, so only a bench is contradicted.
            Occasion::AloneInService if self.bench => Some(now),
            // The request waits for a slot, which costs no refusal.
            Occasion::BesideSlots if !self.bench => None,
            _ => Some(self.tests.due(self.is_open_to_others())),
        }
    }

    /// Returns when the next test is due beside a probe without an answer, sent at `probe`.
    pub(super) fn test_due_beside(&self, probe: Instant) -> Instant {
        let due = self.tests.due(self.is_open_to_others());
        due.max(saturating_add(probe, SLOW_PROBE))
    }

    /// Counts a recovery probe or a test. A test does not move the next probe.
    fn send_recovery(&mut self, occasion: Occasion, now: Instant) -> Ticket {
        if occasion == Occasion::Probe {
            self.probe_due = Some(saturating_add(now, RECOVERY_PROBES));
        }
        self.tests.send(now);
        let pass = match occasion {
            Occasion::OfCaller(_) => {
                // Its success uses the quota.
                self.rate.send(now);
                Pass::OfCaller
            }
            _ => Pass::Recovery,
        };
        Ticket {
            generation: self.generation,
            pass,
            sent: now,
            sender: Sender::default(),
        }
    }

    /// Makes a recovery probe due again that was not sent.
    pub(super) fn unsend_recovery(&mut self, sent: Instant) {
        let next = saturating_add(sent, RECOVERY_PROBES);
        self.probe_due = match self.probe_due {
            Some(due) if due == next => Some(sent),
            other => other,
        };
    }

    /// Sets the first recovery probe of a cooldown that begins.
    pub(super) fn schedule_recovery(&mut self, wait: Duration, now: Instant) {
        let is_long = wait > RECOVERY_PROBES;
        self.probe_due = is_long.then(|| saturating_add(now, RECOVERY_PROBES));
    }

    /// Learns from a recovery probe that was refused for a rate limit. A sooner hint is a newer
    /// one.
    pub(super) fn recovery_limited(&mut self, hint: Option<Duration>, now: Instant) {
        let hint = hint.filter(|hint| !hint.is_zero());
        if let (Phase::Cooling { until }, Some(hint)) = (&mut self.phase, hint) {
            let sooner = saturating_add(now, hint);
            if sooner < *until {
                *until = sooner;
                // The rate was paused until the old end, and could not grow before it.
                self.rate.resume(sooner);
            }
        }
    }

    /// Learns from another refusal for a bench reason during a bench.
    pub(super) fn confirm_by(&mut self, cause: &Cause) {
        self.escalation.confirm(cause);
        if !self.escalation.is_single() {
            self.refutable = None;
            self.doubtful &= !self.of_one_caller;
        }
    }
}
