use std::fmt;
use std::time::Duration;

use http::StatusCode;
use tokio::time::Instant;

use crate::endpoint::EndpointName;
use crate::verdict::Verdict;

/// One try of a request at one endpoint.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Attempt {
    /// The endpoint, if a balancer selected it.
    pub endpoint: Option<EndpointName>,
    /// The tier of the endpoint.
    pub tier: u16,
    /// The instant at which the attempt was sent.
    pub started: Instant,
    /// The time to the head of the response, or to the error.
    pub elapsed: Duration,
    /// The status, if there was a response.
    pub status: Option<StatusCode>,
    /// The verdict on the outcome.
    pub verdict: Verdict,
    /// Whether it was sent while another attempt of the request was in flight.
    pub hedge: bool,
    /// Whether it timed out at an endpoint that served no request meanwhile. Otherwise the request
    /// itself may be slow.
    pub silent: bool,
    /// The receipt of a failure that its layer can still take back.
    pub(crate) receipt: Option<(u64, u64)>,
}

impl Attempt {
    /// Creates the record of an attempt that was sent at `started` and ends now.
    #[must_use]
    pub fn new(started: Instant, verdict: Verdict) -> Self {
        let elapsed = Instant::now().saturating_duration_since(started);
        Self::lasting(started, elapsed, verdict)
    }

    /// Creates the record of an attempt that was sent at `started` and took `elapsed`.
    #[must_use]
    pub fn lasting(started: Instant, elapsed: Duration, verdict: Verdict) -> Self {
        Self {
            endpoint: None,
            tier: 0,
            started,
            elapsed,
            status: None,
            verdict,
            hedge: false,
            silent: false,
            receipt: None,
        }
    }

    /// Adds the receipt of a failure that its layer can still take back. Only that layer knows the
    /// meaning of the numbers.
    #[must_use]
    pub fn with_receipt(mut self, receipt: Option<(u64, u64)>) -> Self {
        self.receipt = receipt;
        self
    }
}

/// Prints `primary: rate_limited (429)`.
impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(endpoint) = &self.endpoint {
            write!(f, "{endpoint}: ")?;
        }
        write!(f, "{}", self.verdict.class())?;
        if let Some(status) = self.status {
            write!(f, " ({})", status.as_u16())?;
        }
        Ok(())
    }
}
