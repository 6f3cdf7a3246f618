//! The trait of all policies.
//!
//! A policy is compared as a whole client: selection, waits and retries together, because each
//! changes the effect of the others.

use http::{Request, Response};
use steadfast_core::BoxError;
use tower::util::BoxCloneSyncService;

use crate::policy::setup::Setup;
use crate::world::Body;

/// A client with a policy: a service for the requests of the lab.
pub type Client = BoxCloneSyncService<Request<Body>, Response<()>, BoxError>;

/// Decides where and when the attempts of a request are made.
///
/// # Example
///
/// A policy that sends each request to the first endpoint, and never repeats it:
///
/// ```
/// use std::time::Duration;
/// use http::Request;
/// use steadfast_lab::{Arrivals, Body, Client, Endpoint, Policy, Scenario, Setup, World};
/// use tower::ServiceExt;
/// use tower::util::BoxCloneSyncService;
///
/// struct FirstOnly;
///
/// impl Policy for FirstOnly {
///     fn name(&self) -> &'static str {
///         "first-only"
///     }
///
///     fn about(&self) -> &'static str {
///         "one attempt at the first endpoint"
///     }
///
///     fn client(&self, setup: &Setup) -> Client {
///         let uri = World::uri(&setup.endpoints()[0]);
///         let client = setup
///             .http()
///             .map_request(move |mut request: Request<Body>| {
///                 *request.uri_mut() = uri.clone();
///                 request
///             })
///             .map_response(|answer| answer.map(drop));
///         BoxCloneSyncService::new(client)
///     }
/// }
///
/// let scenario = Scenario::new("half fail")
///     .endpoint(Endpoint::new("a").failures(0.5))
///     .arrivals(Arrivals::Constant(50.0))
///     .lasting(Duration::from_secs(60));
/// let report = scenario.run(&FirstOnly, 1);
/// assert_eq!(report.requests, 3_000);
/// assert!((0.45..0.55).contains(&report.success));
/// assert_eq!(report.attempts_per_request, 1.0);
/// ```
pub trait Policy: Send + Sync {
    /// Returns its name in tables, plots and on the command line.
    fn name(&self) -> &'static str;

    /// Returns a sentence on its rules and their source.
    fn about(&self) -> &'static str;

    /// Creates a client, which shares no state with other clients. Called on the runtime of the
    /// simulation, at the start of its clock.
    fn client(&self, setup: &Setup) -> Client;
}
