//! The handle that one clone of a breaker shares with its permits.

use std::ops::Deref;
use std::sync::Arc;

use super::shared::Shared;

/// The reference count that one clone of a breaker shares with its permits.
///
/// Each clone has a count of its own, so threads with different clones do not contend for one
/// count.
#[derive(Debug)]
pub(super) struct Handle(Arc<Shared>);

impl Handle {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }
}

impl Deref for Handle {
    type Target = Shared;

    #[inline]
    fn deref(&self) -> &Shared {
        &self.0
    }
}
