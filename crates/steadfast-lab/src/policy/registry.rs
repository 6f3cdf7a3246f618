//! All policies, in the order of tables and plots.
//!
//! The order groups our strategies first, then the rules of others from simple to complex, then
//! tower's own code.

use crate::policy::client::Policy;
use crate::policy::{
    envoy, failover_loop, least_outstanding, linkerd, litellm, no_retry, ours, prequal, retry_only,
    round_robin, sdk_retry, tower_p2c,
};

/// Returns all policies, ours first.
#[must_use]
pub fn policies() -> Vec<Box<dyn Policy>> {
    let mut policies = ours::all();
    policies.extend(rivals());
    policies.push(tower_p2c::policy());
    policies
}

/// Returns the policies that are written as rules.
fn rivals() -> Vec<Box<dyn Policy>> {
    vec![
        no_retry::policy(),
        sdk_retry::policy(),
        retry_only::alone(),
        failover_loop::policy(),
        round_robin::policy(),
        least_outstanding::policy(),
        linkerd::policy(),
        litellm::policy(),
        envoy::policy(),
        prequal::policy(),
    ]
}

#[cfg(test)]
mod tests;
