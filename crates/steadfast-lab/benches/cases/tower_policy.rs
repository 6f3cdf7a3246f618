//! The policy that every user of the retry layer of tower writes.

use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, StatusCode};
use tokio::time::Sleep;
use tower::retry::Policy;
use tower::retry::backoff::{Backoff, ExponentialBackoff, ExponentialBackoffMaker, MakeBackoff};
use tower::retry::budget::{Budget, TpsBudget};
use tower::util::rng::HasherRng;

use super::request::Body;

const RETRIES: u32 = 2;
const MAX_BACKOFF: Duration = Duration::from_secs(8);
/// Retries for each request, so that the budget lasts where every request needs one.
const SHARE: f32 = 2.0;

/// Retries limited and failed requests, within a budget.
#[derive(Clone)]
pub(crate) struct TowerPolicy<W> {
    left: u32,
    budget: Arc<TpsBudget>,
    wait: W,
}

/// How long to wait before a retry.
pub(crate) trait Wait {
    type Future: Future<Output = ()>;

    fn next(&mut self) -> Self::Future;
}

/// Not at all, as another endpoint may take the request.
#[derive(Clone, Copy)]
pub(crate) struct Never;

impl TowerPolicy<ExponentialBackoff> {
    pub(crate) fn with_backoff(first: Duration) -> Self {
        let rng = HasherRng::default();
        let maker = ExponentialBackoffMaker::new(first, MAX_BACKOFF, 1.0, rng);
        Self::new(maker.expect("a valid backoff").make_backoff())
    }
}

impl TowerPolicy<Never> {
    pub(crate) fn at_once() -> Self {
        Self::new(Never)
    }
}

impl<W> TowerPolicy<W> {
    fn new(wait: W) -> Self {
        Self {
            left: RETRIES,
            budget: Arc::new(TpsBudget::new(Duration::from_secs(10), 10, SHARE)),
            wait,
        }
    }
}

impl<W: Wait, B, E> Policy<Request<Body>, Response<B>, E> for TowerPolicy<W> {
    type Future = W::Future;

    fn retry(
        &mut self,
        _: &mut Request<Body>,
        outcome: &mut Result<Response<B>, E>,
    ) -> Option<Self::Future> {
        if outcome
            .as_ref()
            .is_ok_and(|response| !is_bad(response.status()))
        {
            self.budget.deposit();
            return None;
        }
        if self.left == 0 || !self.budget.withdraw() {
            return None;
        }
        self.left -= 1;
        Some(self.wait.next())
    }

    fn clone_request(&mut self, request: &Request<Body>) -> Option<Request<Body>> {
        Some(request.clone())
    }
}

fn is_bad(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error()
}

impl Wait for ExponentialBackoff {
    type Future = Sleep;

    fn next(&mut self) -> Sleep {
        self.next_backoff()
    }
}

impl Wait for Never {
    type Future = std::future::Ready<()>;

    fn next(&mut self) -> Self::Future {
        std::future::ready(())
    }
}
