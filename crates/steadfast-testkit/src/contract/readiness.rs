//! The readiness of one handle, until its call or drop.

use std::sync::Arc;

use super::gate::Permit;
use super::probe::Shared;

/// Readiness that was reported, and not used so far.
#[derive(Debug)]
pub(crate) struct Readiness {
    shared: Arc<Shared>,
    permit: Permit,
    used: bool,
}

impl Readiness {
    pub(crate) fn new(shared: Arc<Shared>, permit: Permit) -> Self {
        shared.note(|report| report.ready += 1);
        Self {
            shared,
            permit,
            used: false,
        }
    }

    /// Ends it without a call because the service has failed. It does not count as unused.
    pub(crate) fn revoke(&mut self) {
        self.used = true;
    }

    /// Uses it for a call, which takes the permit over.
    pub(crate) fn spend(mut self) -> Permit {
        self.used = true;
        self.permit.take()
    }
}

impl Drop for Readiness {
    fn drop(&mut self) {
        self.shared.note(|report| {
            report.ready -= 1;
            report.unused += u64::from(!self.used);
        });
    }
}
