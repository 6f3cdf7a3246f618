//! Recovery probes: attempts during a long cooldown that test whether the cooldown still holds.
//!
//! A hint may be wrong, and a bill may be paid. A refused recovery probe begins no cooldown and
//! leaves the present one, except for a sooner hint.
//!
//! A bench that one request supports may concern only that request. A request without another
//! endpoint tests such a bench at once, so one caller takes no endpoint from the others.

use std::time::Duration;

use steadfast_core::layer::saturating_add;
use tokio::time::Instant;

use super::{Cooldown, Pass, Phase, State, Ticket};
use crate::state::bench::Cause;
use crate::state::recovery::RECOVERY_PROBES;

/// The interval of the tests of a bench that one request supports.
const TESTS: Duration = Duration::from_secs(1);

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
    /// Returns whether a recovery probe of a request is admitted. `alone` if no other endpoint
    /// takes the request.
    pub(crate) fn recovery(&self, alone: bool, now: Instant) -> Recovery {
        if !self.is_busy() {
            return Recovery::Unneeded;
        }
        let mut state = self.lock();
        let phase = state.phase;
        match phase {
            Phase::Cooling { until } if until > now => {
                let due = state.recovery_due(alone);
                due.map_or(Recovery::Never, Recovery::At)
            }
            _ if state.ready_at(now).0 <= now => Recovery::Unneeded,
            _ => Recovery::Never,
        }
    }

    /// Admits a recovery probe, or an attempt without a limit. The next probe is due a minute
    /// later. `alone` if no other endpoint takes the request.
    pub(crate) fn try_recover(&self, alone: bool, now: Instant) -> Option<Ticket> {
        let mut state = self.lock();
        let is_due = state.recovery_due(alone).is_some_and(|due| due <= now);
        if !matches!(state.phase, Phase::Cooling { until } if until > now) {
            drop(state);
            return self.try_admit(now);
        }
        if !is_due {
            return None;
        }
        state.probe_due = Some(saturating_add(now, RECOVERY_PROBES));
        state.test_due = state.test_due.map(|_| saturating_add(now, TESTS));
        Some(Ticket {
            generation: state.generation,
            pass: Pass::Recovery,
            sent: now,
        })
    }
}

impl State {
    /// Returns when a recovery probe is due, or if `alone`, the test of a bench.
    fn recovery_due(&self, alone: bool) -> Option<Instant> {
        match alone {
            true => self.test_due,
            false => self.probe_due,
        }
    }

    /// Sets the first recovery probe of a cooldown that begins.
    pub(super) fn schedule_recovery(&mut self, wait: Duration, now: Instant) {
        let is_long = wait > RECOVERY_PROBES;
        self.probe_due = is_long.then(|| saturating_add(now, RECOVERY_PROBES));
    }

    /// Learns from a recovery probe that was refused for a rate limit. A sooner hint is a newer
    /// one.
    pub(super) fn recovery_limited(&mut self, hint: Option<Duration>, now: Instant) {
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
            self.test_due = None;
        }
    }
}
