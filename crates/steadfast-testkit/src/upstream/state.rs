//! The shared state of an upstream.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use http::HeaderMap;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::behavior::Behavior;
use crate::bucket::Bucket;
use crate::counts::Counts;
use crate::quota::Quota;
use crate::received::Received;
use crate::reply::Reply;
use crate::sync::lock;
use crate::wire::clock::go_duration;

/// The number of requests in the log. The oldest are dropped first.
pub(crate) const LOG_LIMIT: usize = 10_000;

/// The behavior, the log and the counts of an upstream.
#[derive(Debug)]
pub(crate) struct State {
    name: Mutex<Arc<str>>,
    script: Mutex<Script>,
    limit: Mutex<Option<Bucket>>,
    log: Mutex<VecDeque<Received>>,
    counts: watch::Sender<Counts>,
}

/// The replies to come: one-time replies, then the behavior.
#[derive(Debug, Default)]
struct Script {
    standing: Behavior,
    queue: VecDeque<Reply>,
}

impl State {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: Mutex::new(name.into()),
            script: Mutex::default(),
            limit: Mutex::default(),
            log: Mutex::default(),
            counts: watch::Sender::default(),
        }
    }

    /// Returns the name in all answers.
    pub(crate) fn name(&self) -> Arc<str> {
        lock(&self.name).clone()
    }

    pub(crate) fn rename(&self, name: &str) {
        *lock(&self.name) = name.into();
    }

    /// Sets the behavior.
    pub(crate) fn stand(&self, behavior: Behavior) {
        lock(&self.script).standing = behavior;
    }

    /// Queues one-time replies.
    pub(crate) fn enqueue(&self, replies: impl IntoIterator<Item = Reply>) {
        lock(&self.script).queue.extend(replies);
    }

    /// Sets or removes the quota.
    pub(crate) fn limit(&self, quota: Option<Quota>) {
        *lock(&self.limit) = quota.map(|quota| Bucket::new(quota, Instant::now()));
    }

    /// Records a request and chooses its reply. Returns the number of the request, too.
    pub(crate) fn receive(&self, received: &Received) -> (u64, Reply) {
        let reply = self.reply_to(received);
        let mut log = lock(&self.log);
        if log.len() == LOG_LIMIT {
            log.pop_front();
        }
        log.push_back(received.clone());
        drop(log);
        // Last: a test that waits for the count then finds the request in the log and its reply
        // taken.
        let mut number = 0;
        self.count(|counts| {
            counts.requests += 1;
            number = counts.requests;
        });
        (number, reply)
    }

    /// Returns the next one-time reply, a refusal, or the reply of the behavior.
    fn reply_to(&self, received: &Received) -> Reply {
        let standing = {
            let mut script = lock(&self.script);
            match script.queue.pop_front() {
                Some(reply) => return reply,
                None => script.standing.clone(),
            }
        };
        // The user's code may be slow, and may use the upstream. So no lock is held here.
        self.refuse().unwrap_or_else(|| standing.choose(received))
    }

    /// Takes a token, or returns the 429 of the quota.
    fn refuse(&self) -> Option<Reply> {
        let mut limit = lock(&self.limit);
        let bucket = limit.as_mut()?;
        let wait = bucket.take(1, Instant::now()).err()?;
        Some(Reply::rate_limited((bucket.quota().hint)(wait)))
    }

    /// Adds the headers of an announced quota to the head of an admitted answer.
    pub(crate) fn announce(&self, headers: &mut HeaderMap) {
        let mut limit = lock(&self.limit);
        let Some(bucket) = limit.as_mut().filter(|bucket| bucket.quota().announced) else {
            return;
        };
        let now = Instant::now();
        let until_full = go_duration(bucket.until_full(now));
        for (name, value) in [
            (
                "x-ratelimit-limit-requests",
                bucket.quota().burst.to_string(),
            ),
            (
                "x-ratelimit-remaining-requests",
                bucket.remaining(now).to_string(),
            ),
            ("x-ratelimit-reset-requests", until_full),
        ] {
            if let Ok(value) = value.parse() {
                headers.insert(name, value);
            }
        }
    }

    /// Returns the requests in the log.
    pub(crate) fn log(&self) -> Vec<Received> {
        lock(&self.log).iter().cloned().collect()
    }

    pub(crate) fn clear_log(&self) {
        lock(&self.log).clear();
    }

    /// Changes the counts and notifies waiting tests.
    pub(crate) fn count(&self, change: impl FnOnce(&mut Counts)) {
        self.counts.send_modify(change);
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts.borrow().clone()
    }

    /// Waits until `done` returns `true` for the counts.
    pub(crate) async fn wait_until(&self, done: impl FnMut(&Counts) -> bool) {
        // An error means that the sender is gone, and `self` has it.
        let _ = self.counts.subscribe().wait_for(done).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http::{Method, Version};

    #[tokio::test(start_paused = true)]
    async fn full_log_drops_oldest_requests_and_keeps_counts() {
        let state = State::new("primary");
        for number in 0..=LOG_LIMIT {
            let _ = state.receive(&Received {
                at: Instant::now(),
                connection: 1,
                method: Method::GET,
                path_and_query: number.to_string(),
                version: Version::HTTP_11,
                headers: HeaderMap::new(),
                body: Bytes::new(),
            });
        }
        let log = state.log();
        assert_eq!(log.len(), LOG_LIMIT);
        assert_eq!(log[0].path_and_query, "1");
        assert_eq!(state.counts().requests, LOG_LIMIT as u64 + 1);
    }
}
