//! tower's `Retry` with a policy as its docs teach to write one.
//!
//! Tower has the trait `Policy` and no implementation for HTTP. This one follows the docs of
//! `tower::retry`, and repeats `429`, `5xx` and errors.

use std::future::Future;
use std::hash::{BuildHasher, DefaultHasher, Hasher};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use steadfast_core::BoxError;
use tower::retry;
use tower::retry::backoff::{Backoff, ExponentialBackoff, ExponentialBackoffMaker, MakeBackoff};
use tower::retry::budget::{Budget, TpsBudget};
use tower::util::rng::HasherRng;

use crate::world::{Answer, Body};

/// The policy that users write, as the docs of `Budget` show it.
///
/// A clone of it draws the same jitter as all others, which is how `HasherRng` and
/// `ExponentialBackoffMaker` are made.
#[derive(Clone)]
pub(crate) struct OnFailure {
    /// The retries that are left.
    retries: u32,
    /// The delays, with tower's default jitter.
    backoff: ExponentialBackoff<HasherRng<Seeded>>,
    /// The budget that all requests share.
    budget: Option<Arc<TpsBudget>>,
}

impl OnFailure {
    /// Creates a policy with tower's default backoff and budget.
    pub(crate) fn new(retries: u32, seed: u64) -> Self {
        // The defaults of `ExponentialBackoffMaker`, but for the generator.
        let (min, max) = (Duration::from_millis(50), Duration::from_millis(u64::MAX));
        let maker = ExponentialBackoffMaker::new(min, max, 0.99, seeded(seed));
        Self {
            retries,
            backoff: maker.expect("the defaults").make_backoff(),
            budget: Some(Arc::default()),
        }
    }

    /// Removes the budget.
    pub(crate) fn without_budget(mut self) -> Self {
        self.budget = None;
        self
    }
}

impl retry::Policy<Request<Body>, Answer, BoxError> for OnFailure {
    type Future = Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

    fn retry(
        &mut self,
        _: &mut Request<Body>,
        result: &mut Result<Answer, BoxError>,
    ) -> Option<Self::Future> {
        let budget = self.budget.as_deref();
        let failed = result.as_ref().map_or(true, |answer| {
            answer.status().as_u16() == 429 || answer.status().is_server_error()
        });
        if !failed {
            if let Some(budget) = budget {
                budget.deposit();
            }
            return None;
        }
        self.retries = self.retries.checked_sub(1)?;
        budget
            .is_none_or(Budget::withdraw)
            .then(|| Box::pin(self.backoff.next_backoff()) as Self::Future)
    }

    fn clone_request(&mut self, request: &Request<Body>) -> Option<Request<Body>> {
        Some(request.clone())
    }
}

/// tower's generator, with a known key in the place of one that differs in each process.
pub(crate) fn seeded(seed: u64) -> HasherRng<Seeded> {
    HasherRng::with_hasher(Seeded(seed))
}

/// A hasher with a known key.
#[derive(Clone, Debug)]
pub(crate) struct Seeded(u64);

impl BuildHasher for Seeded {
    type Hasher = DefaultHasher;

    fn build_hasher(&self) -> DefaultHasher {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.0);
        hasher
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// facts/rust-peers.md, B12: requests that fail together come back together.
    #[tokio::test(start_paused = true)]
    async fn all_requests_draw_the_same_jitter() {
        let policy = OnFailure::new(2, 1);
        let waits = || {
            let mut backoff = policy.clone().backoff;
            [(); 4].map(|()| backoff.next_backoff().deadline())
        };
        assert_eq!(waits(), waits());
    }
}
