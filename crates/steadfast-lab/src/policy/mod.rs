//! Policies decide where and when attempts are made: ours, and the policies of other clients.

mod client;
mod envoy;
mod failover_loop;
mod least_outstanding;
mod linkerd;
mod litellm;
mod looped;
mod no_retry;
mod ours;
mod pick;
mod prequal;
mod registry;
mod retry_only;
mod rival;
mod round_robin;
mod rules;
mod sdk_retry;
mod setup;
mod tower_p2c;
mod tower_retry;

pub use self::client::{Client, Policy};
pub(crate) use self::envoy::Outliers;
pub(crate) use self::ours::variants;
pub use self::registry::policies;
pub(crate) use self::retry_only::retry_only;
pub use self::setup::Setup;
