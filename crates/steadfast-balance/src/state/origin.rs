use http::Uri;
use tokio::time::Instant;

use crate::state::bench::RequestId;
use crate::state::cooldown::accused::Sender;

/// The request of a refused attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin<'a> {
    pub(crate) request: RequestId,
    /// The target that the caller has sent.
    pub(crate) target: Option<&'a Uri>,
    /// Whether another endpoint refuses the request alike and takes others.
    pub(crate) is_own: bool,
    pub(crate) sender: Sender,
    /// The refusals of the request for a rate limit before this one, at the same endpoint.
    pub(crate) earlier: Option<Earlier>,
}

/// Earlier refusals of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Earlier {
    /// When the last of the refused attempts was sent.
    pub(crate) since: Instant,
    /// Whether there is only one.
    pub(crate) is_only: bool,
}

impl<'a> Origin<'a> {
    /// Creates the origin of a refusal.
    pub(crate) fn new(request: Option<RequestId>, target: Option<&'a Uri>) -> Self {
        Self {
            request: request.unwrap_or(RequestId::Unknown),
            target,
            is_own: false,
            sender: Sender::default(),
            earlier: None,
        }
    }
}
