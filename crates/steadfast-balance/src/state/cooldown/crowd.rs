//! The requests that a limit turns away: the evidence that a wait for it leads nowhere.

/// The requests that a limit has turned away since its last success.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    /// The last request.
    last: Option<usize>,
    /// Whether there were several requests.
    several: bool,
}

impl Crowd {
    /// Records that the limit refused a request, or that a request was rejected for it.
    pub(super) fn turn_away(&mut self, request: usize) {
        let last = self.last.replace(request);
        self.several |= last.is_some_and(|last| last != request);
    }

    /// Returns whether there were several requests. A lone request has only its own refusals.
    pub(super) fn is_several(&self) -> bool {
        self.several
    }
}
