//! The places of the probes.

use std::num::NonZeroU64;
use std::time::Duration;

use steadfast_core::saturating_add;
use tokio::time::Instant;

/// The places that probes hold while the breaker is half-open.
///
/// A place is found by its id and never by its number: whoever gives back a place that was
/// reclaimed must not free that of somebody else.
#[derive(Debug)]
pub(crate) struct ProbeSlots {
    limit: usize,
    timeout: Duration,
    /// In the order in which they are reclaimed.
    taken: Vec<Slot>,
    next_id: SlotId,
}

#[derive(Debug)]
struct Slot {
    id: SlotId,
    until: Instant,
}

/// Never used twice in the life of a breaker.
pub(crate) type SlotId = NonZeroU64;

impl ProbeSlots {
    pub(crate) fn new(limit: u32, timeout: Duration) -> Self {
        Self {
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            timeout,
            taken: Vec::new(),
            next_id: NonZeroU64::MIN,
        }
    }

    /// Takes a place, or says in what time one is reclaimed.
    pub(crate) fn take(&mut self, now: Instant) -> Result<SlotId, Duration> {
        if let Some(wait) = self.wait(now) {
            return Err(wait);
        }
        self.taken.retain(|place| place.until > now);
        let id = self.next_id;
        self.next_id = id.saturating_add(1);
        self.taken.push(Slot {
            id,
            until: saturating_add(now, self.timeout),
        });
        Ok(id)
    }

    /// The time until a place is reclaimed, `None` if one is free.
    pub(crate) fn wait(&self, now: Instant) -> Option<Duration> {
        let mut live = self.taken.iter().filter(|place| place.until > now);
        let first = live.next()?;
        (live.count() + 1 >= self.limit).then(|| first.until.saturating_duration_since(now))
    }

    /// Holds the place for the whole time again. Returns whether it was held still.
    pub(crate) fn renew(&mut self, id: SlotId, now: Instant) -> bool {
        let live = |place: &Slot| place.id == id && place.until > now;
        if !self.taken.iter().any(live) {
            return false;
        }
        self.free(id);
        self.taken.push(Slot {
            id,
            until: saturating_add(now, self.timeout),
        });
        true
    }

    /// Gives the place back. One that was reclaimed is gone already.
    pub(crate) fn free(&mut self, id: SlotId) {
        self.taken.retain(|place| place.id != id);
    }

    pub(crate) fn taken(&self) -> usize {
        self.taken.len()
    }

    pub(crate) fn clear(&mut self) {
        self.taken.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn gives_out_as_many_as_there_are() {
        let now = Instant::now();
        let mut places = ProbeSlots::new(2, 30 * SECOND);
        let first = places.take(now).expect("free");
        places.take(now + SECOND).expect("free");
        assert_eq!(places.take(now + SECOND), Err(29 * SECOND));

        places.free(first);
        assert_eq!(places.wait(now + SECOND), None);
        assert!(places.take(now + SECOND).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_that_was_reclaimed_is_not_given_back_again() {
        let now = Instant::now();
        let mut places = ProbeSlots::new(1, 30 * SECOND);
        let hung = places.take(now).expect("free");
        assert_eq!(places.wait(now + 29 * SECOND), Some(SECOND));
        places.take(now + 30 * SECOND).expect("reclaimed");
        assert_eq!(places.taken.len(), 1, "what hangs does not fill the memory");

        places.free(hung);
        assert_eq!(places.wait(now + 30 * SECOND), Some(30 * SECOND));
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_timeout_is_no_panic() {
        let now = Instant::now();
        let mut places = ProbeSlots::new(1, Duration::MAX);
        places.take(now).expect("free");
        assert!(places.wait(now).is_some_and(|wait| wait > 1000 * SECOND));
    }
}
