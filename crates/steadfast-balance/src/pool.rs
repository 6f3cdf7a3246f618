//! The endpoints of a balancer, and what all of them share.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use steadfast_core::{Classify, DefaultClassifier, InvalidConfig, Observers};
use tokio::time::Instant;

use crate::dice::Dice;
use crate::endpoint::Endpoint;
use crate::exhausted::WhenExhausted;
use crate::layer::EndpointBalanceLayer;
use crate::member::Member;
use crate::members::{Entry, Members};
use crate::queue::Queue;
use crate::strategy::{Pick, Strategy};

/// What all services of a layer share.
pub(crate) struct Pool {
    pub(crate) shared: Arc<Shared>,
    members: ArcSwap<Members>,
    version: AtomicU64,
    edit: Mutex<()>,
}

/// What the endpoints of a pool share, too.
pub(crate) struct Shared {
    pub(crate) rules: Rules,
    pub(crate) start: Instant,
    pub(crate) queue: Queue,
    pub(crate) draws: Draws,
    pub(crate) ids: AtomicU64,
}

/// What some choices change, on cache lines of its own: who only looks at the rules does not wait.
#[repr(align(128))]
pub(crate) struct Draws {
    pub(crate) dice: Dice,
    /// How far the round of [`Strategy::RoundRobin`](crate::Strategy::RoundRobin) has come.
    pub(crate) round: AtomicU64,
    /// When the last attempt of a broken pool was let through, in nanoseconds since the start,
    /// and 0 if there was none.
    pub(crate) last_resort: AtomicU64,
}

/// What is configured, beside the endpoints.
#[derive(Clone)]
pub(crate) struct Rules {
    pub(crate) strategy: Arc<dyn Pick>,
    pub(crate) classifier: Arc<dyn Classify + Send + Sync>,
    pub(crate) observers: Observers,
    pub(crate) request_root: String,
    pub(crate) abandoned_after: Option<Duration>,
    pub(crate) when_exhausted: WhenExhausted,
    pub(crate) max_wait: Duration,
    pub(crate) prefer_wait_below: Duration,
    pub(crate) quick_retry: bool,
    pub(crate) seed: Option<u64>,
}

// ===== impl Rules =====

impl Default for Rules {
    fn default() -> Self {
        Self {
            strategy: Arc::new(Strategy::default()),
            classifier: Arc::new(DefaultClassifier),
            observers: Observers::new(),
            request_root: String::new(),
            abandoned_after: None,
            when_exhausted: WhenExhausted::default(),
            max_wait: EndpointBalanceLayer::DEFAULT_MAX_WAIT,
            prefer_wait_below: Duration::ZERO,
            quick_retry: false,
            seed: None,
        }
    }
}

// ===== impl Shared =====

impl Shared {
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            draws: Draws {
                dice: Dice::new(rules.seed.unwrap_or_else(|| fastrand::u64(..))),
                round: AtomicU64::new(0),
                last_resort: AtomicU64::new(0),
            },
            rules,
            start: Instant::now(),
            queue: Queue::default(),
            ids: AtomicU64::new(0),
        }
    }

    pub(crate) fn since_start(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.start)
    }

    pub(crate) fn prefers_to_wait(&self) -> bool {
        !self.rules.prefer_wait_below.is_zero()
    }

    /// Tells those who wait that something has changed at an endpoint.
    pub(crate) fn turned(&self, now: Instant) {
        self.queue.pass_on(now);
    }
}

// ===== impl Pool =====

impl Pool {
    /// Makes a pool of these endpoints.
    ///
    /// # Errors
    ///
    /// Returns an error if two have the same name, or if one is misconfigured.
    pub(crate) fn new(shared: Shared, endpoints: Vec<Endpoint>) -> Result<Self, InvalidConfig> {
        let pool = Self {
            shared: Arc::new(shared),
            members: ArcSwap::from_pointee(Members::default()),
            version: AtomicU64::new(0),
            edit: Mutex::new(()),
        };
        pool.edit(|entries, new| {
            for (n, endpoint) in endpoints.into_iter().enumerate() {
                let within = |error: InvalidConfig| error.within(&format!("endpoint[{n}]"));
                new(entries, endpoint).map_err(within)?;
            }
            Ok(())
        })?;
        Ok(pool)
    }

    pub(crate) fn members(&self) -> Guard<Arc<Members>> {
        self.members.load()
    }

    /// Changes with each change of the endpoints.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::SeqCst)
    }

    /// Changes the endpoints. `change` is given a function that adds one. After an error nothing
    /// is changed.
    pub(crate) fn edit<T>(
        &self,
        change: impl FnOnce(
            &mut Vec<Entry>,
            &dyn Fn(&mut Vec<Entry>, Endpoint) -> Result<(), InvalidConfig>,
        ) -> Result<T, InvalidConfig>,
    ) -> Result<T, InvalidConfig> {
        // Nothing is written until all is done, so a panic cannot have broken anything.
        let _only = self.edit.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = self.members.load().all.clone();
        let new = |entries: &mut Vec<Entry>, endpoint: Endpoint| {
            let known = |entry: &Entry| entry.member.endpoint.name == endpoint.name;
            if entries.iter().any(known) {
                let reason = "must be different for each endpoint";
                return Err(InvalidConfig::new("name", &endpoint.name, reason));
            }
            let id = self.shared.ids.fetch_add(1, Ordering::Relaxed);
            entries.push(Entry::new(Member::new(endpoint, id, &self.shared)?));
            Ok(())
        };
        let done = change(&mut all, &new)?;
        let version = self.version.load(Ordering::Relaxed) + 1;
        let members = Members::new(version, all);
        self.members.store(Arc::new(members));
        self.version.store(version, Ordering::SeqCst);
        self.shared.queue.wake_all(Instant::now());
        Ok(done)
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("members", &self.members.load().all)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::service::EndpointBalance;
    use crate::services::Services;
    use crate::strategy::Strategy;
    use http::{Request, Response};

    use std::convert::Infallible;
    use tower::ServiceExt;

    pub(crate) fn shared(strategy: Strategy) -> Shared {
        Shared::new(Rules {
            strategy: Arc::new(strategy),
            seed: Some(1),
            ..Rules::default()
        })
    }

    pub(crate) fn pool(tiers: &[u16]) -> Pool {
        let endpoint = |(n, tier): (usize, &u16)| {
            let endpoint = Endpoint::new(&n.to_string(), "http://a.test").unwrap();
            endpoint.tier(*tier)
        };
        Pool::new(
            shared(Strategy::Failover),
            tiers.iter().enumerate().map(endpoint).collect(),
        )
        .unwrap()
    }

    /// A thread that changes the endpoints may have to pause between the list and its version.
    /// Requests looked again and again meanwhile, until their stack was full.
    #[tokio::test]
    async fn a_change_that_is_half_done_does_not_hold_a_request_up() {
        let pool = Arc::new(pool(&[0]));
        let answer = async |_: Request<()>| Ok::<_, Infallible>(Response::new(String::new()));
        let all = pool.members().all.clone();
        let version = pool.version() + 1;
        pool.members.store(Arc::new(Members::new(version, all)));
        let services = Services::new(pool, move |_| tower::service_fn(answer));
        let service = EndpointBalance::new(services);
        assert!(service.oneshot(Request::new(())).await.is_ok());
    }
}
