//! The data that an admitted attempt carries.

use std::time::Duration;

use tokio::time::Instant;

use super::probe_slots::SlotId;

/// The data that an admitted attempt carries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Admission {
    /// The generation of the breaker at the admission.
    pub(crate) generation: u32,
    /// The number of the streak at the admission.
    pub(crate) streak: u32,
    /// The slot of a probe.
    pub(crate) slot: Option<SlotId>,
    pub(crate) timing: Timing,
}

/// The duration of an attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Timing {
    /// No rule needs it.
    Unknown,
    Since(Instant),
    /// The nanoseconds until the head. A `Duration` would enlarge the permit, which moves from the
    /// call to the future and on to the body.
    Took(u64),
}

impl Admission {
    pub(crate) fn is_probe(&self) -> bool {
        self.slot.is_some()
    }

    /// Returns the duration of the attempt at `now`.
    pub(crate) fn elapsed(&self, now: Instant) -> Option<Duration> {
        match self.timing {
            Timing::Unknown => None,
            Timing::Since(start) => Some(now.saturating_duration_since(start)),
            Timing::Took(nanos) => Some(Duration::from_nanos(nanos)),
        }
    }

    /// Starts the time of an attempt that waited since its admission.
    pub(crate) fn begin(&mut self, now: impl Fn() -> Instant) {
        if let Timing::Since(start) = &mut self.timing {
            *start = now();
        }
    }

    /// Stops the time of an attempt at its head. The body does not count.
    pub(crate) fn stop(&mut self, now: impl Fn() -> Instant) {
        if let Timing::Since(start) = self.timing {
            let nanos = now().saturating_duration_since(start).as_nanos();
            self.timing = Timing::Took(u64::try_from(nanos).unwrap_or(u64::MAX));
        }
    }
}
