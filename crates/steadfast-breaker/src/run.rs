//! Failures in a row, where one lost connection counts once.

use steadfast_core::Class;

/// The failures since the last success.
///
/// A lost HTTP/2 connection fails all its requests at once, which is one event and not fifty. So
/// of the connections lost by attempts that were admitted before the run began, one counts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Run {
    /// How many runs have begun. An attempt remembers it, and so knows whether it is older than
    /// the current run.
    number: u32,
    length: u32,
    /// An attempt from before the run has lost its connection.
    lost: bool,
}

impl Run {
    /// The numbers of runs begin anew after this one.
    pub(crate) const MASK: u32 = (1 << 28) - 1;

    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// The failures that count.
    pub(crate) fn length(&self) -> u32 {
        self.length
    }

    /// Returns whether a failure of an attempt that was admitted when `admitted_in` was the
    /// number of the run counts. `cleared` is the length of the run that the same attempt had ended
    /// as a success: that goes on then.
    pub(crate) fn fail(&mut self, class: Class, admitted_in: u32, cleared: u32) -> bool {
        let lost = matches!(class, Class::Transport);
        if self.length == 0 {
            self.number = (self.number + 1) & Self::MASK;
            self.lost = lost;
        } else if lost && admitted_in != self.number && std::mem::replace(&mut self.lost, true) {
            return false;
        }
        self.length = self.length.max(cleared).saturating_add(1);
        true
    }

    /// Ends the run, as a success does. Returns how long it was.
    pub(crate) fn end(&mut self) -> u32 {
        std::mem::take(&mut self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_that_are_lost_together_count_once() {
        let mut run = Run::default();
        let admitted_in = run.number();
        for _ in 0..50 {
            run.fail(Class::Transport, admitted_in, 0);
        }
        assert_eq!(run.length(), 1);
    }

    #[test]
    fn attempts_that_are_lost_one_after_another_count_each() {
        let mut run = Run::default();
        for _ in 0..5 {
            let admitted_in = run.number();
            run.fail(Class::Transport, admitted_in, 0);
        }
        assert_eq!(run.length(), 5);
    }

    #[test]
    fn a_lost_connection_counts_beside_another_failure() {
        let mut run = Run::default();
        let before = run.number();
        assert!(run.fail(Class::ServerError, before, 0));
        assert!(
            run.fail(Class::Transport, before, 0),
            "the first that is lost"
        );
        assert!(!run.fail(Class::Transport, before, 0), "the second");
        assert!(run.fail(Class::Timeout, before, 0), "no lost connection");
        assert_eq!(run.length(), 3);
    }

    #[test]
    fn a_success_starts_the_count_again() {
        let mut run = Run::default();
        let before = run.number();
        run.fail(Class::Transport, before, 0);
        run.end();
        assert_eq!(run.length(), 0);
        assert!(
            run.fail(Class::Transport, before, 0),
            "of a new run the first"
        );
        assert_eq!(run.length(), 1);
    }

    /// Bodies that break one after the other, each of which has begun with a good head.
    #[test]
    fn a_success_that_is_taken_back_has_not_ended_the_run() {
        let mut run = Run::default();
        for length in 1..6 {
            let (admitted_in, cleared) = (run.number(), run.end());
            assert!(run.fail(Class::Transport, admitted_in, cleared));
            assert_eq!(run.length(), length);
        }
        let (before, cleared) = (run.number(), run.end());
        assert!(
            run.fail(Class::Transport, before, 0),
            "of a new run the first"
        );
        assert!(
            !run.fail(Class::Transport, before, cleared),
            "lost together"
        );
        assert_eq!(run.length(), 1);
    }
}
