use http::Uri;

use crate::state::bench::RequestId;

/// The request of a refused attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin<'a> {
    pub(crate) request: RequestId,
    /// The target that the caller has sent.
    pub(crate) target: Option<&'a Uri>,
    /// Whether another endpoint refuses the request alike and takes others.
    pub(crate) is_own: bool,
}

impl<'a> Origin<'a> {
    /// Creates the origin of a refusal.
    pub(crate) fn new(request: Option<RequestId>, target: Option<&'a Uri>) -> Self {
        Self {
            request: request.unwrap_or(RequestId::Unknown),
            target,
            is_own: false,
        }
    }
}
