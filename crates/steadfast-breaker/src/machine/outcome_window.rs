//! The last outcomes, one bit each.

/// The last outcomes, one bit each: the newest in the lowest bit, a failure is a one.
///
/// Unknown outcomes count as successes. So every window without a failure is zero, and a success
/// that meets such a window has nothing to write.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutcomeWindow {
    bits: u64,
    mask: u64,
}

impl OutcomeWindow {
    /// The most outcomes of a window.
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

    /// Replaces the newest success by a failure.
    pub(crate) fn fail_newest_success(&mut self) {
        self.bits |= self.bits.wrapping_add(1) & self.mask;
    }

    /// Removes the newest failure. The older outcomes move up.
    pub(crate) fn remove_newest_failure(&mut self) {
        let newer = (self.bits & self.bits.wrapping_neg()).wrapping_sub(1);
        if self.bits != 0 {
            self.bits = (self.bits & newer) | ((self.bits >> 1) & !newer);
        }
    }

    /// Returns the failures since the last success, within the window.
    pub(crate) fn trailing_failures(&self) -> u32 {
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
    fn oldest_outcome_leaves_first() {
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
    fn newest_success_becomes_failure() {
        for size in [3, OutcomeWindow::MAX] {
            let mut window = OutcomeWindow::new(size);
            for failed in [false, true] {
                window.push(failed);
            }
            for failures in 2..size {
                window.fail_newest_success();
                assert_eq!(window.failures(), failures);
            }
            window.fail_newest_success();
            window.fail_newest_success();
            assert_eq!(window.failures(), size, "the window is full");
        }
        let mut window = OutcomeWindow::new(3);
        for failed in [false, true, true] {
            window.push(failed);
        }
        assert_eq!(window.trailing_failures(), 2);
        window.fail_newest_success();
        assert_eq!(window.trailing_failures(), 3);
        window.push(false);
        assert_eq!(
            (window.failures(), window.trailing_failures()),
            (2, 0),
            "the oldest failure left"
        );
    }

    #[test]
    fn removed_failure_leaves_neighbours() {
        let mut window = OutcomeWindow::new(5);
        for failed in [true, true, false, true, false] {
            window.push(failed);
        }
        for (failures, trailing) in [(2, 0), (1, 0), (0, 0), (0, 0)] {
            window.remove_newest_failure();
            assert_eq!(
                (window.failures(), window.trailing_failures()),
                (failures, trailing)
            );
        }
        for _ in 0..3 {
            window.push(true);
        }
        window.remove_newest_failure();
        assert_eq!(window.trailing_failures(), 2);
    }

    proptest! {
        #[test]
        fn window_counts_like_a_list(
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
