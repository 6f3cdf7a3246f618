//! Service discovery: endpoints from a stream of changes or from a host name.

pub(crate) mod dns;
#[cfg(feature = "discover")]
mod stream;

use steadfast_core::InvalidConfig;

use crate::endpoint::Endpoint;
use crate::endpoint::weight::Weight;
use crate::pool::handle::PoolHandle;
use crate::pool::snapshot::ActiveEndpoint;

impl PoolHandle {
    /// Replaces the endpoint with the id `old`. If that is gone, adds the endpoint at the end.
    ///
    /// Returns the id. The id stays the same if at most the tier or the weight differs.
    pub(crate) fn put(&self, old: Option<u64>, endpoint: Endpoint) -> Result<u64, InvalidConfig> {
        self.pool().edit(|all, new| {
            let Some(at) = old.and_then(|old| find(all, old)) else {
                new(all, endpoint)?;
                return Ok(last_id(all));
            };
            let entry = &mut all[at];
            if entry.state.config.is_same(&endpoint) {
                Weight::new(endpoint.weight)?;
                (entry.tier, entry.weight) = (endpoint.tier, endpoint.weight);
                return Ok(entry.state.id);
            }
            all.remove(at);
            new(all, endpoint)?;
            all[at..].rotate_right(1);
            Ok(all[at].state.id)
        })
    }

    /// Removes the endpoint with this id, if the pool still has it.
    ///
    /// A later endpoint of the same name has another id and stays.
    pub(crate) fn take(&self, id: u64) {
        let taken = self.pool().edit(|all, _| {
            all.retain(|entry| entry.state.id != id);
            Ok::<_, InvalidConfig>(())
        });
        debug_assert!(taken.is_ok(), "nothing in there can fail");
    }

    /// Returns whether the pool has the endpoint with this id, enabled or disabled.
    pub(crate) fn has(&self, id: u64) -> bool {
        find(&self.pool().snapshot().all, id).is_some()
    }
}

/// Returns the index of the endpoint with this id.
fn find(all: &[ActiveEndpoint], id: u64) -> Option<usize> {
    all.iter().position(|entry| entry.state.id == id)
}

/// Returns the id of the endpoint that was added last.
fn last_id(all: &[ActiveEndpoint]) -> u64 {
    all.last().map_or(0, |entry| entry.state.id)
}
