use std::sync::Arc;

use crate::select::candidates::{Candidate, Candidates, PickContext};

/// Chooses among the endpoints that could take a request.
///
/// Tiers come first: all candidates are of one tier. [`Strategy`] has the rules that most need;
/// one's own may keep a state of its own, as calls share it.
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
    /// Returns the chosen one. There are at least two candidates. With `None` it is the first one,
    /// in the order of the configuration.
    ///
    /// Called on the way of every request, so it must neither block nor panic.
    fn pick<'a>(
        &self,
        request: &PickContext<'a>,
        candidates: Candidates<'a>,
    ) -> Option<Candidate<'a>>;

    /// Returns how many candidates it needs to see. Fewer cost less.
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

/// How many candidates a strategy needs to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sample {
    /// All of them.
    All,
    /// The first one, which is chosen.
    First,
    /// All of a few, or two at random where there are more than 16.
    Two,
}
