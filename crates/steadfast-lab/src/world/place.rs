//! The state of one endpoint at work: quotas, queue, counts.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use steadfast_testkit::{Bucket, Quota};
use tokio::time::Instant;

use crate::world::endpoint::Endpoint;
use crate::world::queue::Queue;

/// The width of the columns that count attempts.
pub(crate) const TICK: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Place {
    pub(super) endpoint: Endpoint,
    pub(super) host: String,
    state: Mutex<State>,
}

#[derive(Debug)]
pub(super) struct State {
    requests: Option<Bucket>,
    of_callers: Vec<(&'static str, Bucket)>,
    tokens: Option<Bucket>,
    /// The bucket of a quota that lasts for a time of trouble.
    trouble: Option<Bucket>,
    pub(super) queue: Queue,
    /// When the bucket of requests is full, if nothing more is taken.
    full: Instant,
    /// For how long it was.
    pub(super) unused: Duration,
    /// The attempts in each [`TICK`] since the start.
    pub(super) attempts: Vec<u32>,
}

impl Place {
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

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

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
    /// The bucket of a caller with a quota of its own.
    fn bucket_of(&mut self, caller: &str) -> Option<&mut Bucket> {
        let mut buckets = self.of_callers.iter_mut();
        let found = buckets.find(|(name, _)| *name == caller);
        found.map(|(_, bucket)| bucket)
    }

    /// Notes for how long the quota of requests was not used up before a request was taken.
    fn use_quota(&mut self, now: Instant) {
        if let Some(bucket) = &mut self.requests {
            self.unused += now.saturating_duration_since(self.full);
            self.full = now + bucket.until_full(now);
        }
    }
}

pub(super) fn host(endpoint: &Endpoint) -> String {
    format!("{}.lab", endpoint.name)
}
