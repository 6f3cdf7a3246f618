use std::time::Duration;

use http::request::Parts;
use steadfast_core::{RetryBudget, Safety};
use tower_layer::Layer;

use crate::copy::{Cloned, CopyBodyFn};
use crate::quantile::Quantile;
use crate::rules::{Delay, Hedging, Rules};
use crate::service::Hedge;
use crate::share::Share;

/// Applies [`Hedge`] to a balancer.
///
/// Clones of a service share its state, services of one layer do not. See the [crate docs](crate)
/// for an example.
#[derive(Clone, Debug)]
#[must_use = "a layer does nothing until it is applied to a service"]
pub struct HedgeLayer<C = Cloned> {
    rules: Rules,
    copy: C,
}

impl HedgeLayer {
    /// Creates a layer with the [defaults](crate#defaults).
    pub fn new() -> Self {
        Self {
            rules: Rules::default(),
            copy: Cloned(()),
        }
    }
}

impl Default for HedgeLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<C> HedgeLayer<C> {
    /// Sets a fixed time before a hedge, in place of a quantile.
    pub fn after(mut self, delay: Duration) -> Self {
        self.rules.delay = Delay::Fixed(delay);
        self
    }

    /// Sets the quantile of latencies after which a request is hedged. Defaults to
    /// [`Quantile::DEFAULT`].
    ///
    /// The layer first records enough latencies: 100, or as many as put five above the quantile.
    pub fn quantile(mut self, quantile: Quantile) -> Self {
        self.rules.delay = Delay::Quantile(quantile);
        self
    }

    /// Sets the minimum time before a hedge. Defaults to 1 ms, the resolution of a timer.
    pub fn min_delay(mut self, delay: Duration) -> Self {
        self.rules.min_delay = delay;
        self
    }

    /// Sets the maximum share of hedges in all requests. Defaults to [`Share::DEFAULT`].
    ///
    /// The share is never exceeded. An unused share is saved, for up to 50 hedges. A request that
    /// finds the share used up checks again after an eighth of its delay.
    pub fn max_share(mut self, share: Share) -> Self {
        self.rules.share = share;
        self
    }

    /// Sets the maximum number of hedges of a request. Defaults to 1.
    ///
    /// Each hedge follows the previous attempt after the same delay, and goes to another endpoint.
    /// If slow answers are independent and 5 % of all, one hedge leaves 0.25 %. Set 2, with a
    /// sufficient share, to improve p99.9.
    pub fn max_hedges(mut self, hedges: u32) -> Self {
        self.rules.max_hedges = hedges;
        self
    }

    /// Sets a budget that pays for hedges as well, such as the budget of the retry layer. Defaults
    /// to none.
    ///
    /// A hedge costs [`MOVE_COST`](RetryBudget::MOVE_COST). The cost is refunded if the hedge wins
    /// or was not sent.
    pub fn budget(mut self, budget: RetryBudget) -> Self {
        self.rules.budget = Some(budget);
        self
    }

    /// Sets whether requests with a non-idempotent method are hedged. Use this only if a repeated
    /// request does no harm.
    pub fn hedge_non_idempotent(mut self, hedge: bool) -> Self {
        self.rules.safety = if hedge {
            Safety::always()
        } else {
            Safety::idempotent()
        };
        self
    }

    /// Sets the requests that are safe to send twice. Replaces the rule for methods and keys.
    pub fn safe_if(mut self, is_safe: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Self {
        self.rules.safety = Safety::when(is_safe);
        self
    }

    /// Copies bodies with a closure, in place of `Clone`. A request is not hedged if the closure
    /// returns `None`.
    pub fn copy_body<B, F>(self, copy: F) -> HedgeLayer<CopyBodyFn<F>>
    where
        F: Fn(&B) -> Option<B>,
    {
        self.copy_body_by(CopyBodyFn(copy))
    }

    /// Copies bodies with a [`CopyBody`](crate::CopyBody), a type that can be named.
    pub fn copy_body_by<T>(self, copy: T) -> HedgeLayer<T> {
        HedgeLayer {
            rules: self.rules,
            copy,
        }
    }
}

impl<S, C: Clone> Layer<S> for HedgeLayer<C> {
    type Service = Hedge<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        let hedging = Hedging::new(self.rules.clone(), self.copy.clone());
        Hedge::new(inner, hedging)
    }
}
