use std::sync::Arc;

use crate::select::candidates::{Candidate, Candidates};
use crate::select::pick_context::PickContext;

/// Chooses among the endpoints that can take a request.
///
/// All candidates belong to one tier, because tiers come first. [`Strategy`](crate::Strategy) has
/// the common rules. A custom strategy can hold its own state, which all calls share.
///
/// ```
/// use steadfast_balance::{PickContext, Candidate, Candidates, Endpoint, EndpointBalanceLayer, Pick};
///
/// /// Spends what is cheap first.
/// struct Cheapest;
///
/// impl Pick for Cheapest {
///     fn pick<'a>(&self, _: &PickContext<'a>, candidates: Candidates<'a>) -> Option<Candidate<'a>> {
///         candidates.min_by(Candidate::cost)
///     }
/// }
///
/// let layer = EndpointBalanceLayer::builder()
///     .endpoint(Endpoint::new("a", "https://a.example.com")?)
///     .strategy(Cheapest)
///     .build()?;
/// # Ok::<(), steadfast_core::InvalidConfig>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no strategy",
    label = "no `Pick`",
    note = "use a `Strategy`, a `Scored`, or `pick_fn(|request, candidates| ..)`"
)]
pub trait Pick: Send + Sync {
    /// Returns the chosen candidate of at least two.
    ///
    /// If it returns `None`, the first candidate is chosen. The call is on the path of a request,
    /// so it must neither block nor panic.
    fn pick<'a>(
        &self,
        request: &PickContext<'a>,
        candidates: Candidates<'a>,
    ) -> Option<Candidate<'a>>;

    /// Returns the number of candidates that the strategy needs. Fewer candidates cost less.
    /// Defaults to [`Sample::All`].
    fn sample(&self) -> Sample {
        Sample::All
    }
}

impl<P: Pick + ?Sized> Pick for Arc<P> {
    fn pick<'a>(
        &self,
        request: &PickContext<'a>,
        candidates: Candidates<'a>,
    ) -> Option<Candidate<'a>> {
        (**self).pick(request, candidates)
    }

    fn sample(&self) -> Sample {
        (**self).sample()
    }
}

/// The number of candidates that a strategy needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sample {
    /// All candidates.
    All,
    /// The first candidate, which is chosen.
    First,
    /// Two random candidates, if the tier has more than 16 endpoints. Otherwise, all candidates.
    Two,
}
