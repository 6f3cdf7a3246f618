use std::sync::{Arc, OnceLock};

use crate::verdict::Verdict;

/// A verdict that is known only while a response body is read.
///
/// An event of a stream can report a failure although no read of the body fails. The layer that
/// inspects the events inserts the `LateVerdict` into the extensions of the response.
#[derive(Clone, Debug, Default)]
pub struct LateVerdict(Arc<OnceLock<Verdict>>);

impl LateVerdict {
    /// Creates an unset verdict.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the verdict. Only the first call has an effect.
    pub fn set(&self, verdict: Verdict) {
        let _ = self.0.set(verdict);
    }

    /// Returns the verdict, or `None` until it is set.
    #[must_use]
    pub fn get(&self) -> Option<Verdict> {
        self.0.get().copied()
    }
}
