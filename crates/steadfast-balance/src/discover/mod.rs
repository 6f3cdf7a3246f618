//! Endpoints that somebody else puts into a pool and takes out again: a stream, or a name.

pub(crate) mod dns;
#[cfg(feature = "discover")]
mod stream;

use steadfast_core::InvalidConfig;

use crate::endpoint::{Endpoint, check_weight};
use crate::pool::handle::PoolHandle;
use crate::pool::snapshot::ActiveEndpoint;

impl PoolHandle {
    /// Puts an endpoint in the place of the one with the id `old`, or behind all if that is gone.
    /// Returns its id, which is the old one if it stays the same but for its tier or weight.
    pub(crate) fn put(&self, old: Option<u64>, endpoint: Endpoint) -> Result<u64, InvalidConfig> {
        self.pool().edit(|all, new| {
            let Some(at) = old.and_then(|old| find(all, old)) else {
                new(all, endpoint)?;
                return Ok(last_id(all));
            };
            let entry = &mut all[at];
            if entry.state.config.is_same(&endpoint) {
                check_weight(endpoint.weight)?;
                (entry.tier, entry.weight) = (endpoint.tier, endpoint.weight);
                return Ok(entry.state.id);
            }
            all.remove(at);
            new(all, endpoint)?;
            all[at..].rotate_right(1);
            Ok(all[at].state.id)
        })
    }

    /// Takes out the endpoint with this id, if it is still there. One of the same name that
    /// somebody else has put there since is another one.
    pub(crate) fn take(&self, id: u64) {
        let taken = self.pool().edit(|all, _| {
            all.retain(|entry| entry.state.id != id);
            Ok::<_, InvalidConfig>(())
        });
        debug_assert!(taken.is_ok(), "nothing in there can fail");
    }

    /// Whether the endpoint with this id is there, in service or not.
    pub(crate) fn has(&self, id: u64) -> bool {
        find(&self.pool().snapshot().all, id).is_some()
    }
}

/// Returns the index of an endpoint.
fn find(all: &[ActiveEndpoint], id: u64) -> Option<usize> {
    all.iter().position(|entry| entry.state.id == id)
}

/// Returns the id of the endpoint that was added last.
fn last_id(all: &[ActiveEndpoint]) -> u64 {
    all.last().map_or(0, |entry| entry.state.id)
}
