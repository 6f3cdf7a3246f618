//! The state of one endpoint at work: quotas, queue, counts.
//!
//! A place is the mutable half of an [`Endpoint`]: its buckets and its queue during one run. The
//! bucket is the bucket of the testkit, so the simulator and the upstream over sockets have the
//! same limits.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use steadfast_testkit::{Bucket, Quota};
use tokio::time::Instant;

use crate::world::endpoint::Endpoint;
use crate::world::queue::Queue;

/// The width of the columns that count attempts.
pub(crate) const TICK: Duration = Duration::from_millis(100);

/// An endpoint of the scenario with the state of one run.
#[derive(Debug)]
pub(super) struct Place {
    /// The configuration.
    pub(super) endpoint: Endpoint,
    /// The host name in the URIs of its attempts.
    pub(super) host: String,
    /// The buckets, the queue and the counts.
    state: Mutex<State>,
}

/// The state behind the lock of a place.
#[derive(Debug)]
pub(super) struct State {
    /// The bucket of requests of all callers without a bucket of their own.
    requests: Option<Bucket>,
    /// The buckets of single callers, by name.
    of_callers: Vec<(&'static str, Bucket)>,
    /// The bucket of tokens.
    tokens: Option<Bucket>,
    /// The bucket of a quota that lasts for a time of trouble.
    trouble: Option<Bucket>,
    /// The requests in progress, and the waiters.
    pub(super) queue: Queue,
    /// The instant at which the bucket of requests is full, if nothing more is taken.
    full: Instant,
    /// The time during which the bucket of requests was full.
    pub(super) unused: Duration,
    /// The attempts in each [`TICK`] since the start.
    pub(super) attempts: Vec<u32>,
}

impl Place {
    /// Creates a place with full buckets and an empty queue.
    pub(super) fn new(endpoint: &Endpoint, now: Instant) -> Self {
        Self {
            endpoint: endpoint.clone(),
            host: host(endpoint),
            state: Mutex::new(State {
                requests: endpoint.requests.map(|quota| Bucket::new(quota, now)),
                of_callers: endpoint
                    .of_callers
                    .iter()
                    .map(|(name, quota)| (*name, Bucket::new(*quota, now)))
                    .collect(),
                tokens: endpoint.tokens.map(|quota| Bucket::new(quota, now)),
                trouble: None,
                queue: Queue::default(),
                full: now,
                unused: Duration::ZERO,
                attempts: Vec::new(),
            }),
        }
    }

    /// Locks the state. A lock is held for a few instructions, never across an await.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an attempt at a time since the start.
    pub(super) fn count(&self, at: Duration) {
        let column = usize::try_from(at.as_millis() / TICK.as_millis()).unwrap_or(usize::MAX);
        let attempts = &mut self.lock().attempts;
        if attempts.len() <= column {
            attempts.resize(column + 1, 0);
        }
        attempts[column] += 1;
    }

    /// Takes a request from the quota of a time of trouble, which begins with its first request.
    pub(super) fn admit_in_trouble(&self, quota: Quota) -> Result<(), Duration> {
        let now = Instant::now();
        let mut state = self.lock();
        let bucket = (state.trouble).get_or_insert_with(|| Bucket::new(quota, now));
        bucket.take(1, now)
    }

    /// Takes a request and its tokens. Otherwise takes neither and returns the wait for both.
    pub(super) fn admit(&self, tokens: u32, caller: &str) -> Result<(), Duration> {
        let now = Instant::now();
        let state = &mut *self.lock();
        if let Some(bucket) = state.bucket_of(caller) {
            return bucket.take(1, now);
        }
        // Taken from copies, so that one bucket gives nothing if the other refuses.
        let (mut requests, mut spent) = (state.requests.clone(), state.tokens.clone());
        let request = requests
            .as_mut()
            .map_or(Ok(()), |bucket| bucket.take(1, now));
        let size = spent
            .as_mut()
            .map_or(Ok(()), |bucket| bucket.take(tokens, now));
        match (request, size) {
            (Ok(()), Ok(())) => {
                (state.requests, state.tokens) = (requests, spent);
                state.use_quota(now);
                Ok(())
            }
            (request, size) => {
                let wait = |result: Result<(), Duration>| result.err().unwrap_or_default();
                Err(wait(request).max(wait(size)))
            }
        }
    }
}

impl State {
    /// Returns the bucket of a caller with a quota of its own.
    fn bucket_of(&mut self, caller: &str) -> Option<&mut Bucket> {
        let mut buckets = self.of_callers.iter_mut();
        let found = buckets.find(|(name, _)| *name == caller);
        found.map(|(_, bucket)| bucket)
    }

    /// Adds the time during which the bucket was full to [`unused`](Self::unused). Called after a
    /// request was taken.
    fn use_quota(&mut self, now: Instant) {
        if let Some(bucket) = &mut self.requests {
            self.unused += now.saturating_duration_since(self.full);
            self.full = now + bucket.until_full(now);
        }
    }
}

/// Returns the host name of an endpoint.
pub(super) fn host(endpoint: &Endpoint) -> String {
    format!("{}.lab", endpoint.name)
}
