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

    /// Returns what it does and where that was published, in a sentence.
    fn about(&self) -> &'static str;

    /// Makes a client, which shares nothing with other clients. Called on the runtime of the
    /// simulation, whose clock has just begun.
    fn client(&self, setup: &Setup) -> Client;
}
