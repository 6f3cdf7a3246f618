//! Policies decide where and when attempts are made: ours, and the policies of other clients.
//!
//! Our policies are the layers of this workspace. Other policies are [`Rules`](rules::Rules) in a
//! common loop, written from the sources or docs of the product, with its default numbers. Tower's
//! policies are tower's own code.
//!
//! | File | Policy | Source of its rules and numbers |
//! |---|---|---|
//! | `ours` | our layers, one policy per strategy | the crates of this workspace with their defaults |
//! | `no_retry` | one attempt | the baseline |
//! | `retry_only` | one endpoint, so retries alone | our layer, tower's, the SDKs |
//! | `sdk_retry` | the retries of the SDKs | `openai-python`, `anthropic-sdk-python` |
//! | `failover_loop` | a loop over the endpoints | common application code |
//! | `round_robin` | the endpoints in turn | common load balancers |
//! | `least_outstanding` | the fewest requests in flight | `least_conn` of nginx |
//! | `linkerd` | P2C over peak EWMA with penalties | linkerd2-proxy |
//! | `litellm` | a weighted draw with cooldowns | LiteLLM's router |
//! | `envoy` | retries, retry budget, outlier detection | Envoy's documentation |
//! | `prequal` | the fastest cold endpoint | the paper on Prequal |
//! | `tower_p2c`, `tower_retry` | tower's own code | the crate `tower` |

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
