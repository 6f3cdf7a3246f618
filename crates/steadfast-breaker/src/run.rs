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
    /// number of the run counts.
    pub(crate) fn fail(&mut self, class: Class, admitted_in: u32) -> bool {
        let lost = matches!(class, Class::Transport);
        if self.length == 0 {
            self.number = (self.number + 1) & Self::MASK;
            self.lost = lost;
        } else if lost && admitted_in != self.number && std::mem::replace(&mut self.lost, true) {
            return false;
        }
        self.length = self.length.saturating_add(1);
        true
    }

    /// Ends the run, as a success does.
    pub(crate) fn end(&mut self) {
        self.length = 0;
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
            run.fail(Class::Transport, admitted_in);
        }
        assert_eq!(run.length(), 1);
    }

    #[test]
    fn attempts_that_are_lost_one_after_another_count_each() {
        let mut run = Run::default();
        for _ in 0..5 {
            let admitted_in = run.number();
            run.fail(Class::Transport, admitted_in);
        }
        assert_eq!(run.length(), 5);
    }

    #[test]
    fn a_lost_connection_counts_beside_another_failure() {
        let mut run = Run::default();
        let before = run.number();
        assert!(run.fail(Class::ServerError, before));
        assert!(run.fail(Class::Transport, before), "the first that is lost");
        assert!(!run.fail(Class::Transport, before), "the second");
        assert!(run.fail(Class::Timeout, before), "no lost connection");
        assert_eq!(run.length(), 3);
    }

    #[test]
    fn a_success_starts_the_count_again() {
        let mut run = Run::default();
        let before = run.number();
        run.fail(Class::Transport, before);
        run.end();
        assert_eq!(run.length(), 0);
        assert!(run.fail(Class::Transport, before), "of a new run the first");
        assert_eq!(run.length(), 1);
    }
}
