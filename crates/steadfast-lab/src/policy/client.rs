//! The trait of all policies.

use http::{Request, Response};
use steadfast_core::BoxError;
use tower::util::BoxCloneSyncService;

use crate::policy::setup::Setup;
use crate::world::Body;

/// A client with a policy, ready to be sent requests.
pub type Client = BoxCloneSyncService<Request<Body>, Response<()>, BoxError>;

/// Decides where and when the attempts of a request are made.
pub trait Policy: Send + Sync {
    /// Returns its name in tables, plots and on the command line.
    fn name(&self) -> &'static str;

    /// Returns a sentence on its rules and their source.
    fn about(&self) -> &'static str;

    /// Makes a client, which shares nothing with other clients. Called on the runtime of the
    /// simulation, at the start of its clock.
    fn client(&self, setup: &Setup) -> Client;
}
