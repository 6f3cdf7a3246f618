//! The detection of a lasting overload, and the price of a wait meanwhile.
//!
//! A queue helps if requests arrive in bursts: the next quiet moment drains it. It does not help if
//! more requests arrive than the endpoints can take. Then it only adds its delay to each request,
//! and the callers at its head may be about to cancel. Two kinds of evidence show such an overload:
//!
//! * **A standing queue** (as in `CoDel`, RFC 8289): for a quarter of the bound, each waiter with a
//!   slot had waited for longer than half of it, and the queue did not shrink. With deadlines it is
//!   the bound, and waits of up to four latencies are chance delays.
//! * **Cancelled requests**: a share of the callers left after an age at which an answer was due,
//!   during the wait or during the attempt after it.
//!
//! During an overload a request waits at most for the bound. At its start, the waiters that would
//! wait for longer are rejected (load shedding). A later request is rejected on arrival, if its
//! wait would exceed half of the bound. The wait is the number of earlier waiters, divided by the
//! measured number of slots per second. So it needs no send rate. A waiter that is older than the
//! patience of recent callers is rejected instead of being sent, so each slot serves a caller that
//! still waits. The premise can fail, because a burst may look like an overload at first. Such a
//! burst costs rejections with a hint, and no slot stays unused: the bound is long enough to keep
//! the queue from running empty.

use std::time::Duration;

use steadfast_core::layer::saturating_add;
use tokio::time::Instant;

use crate::admit::departure::{Departure, End};

/// An overload ends after this time without evidence.
const LASTING: Duration = Duration::from_secs(5);
/// The time for which the patience of callers is remembered after an overload.
const REMEMBERED: Duration = Duration::from_secs(30);
/// The shortest time in which cancelled requests are compared with slots. Half of the bound counts
/// if it is longer, because slow answers have few slots.
const WINDOW: Duration = Duration::from_secs(1);
/// The part of the waiters that must have cancelled: one of this number.
const CANCELLED_OF: u32 = 10;
/// The number of ends of waits, or of slots, from which they count.
const FEWEST: u32 = 3;

/// The effect of an overload on the waits of a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pressure {
    /// Whether an overload lasts.
    pub(crate) overloaded: bool,
    /// The shortest recent time after which such a caller cancelled its wait.
    pub(crate) patience: Option<Duration>,
}

/// The evidence of an overload at one queue. Callers pass the time.
#[derive(Debug, Default)]
pub(crate) struct Overload {
    /// The present interval, if each slot came late.
    interval: Option<Interval>,
    /// The measured number of slots per second.
    flow: Flow,
    /// The instant of the last slot.
    slot: Option<Instant>,
    /// The instant of the first slot after a bound without one.
    resumed: Option<Instant>,
    /// Whether waiters of the time without slots are left, or newcomers that waited behind them.
    backlog: bool,
    /// The present window.
    window: Option<Window>,
    /// The end of the overload, unless more evidence follows.
    until: Option<Instant>,
    /// The shortest recent time after which a caller cancelled its wait: without a deadline, and
    /// with one. A deadline may be the default of a stack, and its callers may be less patient.
    patience: [Option<Duration>; 2],
}

/// A time in which each waiter with a slot had waited for long.
#[derive(Clone, Copy, Debug)]
struct Interval {
    since: Instant,
    /// The number of waiters at the start.
    len: usize,
    /// The number of slots since the start.
    slots: usize,
}

/// The slots of a queue per second.
#[derive(Clone, Copy, Debug, Default)]
struct Flow {
    /// The start of the measurement, if the queue is not empty.
    since: Option<Instant>,
    /// The slots since then.
    slots: u32,
    per_second: Option<f64>,
}

/// The ends of waits in one window.
#[derive(Clone, Copy, Debug)]
struct Window {
    since: Instant,
    /// The number of waiters with a slot.
    served: u32,
    /// The number of requests that were cancelled when an answer was due.
    cancelled: u32,
}

impl Overload {
    /// Records the end of a wait. `len` waiters remain.
    ///
    /// Returns the number of waiters that may stay, if an overload begins.
    pub(crate) fn left(&mut self, departure: Departure, len: usize, now: Instant) -> Option<usize> {
        let was_present = self.is_present(now);
        let age = now.saturating_duration_since(departure.since);
        match departure.end {
            End::Served => self.served(departure, len, now),
            End::Cancelled | End::Abandoned if age >= departure.due => {
                self.cancelled(age, departure, now);
            }
            End::Cancelled | End::Abandoned | End::GaveUp | End::Probe => {}
        }
        // An empty queue does not stand.
        if len == 0 {
            self.interval = None;
            self.backlog = false;
            // Its slots were as few as its waiters, so they measure nothing.
            self.flow = Flow::default();
        }
        (self.is_present(now) && !was_present).then(|| self.flow.slots_in(departure.bound / 2, now))
    }

