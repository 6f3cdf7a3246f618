//! The pace of an attempt beside the usual latencies of its endpoint and model.
//!
//! An attempt that is slower is reported in the trail. The retry layer then sends a rescue
//! elsewhere.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use steadfast_core::layer::{RecordAttempts, saturating_add};
use steadfast_core::{Classified, Deadline, Trail};
use steadfast_edge::Limit;
use tokio::task::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::edge::settings::Settings;

/// The shortest time before a rescue. Only an endpoint that is known to return heads fast is left
/// so soon.
const FLOOR: Duration = Duration::from_millis(1_500);
/// Few answers take longer than this many times the 99th percentile.
const FACTOR: u32 = 4;
/// A rescue that was not sent is tried again after this fraction of its delay, and after this time
/// at least.
const AGAIN: (u32, Duration) = (8, Duration::from_millis(250));

/// The pace of one attempt.
pub(crate) struct Pace {
    /// Absent if no layer can send a rescue.
    trail: Option<Trail>,
    settings: Arc<Settings>,
    /// The model, and whether the answer is streamed: a stream has an early head.
    key: u64,
    start: Instant,
    deadline: Option<Deadline>,
    /// The shortest time before a rescue.
    least: Duration,
    /// The time from the start to the head.
    head: Option<Duration>,
    /// When the attempt is compared with the usual latencies again.
    next: Instant,
    /// The attempt was reported, and its latency is not recorded yet.
    is_slow: bool,
}

impl Pace {
    /// Starts with an attempt. `after` is the shortest time before a rescue. A stream has a `model`
    /// of its own.
    pub(crate) fn new(
        settings: Arc<Settings>,
        trail: Option<&Trail>,
        (model, streaming): (u64, bool),
        (after, deadline): (Duration, Option<Deadline>),
        start: Instant,
    ) -> Self {
        let trail = trail.filter(|_| after < Duration::MAX);
        let half = deadline.map_or(Duration::MAX, |it| it.remaining(start) / 2);
        Self {
            trail: trail.cloned(),
            settings,
            // Never 0, the key of a free place.
            key: model << 2 | u64::from(streaming) << 1 | 1,
            start,
            deadline,
            least: after,
            head: None,
            next: saturating_add(start, FLOOR.min(after).min(half)),
            is_slow: false,
        }
    }

    /// Waits for a part of the attempt, and reports meanwhile that it is slow.
    pub(crate) async fn within<F: Future>(
        &mut self,
        mut future: Pin<&mut F>,
    ) -> Result<F::Output, Classified> {
        let mut timer = pin!(None);
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending => self.poll_late(None, timer.as_mut(), cx).map(Err),
        })
        .await
    }

    /// Waits until a pending part of the attempt passes `limit`, and reports meanwhile that it is
    /// slow.
    ///
    /// The timer starts with the first call, so a part that is ready at once needs none.
    pub(crate) fn poll_late(
        &mut self,
        limit: Option<Limit>,
        mut timer: Pin<&mut Option<Sleep>>,
        cx: &mut Context<'_>,
    ) -> Poll<Classified> {
        loop {
            let Some(until) = self.next_timer(limit) else {
                return Poll::Pending;
            };
            ready!(poll_until(timer.as_mut(), until, cx));
            match limit {
                Some(limit) if limit.at() == until => return Poll::Ready(limit.error()),
                _ => self.check(Instant::now()),
            }
        }
    }

    /// Returns when a pending part is late or slow, whichever is sooner.
    fn next_timer(&self, limit: Option<Limit>) -> Option<Instant> {
        let slow = self.trail.as_ref().map(|_| self.next);
        let late = limit.map(|limit| limit.at());
        late.into_iter().chain(slow).min()
    }

    /// Records the head of a response that has come at this instant.
    pub(crate) fn answered(&mut self, now: Instant) {
        self.head = Some(now.saturating_duration_since(self.start));
        self.settings.latencies.answered(now);
    }

    /// Records the latency of a success, which may have come with its head.
    pub(crate) fn succeeded(&mut self, with_head: bool) {
        let head = self.head.filter(|_| with_head);
        let took = head.unwrap_or_else(|| self.start.elapsed());
        let head = self.head.unwrap_or(took);
        self.settings.latencies.record(self.key, head, took);
        self.is_slow = false;
    }

    /// Reports the attempt if it is slow.
    fn check(&mut self, now: Instant) {
        let after = self.rescue_after();
        let due = saturating_add(self.start, after);
        if now < due {
            self.next = due;
            return;
        }
        if let Some(trail) = &self.trail {
            trail.set_slow(&self.settings.endpoint, self.is_silent());
        }
        self.is_slow = true;
        let (fraction, least) = AGAIN;
        self.next = saturating_add(now, (after / fraction).max(least));
    }

    /// Returns the time before a rescue.
    fn rescue_after(&self) -> Duration {
        let known = self.settings.latencies.of(self.key);
        let usual = known.map_or(Duration::ZERO, |model| model.p99_of_answers());
        let mut after = self.least.max(usual * FACTOR);
        if self.head.is_none() {
            // An endpoint that returns heads fast is left sooner while its head is missing.
            let patience = self.settings.latencies.patience();
            let soonest = |heads: Duration| (heads * FACTOR).max(FLOOR) * patience;
            let heads = known.and_then(|model| model.p99_of_heads());
            after = heads.map_or(after, |heads| soonest(heads).min(after));
        }
        match self.deadline {
            // The second attempt needs time as well.
            Some(deadline) => after.min((deadline.remaining(self.start) / 2).max(usual)),
            None => after,
        }
    }

    /// Returns whether the endpoint has answered nothing since the attempt began.
    fn is_silent(&self) -> bool {
        self.head.is_none() && !self.settings.latencies.has_answered_since(self.start)
    }
}

/// Waits until an instant on a timer that is set at the first call, and again for another instant.
fn poll_until(
    mut timer: Pin<&mut Option<Sleep>>,
    until: Instant,
    cx: &mut Context<'_>,
) -> Poll<()> {
    match timer.as_mut().as_pin_mut() {
        Some(timer) if timer.deadline() == until => {}
        Some(timer) => timer.reset(until),
        None => timer.set(Some(sleep_until(until))),
    }
    let sleep = timer.as_pin_mut().expect("it was set");
    // A client that is always ready uses up the budget of the task. The limit holds anyway.
    pin!(unconstrained(sleep)).poll(cx)
}

/// A slow attempt that is dropped would have taken longer. Otherwise the usual latencies would
/// never follow an endpoint that has become slower. Silence may be an outage.
impl Drop for Pace {
    fn drop(&mut self) {
        let latencies = &self.settings.latencies;
        match self.is_slow {
            true if self.is_silent() => latencies.record_silence(),
            true => latencies.record_bound(self.key, self.start.elapsed()),
            false => {}
        }
    }
}
