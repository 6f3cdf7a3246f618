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
    /// The probes with a lower id were unanswered when an early one followed.
    overtaken: SlotId,
}

#[derive(Debug)]
struct Slot {
    id: SlotId,
    /// The start of the probe.
    since: Instant,
    /// When the slot is reclaimed.
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
            overtaken: NonZeroU64::MIN,
        }
    }

    /// Takes a slot, or returns the time until one is reclaimed.
    pub(crate) fn take(&mut self, now: Instant) -> Result<SlotId, Duration> {
        match self.wait(now) {
            Some(wait) => Err(wait),
            None => Ok(self.push(now)),
        }
    }

    /// Takes a slot for an early probe, even if all are taken.
    pub(crate) fn take_early(&mut self, now: Instant) -> SlotId {
        if self.wait(now).is_some() {
            self.overtaken = self.next_id;
        }
        self.push(now)
    }

    fn push(&mut self, now: Instant) -> SlotId {
        self.taken.retain(|slot| slot.until > now);
        let id = self.next_id;
        self.next_id = id.saturating_add(1);
        self.insert(id, now);
        id
    }

    fn insert(&mut self, id: SlotId, now: Instant) {
        let until = saturating_add(now, self.timeout);
        let since = now;
        self.taken.push(Slot { id, since, until });
    }

    /// Returns the time until a slot is reclaimed, `None` if one is free.
    pub(crate) fn wait(&self, now: Instant) -> Option<Duration> {
        let mut live = self.live(now);
        let beyond = self.live(now).count().checked_sub(self.limit)?;
        let last = live.nth(beyond)?;
        Some(last.until.saturating_duration_since(now))
    }

    /// Returns the time until an early probe may be sent, `None` if it may be now: the slots double
    /// with each success, and `every` after the last probe there is one more.
    pub(crate) fn early_wait(
        &self,
        successes: u32,
        every: Duration,
        now: Instant,
    ) -> Option<Duration> {
        let factor = 1usize.checked_shl(successes).unwrap_or(usize::MAX);
        if self.live(now).count() < self.limit.saturating_mul(factor) {
            return None;
        }
        let last = self.live(now).last()?;
        let due = saturating_add(last.since, every);
        Some(due.saturating_duration_since(now)).filter(|wait| !wait.is_zero())
    }

    /// Returns whether an early probe followed this one, which was unanswered for too long.
    pub(crate) fn is_overtaken(&self, id: SlotId) -> bool {
        id < self.overtaken
    }

    fn live(&self, now: Instant) -> impl Iterator<Item = &Slot> {
        self.taken.iter().filter(move |slot| slot.until > now)
    }

    /// Restarts the time of a slot. Returns whether the slot was still taken.
    pub(crate) fn renew(&mut self, id: SlotId, now: Instant) -> bool {
        let live = |slot: &Slot| slot.id == id && slot.until > now;
        if !self.taken.iter().any(live) {
            return false;
        }
        self.free(id);
        self.insert(id, now);
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
    async fn slots_beyond_the_limit_are_reclaimed_before_one_is_free() {
        let now = Instant::now();
        let mut slots = ProbeSlots::new(2, 30 * SECOND);
        let ids = [0, 1, 2, 3].map(|at| slots.take_early(now + at * SECOND));
        assert_eq!(slots.wait(now + 4 * SECOND), Some(28 * SECOND), "the third");
        assert_eq!(
            ids.map(|id| slots.is_overtaken(id)),
            [true, true, true, false]
        );
        slots.free(ids[3]);
        slots.free(ids[0]);
        assert_eq!(slots.wait(now + 4 * SECOND), Some(27 * SECOND));
        slots.free(ids[1]);
        assert_eq!(slots.wait(now + 4 * SECOND), None);
    }

    #[tokio::test(start_paused = true)]
    async fn longest_timeout_does_not_panic() {
        let now = Instant::now();
        let mut slots = ProbeSlots::new(1, Duration::MAX);
        slots.take(now).expect("free");
        assert!(slots.wait(now).is_some_and(|wait| wait > 1000 * SECOND));
    }
}