    /// Records that a waiter received a slot.
    fn served(&mut self, departure: Departure, len: usize, now: Instant) {
        let Departure { bound, late, .. } = departure;
        self.window(bound, now).served += 1;
        // The waiters of an outage waited for its end, and not for each other.
        let last = self.slot.replace(now);
        if last.is_none_or(|last| now.saturating_duration_since(last) >= bound) {
            self.resumed = Some(now);
            self.backlog = true;
            self.flow = Flow::default();
        }
        self.flow.count(now);
        let resumed = self
            .resumed
            .map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        let waited = now.saturating_duration_since(departure.joined);
        if waited.min(resumed) <= bound / 2 {
            // A request that returns after an attempt kept its position, so a short wait measures
            // nothing. A newcomer waits longer.
            if !departure.returns() {
                self.interval = None;
                self.backlog &= waited > bound / 2;
            }
        } else if waited > late && self.stands(departure.shortest_stand(), len, now) {
            self.extend(now);
        }
    }

    /// Counts a late slot. Returns whether each slot of `shortest` was late, and the queue does not
    /// drain.
    fn stands(&mut self, shortest: Duration, len: usize, now: Instant) -> bool {
        let start = Interval::new(len, now);
        let Some(interval) = &mut self.interval else {
            self.interval = Some(start);
            return false;
        };
        interval.slots += 1;
        let time = now.saturating_duration_since(interval.since);
        if time < shortest || interval.slots < FEWEST as usize {
            return false;
        }
        // The queue drains if an arrival follows fewer than half of the slots.
        // After an outage it is enough if the queue shrinks, because it was long at the start.
        let spare = if self.backlog { 0 } else { interval.slots / 2 };
        let drains = len + spare < interval.len;
        self.interval = Some(start);
        !drains
    }

    /// Returns the expected wait behind `ahead` waiters, if the slots were counted.
    pub(crate) fn wait_behind(&self, ahead: usize) -> Option<Duration> {
        let seconds = ahead as f64 / self.flow.per_second?;
        Duration::try_from_secs_f64(seconds).ok()
    }

    /// Records that a caller cancelled its request at the age `age`, when an answer was due.
    ///
    /// A caller that leaves earlier has its own reason. Its requests do not shorten any wait.
    fn cancelled(&mut self, age: Duration, departure: Departure, now: Instant) {
        let has_deadline = departure.has_deadline;
        let window = self.window(departure.bound, now);
        window.cancelled += 1;
        // Without slots the endpoints cool, and the queue cannot move.
        let moves = window.served >= FEWEST && window.cancelled >= FEWEST;
        let share = window.cancelled.saturating_mul(CANCELLED_OF - 1);
        if !moves || share < window.served {
            return;
        }
        // Rises slowly, so that one patient caller among impatient ones changes little.
        let patience = match self.pressure(has_deadline, now).patience {
            Some(patience) if patience < age => patience + (age - patience) / 8,
            _ => age,
        };
        self.extend(now);
        self.patience[usize::from(has_deadline)] = Some(patience);
    }

    /// Records that a request was rejected, because its wait would have been too long.
    pub(crate) fn rejected(&mut self, now: Instant) {
        self.extend(now);
    }

    /// Returns the end of the last overload, if there was one.
    pub(crate) fn until(&self) -> Option<Instant> {
        self.until
    }

