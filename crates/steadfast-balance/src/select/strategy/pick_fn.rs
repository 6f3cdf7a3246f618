use std::fmt;

use crate::select::candidates::{Candidate, Candidates};
use crate::select::pick::Pick;
use crate::select::pick_context::PickContext;

/// Chooses with a closure. Created by [`pick_fn`].
#[derive(Clone, Copy)]
pub struct PickFn<F>(F);

/// Creates a strategy from a closure.
///
/// ```
/// use steadfast_balance::{Candidate, Endpoint, EndpointBalanceLayer, pick_fn};
///
/// let layer = EndpointBalanceLayer::builder()
///     .endpoint(Endpoint::new("a", "https://a.example.com")?)
///     .strategy(pick_fn(|_, candidates| candidates.min_by(Candidate::cost)))
///     .build()?;
/// # Ok::<(), steadfast_core::InvalidConfig>(())
/// ```
pub fn pick_fn<F>(pick: F) -> PickFn<F>
where
    F: for<'a> Fn(&PickContext<'a>, Candidates<'a>) -> Option<Candidate<'a>> + Send + Sync,
{
    PickFn(pick)
}

impl<F> Pick for PickFn<F>
where
    F: for<'a> Fn(&PickContext<'a>, Candidates<'a>) -> Option<Candidate<'a>> + Send + Sync,
{
    fn pick<'a>(
        &self,
        request: &PickContext<'a>,
        candidates: Candidates<'a>,
    ) -> Option<Candidate<'a>> {
        (self.0)(request, candidates)
    }
}

impl<F> fmt::Debug for PickFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PickFn").field(&format_args!("_")).finish()
    }
}
