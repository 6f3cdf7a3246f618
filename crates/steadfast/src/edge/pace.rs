//! The pace of an attempt beside the usual latencies of its endpoint and model.
//!
//! An attempt that is slower is reported in the trail. The retry layer then sends a rescue
//! elsewhere.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::Extensions;
use steadfast_core::layer::{RecordAttempts, saturating_add};
use steadfast_core::{Classified, Deadline, LimitKey, Trail};
use steadfast_edge::Limit;
use tokio::time::{Instant, timeout_at};

use crate::answers::StreamMode;
use crate::edge::settings::Settings;
use crate::operation::Streaming;
use crate::timeouts::Timeouts;

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
    /// Starts with an attempt.
    pub(crate) fn new(extensions: &Extensions, settings: Arc<Settings>) -> Self {
        let start = Instant::now();
        let deadline = Deadline::of(extensions);
        let mode = extensions.get().copied().unwrap_or(settings.shared.streams);
        // A buffered stream takes as long as a whole answer.
        let streaming = extensions.get::<Streaming>().is_some() && mode == StreamMode::Direct;
        let model = LimitKey::of(extensions).map_or(0, LimitKey::hash_value);
        let timeouts = Timeouts::of(extensions).unwrap_or(&settings.shared.timeouts);
        let after = timeouts.rescue_after;
        let trail = Trail::of(extensions).filter(|_| after < Duration::MAX);
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

    /// Waits for a part of the attempt until `limit`, and reports meanwhile that it is slow. The
    /// part stays where it is: a copy of it would double the size of an attempt.
    pub(crate) async fn within<F: Future>(
        &mut self,
        limit: Option<Limit>,
        mut future: Pin<&mut F>,
    ) -> Result<F::Output, Classified> {
        loop {
            let next = self.trail.as_ref().map(|_| self.next);
            let Some(until) = limit.map(|limit| limit.at()).into_iter().chain(next).min() else {
                return Ok(future.await);
            };
            if let Ok(output) = timeout_at(until, future.as_mut()).await {
                return Ok(output);
            }
            let now = Instant::now();
            if let Some(limit) = limit.filter(|limit| limit.at() <= now) {
                return Err(limit.error());
            }
            self.check(now);
        }
    }

    /// Records the head of the response.
    pub(crate) fn answered(&mut self) {
        let now = Instant::now();
        self.head = Some(now.saturating_duration_since(self.start));
        self.settings.latencies.answered(now);
    }

    /// Records the latency of a success.
    pub(crate) fn succeeded(&mut self) {
        let took = self.start.elapsed();
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