    /// Returns whether the overload lasts at `now`.
    fn is_present(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// Returns the effect on the waits of requests with or without a deadline.
    pub(crate) fn pressure(&self, has_deadline: bool, now: Instant) -> Pressure {
        let known = (self.until).is_some_and(|until| now < saturating_add(until, REMEMBERED));
        Pressure {
            overloaded: self.is_present(now),
            patience: self.patience[usize::from(has_deadline)].filter(|_| known),
        }
    }

    fn extend(&mut self, now: Instant) {
        self.patience = [false, true].map(|it| self.pressure(it, now).patience);
        self.until = Some(saturating_add(now, LASTING));
    }

    /// Returns the present window of waits with this bound, or begins one.
    fn window(&mut self, bound: Duration, now: Instant) -> &mut Window {
        let start = Window {
            since: now,
            served: 0,
            cancelled: 0,
        };
        let window = self.window.get_or_insert(start);
        if now.saturating_duration_since(window.since) >= WINDOW.max(bound / 2) {
            *window = start;
        }
        window
    }
}

impl Interval {
    fn new(len: usize, since: Instant) -> Self {
        let slots = 0;
        Self { since, len, slots }
    }
}

impl Flow {
    /// Counts a slot.
    fn count(&mut self, now: Instant) {
        let since = *self.since.get_or_insert_with(|| {
            self.slots = 0;
            now
        });
        let time = now.saturating_duration_since(since);
        if time >= WINDOW {
            let found = f64::from(self.slots) / time.as_secs_f64();
            let known = self.per_second.unwrap_or(found);
            self.per_second = Some((known + found) / 2.0);
            (self.since, self.slots) = (Some(now), 0);
        }
        self.slots += 1;
    }

