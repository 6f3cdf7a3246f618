//! The open connections of a server.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::watch::Watch;

/// The open connections by the number of their arrival.
#[derive(Debug, Default)]
pub(crate) struct Open(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    next: u64,
    watches: HashMap<u64, Arc<Watch>>,
}

/// An open connection. It leaves the table when it is dropped.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    open: &'a Open,
    number: u64,
    pub(crate) watch: Arc<Watch>,
}

impl Open {
    pub(crate) fn enter(&self) -> Entry<'_> {
        let watch = Arc::new(Watch::new());
        let mut table = self.lock();
        let number = table.next;
        table.next += 1;
        table.watches.insert(number, watch.clone());
        Entry {
            open: self,
            number,
            watch,
        }
    }

    /// Closes the connection that waits longest for a complete request. Returns whether one exists.
    pub(crate) fn evict(&self) -> bool {
        let table = self.lock();
        let waiting = table.watches.values();
        let waiting = waiting.filter_map(|watch| Some((watch.eviction()?, watch)));
        let longest = waiting.min_by_key(|(order, _)| *order);
        longest.map(|(_, watch)| watch.evict()).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // Each change is one insertion or removal, so a panic cannot leave it inconsistent.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.open.lock().watches.remove(&self.number);
    }
}
