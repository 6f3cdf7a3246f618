//! The last outcomes, one bit each.

/// The last outcomes, the newest in the lowest bit. A failure is a one.
///
/// Outcomes that are not known yet count as successes. So a window without a failure is zero
/// however it came about, and a success that meets such a window has nothing to write.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutcomeWindow {
    bits: u64,
    mask: u64,
}

impl OutcomeWindow {
    /// The number of outcomes that fit.
    pub(crate) const MAX: u32 = u64::BITS;

    /// Creates a window of `size` outcomes, at least one and at most [`MAX`](Self::MAX).
    pub(crate) fn new(size: u32) -> Self {
        let size = size.clamp(1, Self::MAX);
        Self {
            bits: 0,
            mask: u64::MAX >> (Self::MAX - size),
        }
    }

    pub(crate) fn push(&mut self, failed: bool) {
        self.bits = (self.bits << 1 | u64::from(failed)) & self.mask;
    }

    /// Turns the newest success into a failure.
    pub(crate) fn turn(&mut self) {
        self.bits |= self.bits.wrapping_add(1) & self.mask;
    }

    /// How many failures there are since the last success, as far as it reaches.
    pub(crate) fn row(&self) -> u32 {
        self.bits.trailing_ones()
    }

    pub(crate) fn clear(&mut self) {
        self.bits = 0;
    }

    pub(crate) fn failures(&self) -> u32 {
        self.bits.count_ones()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_oldest_outcome_leaves_first() {
        let mut window = OutcomeWindow::new(3);
        for (failed, failures) in [
            (true, 1),
            (true, 2),
            (false, 2),
            (false, 1),
            (false, 0),
            (true, 1),
        ] {
            window.push(failed);
            assert_eq!(window.failures(), failures);
        }
        window.clear();
        assert_eq!(window.failures(), 0);
    }

    #[test]
    fn a_success_that_is_taken_back_becomes_a_failure() {
        for size in [3, OutcomeWindow::MAX] {
            let mut window = OutcomeWindow::new(size);
            for failed in [false, true] {
                window.push(failed);
            }
            for failures in 2..size {
                window.turn();
                assert_eq!(window.failures(), failures);
            }
            window.turn();
            window.turn();
            assert_eq!(window.failures(), size, "all that fit");
        }
        let mut window = OutcomeWindow::new(3);
        for failed in [false, true, true] {
            window.push(failed);
        }
        assert_eq!(window.row(), 2);
        window.turn();
        assert_eq!(window.row(), 3);
        window.push(false);
        assert_eq!(
            (window.failures(), window.row()),
            (2, 0),
            "the oldest has left"
        );
    }

    proptest! {
        #[test]
        fn counts_what_a_list_counts(
            size in 1..=OutcomeWindow::MAX,
            outcomes in prop::collection::vec(any::<bool>(), 0..200),
        ) {
            let mut window = OutcomeWindow::new(size);
            for &failed in &outcomes {
                window.push(failed);
            }
            let expected = outcomes.iter().rev().take(size as usize).filter(|&&failed| failed);
            prop_assert_eq!(window.failures() as usize, expected.count());
        }
    }
}
