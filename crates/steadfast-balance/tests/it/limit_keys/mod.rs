//! Limits per endpoint and limit key.

mod accounts;
mod credentials;
mod eviction;
mod isolation;
mod orders;
mod waiting;

use http::Request;
use steadfast_balance::{KeyStatus, PoolHandle};
use steadfast_core::LimitKey;

use crate::support::Sent;
use crate::support::{Body, Net, Reply, get, status_of};

/// A request for a model. The model is also a header, which the servers read.
fn get_model(model: &str) -> Request<Body> {
    let mut request = get();
    request.extensions_mut().insert(LimitKey::new(model));
    let value = model.parse().expect("a header value");
    request.headers_mut().insert("x-model", value);
    request
}

fn model(sent: &Sent) -> &str {
    sent.headers["x-model"].to_str().expect("ASCII")
}

/// The servers answer requests for the model `limited` with `refusal`, and all others with success.
fn refuse_limited<const N: usize>(
    net: &Net,
    names: [&str; N],
    refusal: impl Fn() -> Reply + Clone + Send + Sync + 'static,
) {
    for name in names {
        let refusal = refusal.clone();
        net.on_request(name, move |_, sent| match model(sent) {
            "limited" => refusal(),
            _ => Reply::from(crate::support::ok()),
        });
    }
}

/// Returns the limits of a model at an endpoint.
fn key_status(handle: &PoolHandle, endpoint: &str, model: &str) -> Option<KeyStatus> {
    let mut keys = status_of(handle, endpoint).keys.into_iter();
    keys.find(|status| status.key == Some(LimitKey::new(model)))
}