    /// Returns the expected number of slots within `time`, at least one.
    fn slots_in(&self, time: Duration, now: Instant) -> usize {
        let since = self.since.map(|since| now.saturating_duration_since(since));
        let present =
            since.map(|since| f64::from(self.slots) / since.as_secs_f64().max(f64::EPSILON));
        let per_second = self.per_second.or(present).unwrap_or_default();
        ((per_second * time.as_secs_f64()) as usize).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MILLI: Duration = Duration::from_millis(1);

    /// Ends one wait of `waited` at each tenth of a second, from `from` to `to` seconds.
    fn serve(overload: &mut Overload, start: Instant, (from, to): (u32, u32), waited: Duration) {
        for tenth in from * 10..to * 10 {
            end(
                overload,
                End::Served,
                start + SECOND / 10 * tenth,
                waited,
                50,
            );
        }
    }

    fn end(
        overload: &mut Overload,
        end: End,
        now: Instant,
        waited: Duration,
        len: usize,
    ) -> Option<usize> {
        let departure = Departure {
            end,
            since: now - waited,
            joined: now - waited,
            bound: SECOND,
            late: SECOND / 2,
            due: SECOND,
            has_deadline: false,
        };
        overload.left(departure, len, now)
    }

    fn start() -> Instant {
        Instant::now() + 1_000 * SECOND
    }

    /// Half of all requests were rejected for seconds, because probes of an outage had counted one
    /// slot per second, and the queue never lasted for a second after it.
    #[tokio::test(start_paused = true)]
    async fn empty_queue_forgets_its_slots_per_second() {
        let (mut overload, start) = (Overload::default(), start());
        serve(&mut overload, start, (0, 3), 600 * MILLI);
        assert!(overload.wait_behind(10).is_some_and(|wait| wait <= SECOND));
        end(&mut overload, End::Served, start + 3 * SECOND, MILLI, 0);
        assert_eq!(overload.wait_behind(10), None);
    }

    /// Such a caller stays, so a queue that drains soon costs it nothing.
    #[tokio::test(start_paused = true)]
    async fn queue_of_deadlines_is_an_overload_after_the_whole_bound() {
        for (has_deadline, begins) in [(false, 3), (true, 10)] {
            let (mut overload, start) = (Overload::default(), start());
            serve(&mut overload, start, (0, 1), 500 * MILLI);
            let slot = |tenth: u32| {
                let now = start + SECOND + SECOND / 10 * tenth;
                let since = now - 600 * MILLI;
                let departure = Departure {
                    end: End::Served,
                    since,
                    joined: since,
                    bound: SECOND,
                    late: SECOND / 2,
                    due: SECOND,
                    has_deadline,
                };
                overload.left(departure, 50, now);
                overload.is_present(now)
            };
            let first = (0..20).map(slot).position(|present| present);
            assert_eq!(first, Some(begins), "{has_deadline}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn queue_that_stands_for_a_quarter_of_the_bound_is_an_overload() {
        let (mut overload, start) = (Overload::default(), start());
        serve(&mut overload, start, (0, 1), 500 * MILLI);
        assert!(
            !overload.is_present(start + SECOND),
            "the slots are in time"
        );
        for tenth in 10..13 {
            let now = start + SECOND / 10 * tenth;
            end(&mut overload, End::Served, now, 600 * MILLI, 50);
            assert!(!overload.is_present(now));
        }
        let now = start + 1_300 * MILLI;
        let stay = end(&mut overload, End::Served, now, 600 * MILLI, 50);
        // Ten slots per second, so five within half of the bound.
        assert_eq!(stay, Some(5));
        assert_eq!(overload.wait_behind(5), Some(SECOND / 2));
        assert_eq!(overload.wait_behind(0), Some(Duration::ZERO));
        assert!(overload.is_present(now + 5 * SECOND - MILLI));
        assert!(!overload.is_present(now + 5 * SECOND));
    }

    #[tokio::test(start_paused = true)]
    async fn one_short_wait_or_an_empty_queue_is_no_standing_queue() {
        for (len, waited) in [(50, SECOND / 2), (0, SECOND)] {
            let (mut overload, start) = (Overload::default(), start());
            serve(&mut overload, start, (0, 1), SECOND / 10);
            for tenth in 10..16 {
                let now = start + SECOND / 10 * tenth;
                let (len, waited) = if tenth == 12 {
                    (len, waited)
                } else {
                    (50, SECOND)
                };
                end(&mut overload, End::Served, now, waited, len);
                assert!(!overload.is_present(now), "{len}");
            }
        }
    }

    /// Ends twelve waits of `departure` within 1.1 s. Returns whether an overload lasts then.
    fn serves_late(departure: impl Fn(Instant) -> Departure, others: &[Duration]) -> bool {
        let (mut overload, start) = (Overload::default(), start());
        serve(&mut overload, start, (0, 9), SECOND / 10);
        for tenth in 90..102 {
            let now = start + SECOND / 10 * tenth;
            overload.left(departure(now), 50, now);
            for waited in others {
                end(&mut overload, End::Served, now, *waited, 50);
            }
        }
        overload.is_present(start + 10_100 * MILLI)
    }

    fn late_by(waited: Duration, now: Instant) -> Departure {
        Departure {
            end: End::Served,
            since: now - waited,
            joined: now - waited,
            bound: SECOND,
            late: SECOND / 2,
            due: SECOND,
            has_deadline: false,
        }
    }

    /// A request with 30 s was rejected, because the queue of a random peak lasted for two seconds.
    #[tokio::test(start_paused = true)]
    async fn wait_within_the_tolerance_of_a_deadline_is_no_overload() {
        let tolerant = |waited| {
            move |now| Departure {
                late: 5 * SECOND,
                has_deadline: true,
                ..late_by(waited, now)
            }
        };
        assert!(serves_late(|now| late_by(2 * SECOND, now), &[]));
        assert!(!serves_late(tolerant(2 * SECOND), &[]));
        assert!(serves_late(tolerant(6 * SECOND), &[]));
        // It hides no evidence of other waiters.
        assert!(serves_late(tolerant(2 * SECOND), &[2 * SECOND]));
    }

    /// Requests that were refused at the start of an overload returned to the head of the queue.
    /// Their short second waits hid the overload for seconds. Their long ones had to end before
    /// another request could show it.
    #[tokio::test(start_paused = true)]
    async fn second_wait_of_a_request_is_a_lower_bound() {
        let returning = |wait: Duration| {
            move |now| Departure {
                joined: now - wait,
                ..late_by(2 * SECOND, now)
            }
        };
        assert!(!serves_late(returning(10 * MILLI), &[]));
        assert!(serves_late(returning(10 * MILLI), &[2 * SECOND]));
        assert!(!serves_late(returning(10 * MILLI), &[SECOND / 10]));
        assert!(serves_late(returning(600 * MILLI), &[]));
    }

    /// Each slot of a slow endpoint is late, and two of them show no trend.
    #[tokio::test(start_paused = true)]
    async fn few_slots_are_no_overload() {
        let (mut overload, start) = (Overload::default(), start());
        for tenth in [0, 9, 18, 27] {
            let now = start + SECOND / 10 * tenth;
            end(&mut overload, End::Served, now, 600 * MILLI, 50);
            assert!(!overload.is_present(now));
        }
        let now = start + 3_600 * MILLI;
        end(&mut overload, End::Served, now, 600 * MILLI, 50);
        assert!(overload.is_present(now));
    }

    /// The waiters were shed as soon as the first of them was served, although the others followed.
    #[tokio::test(start_paused = true)]
    async fn slots_after_an_outage_are_no_overload() {
        let (mut overload, start) = (Overload::default(), start());
        serve(&mut overload, start, (0, 1), SECOND / 10);
        for tenth in 60..69 {
            let now = start + SECOND / 10 * tenth;
            end(&mut overload, End::Served, now, 4 * SECOND, 50);
            assert!(!overload.is_present(now));
        }
    }

    /// An outage looked like an overload: three endpoints had three early probes per second.
    #[tokio::test(start_paused = true)]
    async fn probes_of_an_outage_are_no_slots() {
        for (kind, expected) in [(End::Probe, false), (End::Served, true)] {
            let (mut overload, start) = (Overload::default(), start());
            for tenth in 0..100 {
                let now = start + SECOND / 10 * tenth;
                end(&mut overload, kind, now, 3 * SECOND, 50);
            }
            assert_eq!(overload.is_present(start + 10 * SECOND), expected);
        }
    }

    /// The queue of an outage takes seconds to drain, and its waiters were rejected meanwhile.
    #[tokio::test(start_paused = true)]
    async fn queue_of_an_outage_is_no_overload_while_it_shrinks() {
        for (outage, shrinks, expected) in [
            (true, true, false),
            (true, false, true),
            // Three of five slots are needed for the arrivals.
            (false, true, true),
        ] {
            let (mut overload, start) = (Overload::default(), start());
            serve(&mut overload, start, (0, 1), SECOND / 10);
            let from = if outage { 60 } else { 10 };
            for tenth in 0..40_u32 {
                let now = start + SECOND / 10 * (from + tenth);
                let len = 50 - if shrinks { tenth as usize * 2 / 5 } else { 0 };
                end(&mut overload, End::Served, now, 4 * SECOND, len);
            }
            let now = start + SECOND / 10 * (from + 40);
            assert_eq!(overload.is_present(now), expected, "{outage} {shrinks}");
        }
    }

    /// A burst leaves a queue that shrinks. Its requests are served without rejections.
    #[tokio::test(start_paused = true)]
    async fn shrinking_queue_is_no_overload() {
        let (mut overload, start) = (Overload::default(), start());
        for tenth in 0..100 {
            let (now, len) = (start + SECOND / 10 * tenth, 200 - 2 * tenth as usize);
            end(&mut overload, End::Served, now, 5 * SECOND, len);
            assert!(!overload.is_present(now));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn cancelled_waits_beside_slots_show_the_patience_of_callers() {
        let (mut overload, start) = (Overload::default(), start());
        for (tenth, age) in [(0, 900), (1, 900), (2, 2_500), (3, 2_500), (4, 2_000)] {
            let now = start + SECOND / 10 * tenth;
            end(
                &mut overload,
                End::Cancelled,
                now,
                Duration::from_millis(age),
                50,
            );
        }
        // The endpoints may cool, so nothing shows that a slot was wasted.
        assert!(!overload.is_present(start + SECOND / 2));
        serve(&mut overload, start, (1, 2), 2 * SECOND);
        for _ in 0..3 {
            end(
                &mut overload,
                End::Cancelled,
                start + 2 * SECOND,
                3 * SECOND,
                50,
            );
        }
        let now = start + 2 * SECOND;
        assert!(overload.is_present(now));
        assert_eq!(overload.pressure(false, now).patience, Some(3 * SECOND));
        end(&mut overload, End::Cancelled, now, 2 * SECOND, 50);
        assert_eq!(overload.pressure(false, now).patience, Some(2 * SECOND));
        end(&mut overload, End::Cancelled, now, 10 * SECOND, 50);
        assert_eq!(overload.pressure(false, now).patience, Some(3 * SECOND));
        assert_eq!(
            overload.pressure(false, now + 34 * SECOND).patience,
            Some(3 * SECOND)
        );
        assert_eq!(overload.pressure(false, now + 35 * SECOND).patience, None);
    }

    /// Callers with less patience than two answers of 10 s left during their attempts. Their slots
    /// served no caller.
    #[tokio::test(start_paused = true)]
    async fn abandoned_attempts_show_the_patience_of_callers() {
        for (age, slots_within, is_known) in [(11, 9, true), (10, 9, false), (15, 12, false)] {
            let (mut overload, start) = (Overload::default(), start());
            let departure = |end, age: u32, now: Instant| Departure {
                end,
                since: now - age * SECOND,
                joined: now - age * SECOND,
                bound: 20 * SECOND,
                late: 10 * SECOND,
                due: 11 * SECOND,
                has_deadline: false,
            };
            let now = start + slots_within * SECOND;
            for slot in [start, start + SECOND, start + 2 * SECOND] {
                overload.left(departure(End::Served, 3, slot), 50, slot);
            }
            for _ in 0..3 {
                overload.left(departure(End::Abandoned, age, now), 50, now);
            }
            let patience = overload.pressure(false, now).patience;
            assert_eq!(
                patience,
                is_known.then_some(age * SECOND),
                "{age} {slots_within}"
            );
            assert_eq!(overload.is_present(now), is_known);
        }
    }
}
