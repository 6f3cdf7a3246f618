//! The state of a breaker in one atomic word.

use steadfast_core::BreakerState;

use crate::machine::{Admission, Machine, Mark, Phase, Timing};

/// The generation, the number of the streak, whether a success has something to clear, and the
/// phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word(pub(super) u64);

impl Word {
    pub(super) const CLOSED: u64 = 0;
    pub(super) const OPEN: u64 = 1;
    const HALF_OPEN: u64 = 2;
    /// Closed, while traffic grows.
    pub(super) const RAMPING: u64 = 3;
    pub(super) const DISABLED: u64 = 4;
    pub(super) const ISOLATED: u64 = 5;

    const PHASE: u64 = 0b111;
    const DIRTY: u64 = 0b1000;

    pub(super) fn of(machine: &Machine) -> Self {
        let (phase, counts) = match machine.phase() {
            Phase::Closed { ramp: None, .. } => (Self::CLOSED, !machine.is_clean()),
            Phase::Closed { ramp: Some(_), .. } => (Self::RAMPING, !machine.is_clean()),
            Phase::Open { .. } => (Self::OPEN, false),
            Phase::HalfOpen { .. } => (Self::HALF_OPEN, true),
            Phase::Disabled => (Self::DISABLED, false),
            Phase::Isolated => (Self::ISOLATED, false),
        };
        let dirty = if counts { Self::DIRTY } else { 0 };
        Self(Mark::new(machine.generation(), machine.streak()).bits() | dirty | phase)
    }

    /// Returns the admission of an attempt while the breaker is closed.
    #[inline]
    pub(super) fn admission(self, timing: Timing) -> Admission {
        Admission {
            mark: Mark::of_word(self.0),
            slot: None,
            timing,
        }
    }

    /// Returns whether a success of this attempt has nothing to clear and no slot to release.
    #[inline]
    pub(super) fn is_clean_for(self, admission: &Admission) -> bool {
        // While half-open, every word is dirty.
        self.is_clean() && self.generation() == admission.generation()
    }

    #[inline]
    pub(super) fn phase(self) -> u64 {
        self.0 & Self::PHASE
    }

    #[inline]
    pub(super) fn is_clean(self) -> bool {
        self.0 & Self::DIRTY == 0
    }

    #[inline]
    pub(super) fn generation(self) -> u32 {
        Mark::of_word(self.0).generation()
    }

    pub(super) fn state(self) -> BreakerState {
        match self.phase() {
            Self::OPEN | Self::ISOLATED => BreakerState::Open,
            Self::HALF_OPEN => BreakerState::HalfOpen,
            _ => BreakerState::Closed,
        }
    }
}

#[cfg(all(test, not(steadfast_loom)))]
mod tests {
    use super::*;
    use crate::machine::Rules;
    use crate::sync::now;
    use steadfast_core::{Class, Verdict};

    #[test]
    fn word_keeps_state_of_machine() {
        let mut machine = Machine::new(Rules::default());
        assert!(Word::of(&machine).is_clean());
        let mut admission = None;
        for n in 1..5 {
            let new = machine.admit(now()).expect("closed");
            machine.fail(&new, Verdict::new(Class::Timeout), now());
            let word = Word::of(&machine);
            assert_eq!(
                (
                    Mark::of_word(word.0).streak(),
                    word.generation(),
                    word.is_clean()
                ),
                (1, 0, false)
            );
            assert_eq!(machine.failures(), n);
            admission = Some(new);
        }
        machine.fail(
            &admission.expect("four"),
            Verdict::new(Class::Timeout),
            now(),
        );
        let word = Word::of(&machine);
        assert_eq!((word.state(), word.generation()), (BreakerState::Open, 1));
    }
}
