//! Selection: routing options, strategies and the load of endpoints.

mod custom_pick;
mod doubt;
mod load;
mod routing_options;
mod sticky;
mod strategies;

use http::Request;
use steadfast_balance::EndpointBalance;

use crate::support::{Body, Client, Net, ok, send_for_status};

type Balancer = EndpointBalance<Client>;

fn all_healthy<const N: usize>(net: &Net, names: [&str; N]) {
    for name in names {
        net.on(name, |_| ok());
    }
}

/// Sends requests and returns the number that each server received, in the order of `names`.
async fn requests_per_server<const N: usize>(
    net: &Net,
    names: [&str; N],
    service: &Balancer,
    requests: impl IntoIterator<Item = Request<Body>>,
) -> [usize; N] {
    let before = net.counts(names);
    for request in requests {
        assert_eq!(send_for_status(service, request).await, 200);
    }
    let after = net.counts(names);
    std::array::from_fn(|n| after[n] - before[n])
}

/// Headers of a bucket with 1,000 tokens.
fn token_headers(remaining: &'static str) -> [(&'static str, &'static str); 3] {
    [
        ("x-ratelimit-limit-tokens", "1000"),
        ("x-ratelimit-remaining-tokens", remaining),
        ("x-ratelimit-reset-tokens", "9s"),
    ]
}
