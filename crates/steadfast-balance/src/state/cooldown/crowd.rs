//! Evidence that waits for a limit lead nowhere: its hints were followed and refused again, and other
//! requests were turned away meanwhile.

use super::{Cooldown, State};

/// The requests that a limit has turned away since its last success.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    /// The last request.
    last: Option<usize>,
    /// Whether there were several requests.
    several: bool,
}

impl Cooldown {
    /// Records that the limit refused a request, or that a request was rejected for it. A clear limit
    /// turns no request away.
    pub(crate) fn turn_away(&self, request: usize) {
        if self.is_busy() {
            let crowd = &mut self.lock().crowd;
            crowd.several |= crowd
                .last
                .replace(request)
                .is_some_and(|last| last != request);
        }
    }

    /// Returns the number of hints that were followed in vain since the last success.
    ///
    /// Zero for a lone request: its own refusals show nothing about the wait that it has not tried.
    pub(crate) fn vain_hints(&self) -> u32 {
        if !self.is_busy() {
            return 0;
        }
        let state = self.lock();
        if state.crowd.several { state.streak } else { 0 }
    }
}

impl State {
    /// Sets the streak of refused probes. A new streak has no crowd yet.
    pub(super) fn set_streak(&mut self, streak: u32) {
        self.streak = streak;
        if streak == 0 {
            self.crowd = Crowd::default();
        }
    }
}
