use std::time::Duration;

use http::request::Parts;
use steadfast_core::{InvalidConfig, RetryBudget, Safety};
use tower_layer::Layer;

use crate::copy::{Cloned, CopyBodyFn};
use crate::rules::{Delay, Rules, Shared};
use crate::service::Hedge;
use crate::share::Share;

/// Applies [`Hedge`] to a balancer.
///
/// A few answers take many times longer than the others. A request that was not answered within
/// the time in which 96 of 100 are goes to another endpoint as well; the first to succeed
/// answers it, and the other attempt is dropped. What may be sent so is limited, to 5 % of all
/// requests if not set: an endpoint that is slow since it has too much to do gets no more than
/// that on top.
///
/// ```
/// use http::{Request, Response};
/// use std::convert::Infallible;
/// use steadfast_balance::{Endpoint, EndpointBalanceLayer, Strategy};
/// use steadfast_core::RetryBudget;
/// use steadfast_hedge::HedgeLayer;
/// use tower::{ServiceBuilder, ServiceExt};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tower::BoxError> {
/// # async fn send(request: Request<String>) -> Result<Response<String>, Infallible> {
/// #     Ok(Response::new(request.uri().to_string()))
/// # }
/// let balance = EndpointBalanceLayer::builder()
///     .endpoint(Endpoint::new("east", "https://east.example.com")?)
///     .endpoint(Endpoint::new("west", "https://west.example.com")?)
///     .strategy(Strategy::LeastLoaded)
///     .build()?;
/// let client = ServiceBuilder::new()
///     .layer(HedgeLayer::new().max_share(0.02)?.budget(RetryBudget::default()))
///     .layer(balance)
///     .service_fn(send);
/// # client.oneshot(Request::get("/").body(String::new())?).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Which requests
///
/// Those that may be sent twice: their method is idempotent, or they have an `idempotency-key`,
/// or [one](Self::hedge_non_idempotent) of the [rules](Self::safe_if) says so. Not those that
/// [`RoutingOptions::only`](steadfast_core::RoutingOptions::only) binds to one endpoint, and not those whose
/// [`Deadline`](steadfast_core::Deadline) comes first.
///
/// The first attempt takes the request with it, so whoever may be hedged costs a copy of the head
/// and of the body before it is known whether it will be. Bodies that are in memory cost a
/// reference count. The others are for [`copy_body`](Self::copy_body) to decide.
///
/// # Where the second attempt goes
///
/// To an endpoint that is admissible at once and where no attempt of the request has been yet, in
/// the lowest tier that has one. It does not wait, neither for its turn nor for a service that is
/// busy, and it is no last resort. Where there is no such endpoint, nothing happens, and it is
/// looked for again after the same time. A request that itself still waits for its turn is not
/// hedged, as that would only lengthen the queue: its time begins when it is sent.
///
/// # Which outcome counts
///
/// | What happens | What follows |
/// |---|---|
/// | one attempt succeeds | its answer is returned, the other is dropped at once |
/// | the first one shows that the request is at fault | the same |
/// | an attempt fails otherwise while another runs | the other decides |
/// | all fail | the first one's outcome is returned, but an answer before an error |
///
/// The [`Trail`](steadfast_core::Trail) has all of them. A dropped attempt is `Cancelled`: it says
/// nothing to the breaker of its endpoint, whatever
/// `abandoned_after` says, and its latency is
/// left out there. An endpoint that hangs is found out by the requests that are not hedged, of
/// which the share leaves enough.
///
/// # How the time is found
///
/// The layer measures how long the heads of successes take, from their endpoint's choice on, and
/// knows the quantile of the latest 1,024 to 2,048. It hedges nothing before it has seen 125. An
/// attempt that lost against a second one counts with the time until then: that is above the
/// quantile, as its whole time would be, and so it does not make the quantile shorter.
///
/// # Readiness, clones and dropped requests
///
/// * It is ready when the inner service is. If that is not ready when a second attempt is due,
///   there is none.
/// * Clones of a service share what was measured and the share of further attempts. Services made
///   by one layer share neither.
/// * A future that is dropped drops all attempts.
///
/// # Order
///
/// ```text
/// request ──▶ retry ──▶ hedge ──▶ balance ──▶ (layers of the endpoint) ──▶ client
/// ```
///
/// Around another service than a balancer of `steadfast-balance` it works too, but then
/// nobody keeps the second attempt away from where the first one is.
#[derive(Clone, Debug)]
#[must_use = "a layer does nothing until it is applied to a service"]
pub struct HedgeLayer<C = Cloned> {
    rules: Rules,
    copy: C,
}

