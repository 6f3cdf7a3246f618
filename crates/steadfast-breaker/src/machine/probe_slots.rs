//! The slots of probes.

use std::num::NonZeroU64;
use std::time::Duration;

use steadfast_core::layer::saturating_add;
use tokio::time::Instant;

/// The slots of probes while the breaker is half-open.
///
/// A slot is found by its id and not by its index: the release of a reclaimed slot must not free
/// the slot of another probe.
#[derive(Debug)]
pub(crate) struct ProbeSlots {
    limit: usize,
    timeout: Duration,
    /// Ordered by the time at which they are reclaimed.
    taken: Vec<Slot>,
    next_id: SlotId,
}

#[derive(Debug)]
struct Slot {
    id: SlotId,
    until: Instant,
}

/// Unique in the life of a breaker.
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

    /// Takes a slot, or returns the time until one is reclaimed.
    pub(crate) fn take(&mut self, now: Instant) -> Result<SlotId, Duration> {
        if let Some(wait) = self.wait(now) {
            return Err(wait);
        }
        self.taken.retain(|slot| slot.until > now);
        let id = self.next_id;
        self.next_id = id.saturating_add(1);
        self.taken.push(Slot {
            id,
            until: saturating_add(now, self.timeout),
        });
        Ok(id)
    }

    /// Returns the time until a slot is reclaimed, `None` if one is free.
    pub(crate) fn wait(&self, now: Instant) -> Option<Duration> {
        let mut live = self.taken.iter().filter(|slot| slot.until > now);
        let first = live.next()?;
        (live.count() + 1 >= self.limit).then(|| first.until.saturating_duration_since(now))
    }

    /// Restarts the time of a slot. Returns whether the slot was still taken.
    pub(crate) fn renew(&mut self, id: SlotId, now: Instant) -> bool {
        let live = |slot: &Slot| slot.id == id && slot.until > now;
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

    /// Releases a slot. A reclaimed slot is no longer in the list.
    pub(crate) fn free(&mut self, id: SlotId) {
        self.taken.retain(|slot| slot.id != id);
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
    async fn full_slots_admit_no_probe() {
        let now = Instant::now();
        let mut slots = ProbeSlots::new(2, 30 * SECOND);
        let first = slots.take(now).expect("free");
        slots.take(now + SECOND).expect("free");
        assert_eq!(slots.take(now + SECOND), Err(29 * SECOND));

        slots.free(first);
        assert_eq!(slots.wait(now + SECOND), None);
        assert!(slots.take(now + SECOND).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn release_of_reclaimed_slot_frees_no_other() {
        let now = Instant::now();
        let mut slots = ProbeSlots::new(1, 30 * SECOND);
        let hung = slots.take(now).expect("free");
        assert_eq!(slots.wait(now + 29 * SECOND), Some(SECOND));
        slots.take(now + 30 * SECOND).expect("reclaimed");
        assert_eq!(slots.taken.len(), 1, "a hung probe does not stay in memory");

        slots.free(hung);
        assert_eq!(slots.wait(now + 30 * SECOND), Some(30 * SECOND));
    }

    #[tokio::test(start_paused = true)]
    async fn longest_timeout_does_not_panic() {
        let now = Instant::now();
        let mut slots = ProbeSlots::new(1, Duration::MAX);
        slots.take(now).expect("free");
        assert!(slots.wait(now).is_some_and(|wait| wait > 1000 * SECOND));
    }
}
