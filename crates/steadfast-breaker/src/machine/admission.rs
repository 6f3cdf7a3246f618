//! The data that an admitted attempt carries.

use std::time::Duration;

use tokio::time::Instant;

use super::probe_slots::SlotId;
use super::streak::FailureStreak;

/// The data that an admitted attempt carries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Admission {
    /// The generation and the streak of the breaker at the admission.
    pub(crate) mark: Mark,
    /// The slot of a probe.
    pub(crate) slot: Option<SlotId>,
    pub(crate) timing: Timing,
}

/// The generation of a breaker and the number of its streak, in one integer.
///
/// One integer, because a permit is copied often and each field costs instructions (lab bench
/// `breaker/value-ours`). Other bits are ignored, so the word of a breaker is a mark as it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark(u64);

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

impl Mark {
    pub(crate) const STREAK_SHIFT: u32 = 4;
    pub(crate) const GENERATION_SHIFT: u32 = 32;

    #[inline]
    pub(crate) fn new(generation: u32, streak: u32) -> Self {
        let generation = u64::from(generation) << Self::GENERATION_SHIFT;
        Self(generation | u64::from(streak) << Self::STREAK_SHIFT)
    }

    #[inline]
    pub(crate) fn of_word(word: u64) -> Self {
        Self(word)
    }

    pub(crate) fn bits(self) -> u64 {
        self.0
    }

    #[inline]
    pub(crate) fn generation(self) -> u32 {
        (self.0 >> Self::GENERATION_SHIFT) as u32
    }

    #[inline]
    pub(crate) fn streak(self) -> u32 {
        (self.0 >> Self::STREAK_SHIFT) as u32 & FailureStreak::MASK
    }
}

impl Admission {
    #[inline]
    pub(crate) fn generation(&self) -> u32 {
        self.mark.generation()
    }

    #[inline]
    pub(crate) fn streak(&self) -> u32 {
        self.mark.streak()
    }

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