impl HedgeLayer {
    /// The part of successes that come before a request is sent again, if not set.
    ///
    /// With the 95th percentile just those 5 % would be hedged that may be, and whoever finds the
    /// share used up by chance is what the slowest of a thousand are.
    pub const DEFAULT_QUANTILE: f64 = 0.96;

    /// Creates a layer which hedges what takes longer than 96 % of the successes.
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
    /// Sets the time after which a request is sent again, in place of a quantile.
    pub fn after(mut self, delay: Duration) -> Self {
        self.rules.delay = Delay::Fixed(delay);
        self
    }

    /// Sets the part of successes that come in time, [`DEFAULT_QUANTILE`](HedgeLayer::DEFAULT_QUANTILE) if not
    /// set. For one near 1 more than
    /// 100 have to be seen first, so that five were later.
    ///
    /// # Errors
    ///
    /// Fails if it is not between 0 and 1.
    pub fn quantile(mut self, quantile: f64) -> Result<Self, InvalidConfig> {
        if !(quantile > 0.0 && quantile < 1.0) {
            let reason = "is between 0 and 1";
            return Err(InvalidConfig::new("quantile", quantile, reason));
        }
        self.rules.delay = Delay::Quantile(quantile);
        Ok(self)
    }

    /// Sets the shortest time after which a request is sent again, 1 ms if not set, which is what
    /// a timer counts in.
    pub fn min_delay(mut self, delay: Duration) -> Self {
        self.rules.min_delay = delay;
        self
    }

    /// Sets how many further attempts there are at most, as a part of all requests: 0.05 if not
    /// set. It is never exceeded. What is not used is saved, for up to 50 of them.
    ///
    /// If as many requests are slow as the share allows, it does not do for all of them at once:
    /// those that wait for it look again soon.
    ///
    /// # Errors
    ///
    /// Fails if it is not from 0 to 1.
    pub fn max_share(mut self, share: f64) -> Result<Self, InvalidConfig> {
        self.rules.share = Share::new(share)?;
        Ok(self)
    }

    /// Sets how many further attempts one request may have, 1 if not set. Each one comes the same
    /// time after the one before, and goes to yet another endpoint.
    ///
    /// If slow answers are accidents, the second attempt meets with one as often as the first: of
    /// 5 % it leaves 0.25 %. Whoever cares for the slowest of a thousand allows 2, and a share
    /// with room for them.
    pub fn max_hedges(mut self, attempts: u32) -> Self {
        self.rules.max_hedges = attempts;
        self
    }

    /// Sets the budget that further attempts are paid from besides, the one of the retry layer
    /// say, with [`MOVE_COST`](RetryBudget::MOVE_COST) each. That comes back if the attempt wins
    /// or was not sent. None by default.
    pub fn budget(mut self, budget: RetryBudget) -> Self {
        self.rules.budget = Some(budget);
        self
    }

    /// Sets whether a request is hedged although its method is not idempotent. Do so only where
    /// doing it twice does no harm.
    pub fn hedge_non_idempotent(mut self, hedge: bool) -> Self {
        self.rules.safety = if hedge {
            Safety::always()
        } else {
            Safety::idempotent()
        };
        self
    }

    /// Sets which requests may be sent twice, in place of the rule about methods and keys.
    pub fn safe_if(mut self, is_safe: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Self {
        self.rules.safety = Safety::when(is_safe);
        self
    }

    /// Sets how bodies are copied, in place of `Clone`. A request whose body is not copied is not
    /// hedged.
    pub fn copy_body<B, F>(self, copy: F) -> HedgeLayer<CopyBodyFn<F>>
    where
        F: Fn(&B) -> Option<B>,
    {
        self.copy_body_by(CopyBodyFn(copy))
    }

    /// Sets how bodies are copied, by a type that can be named.
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
        let shared = Shared::new(self.rules.clone(), self.copy.clone());
        Hedge::new(inner, shared)
    }
}
