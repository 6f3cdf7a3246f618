//! The balancer below a retry layer, as in a complete stack.

mod attempts;
mod callers;
mod costs;
mod failures;
mod final_answer;
mod limits;
mod poison;
mod recovery;
mod vain;

use http::{Request, Response};
use steadfast_balance::{EndpointBalance, EndpointBalanceBuilder, PoolHandle};
use steadfast_core::{BoxError, Exhausted, Trail};
use steadfast_retry::{ResponseBody, RetryOn429, RetryOn429Layer};
use tower::{Layer, ServiceExt};

use crate::support::{Body, Client, Net, Reply, Stream, balancer};

pub(crate) type Client429 = RetryOn429<EndpointBalance<Client>>;

/// A retry layer without random jitter: it waits 0.5 s, 1 s, 2 s, and so on.
pub(crate) fn retry_without_jitter() -> RetryOn429Layer {
    RetryOn429Layer::new().random(|| 1.0)
}

pub(crate) fn retry_stack(
    retry: &RetryOn429Layer,
    builder: EndpointBalanceBuilder,
    net: &Net,
) -> (Client429, PoolHandle) {
    let (service, handle) = balancer(builder, net);
    (retry.layer(service), handle)
}

type Answer = Result<Response<ResponseBody<steadfast_balance::ResponseBody<Stream>>>, BoxError>;

fn expect_response<B>(answer: Result<Response<B>, BoxError>) -> Response<B> {
    answer.unwrap_or_else(|error| panic!("no answer: {error}"))
}

fn trail_text(answer: &Answer) -> String {
    match answer {
        Ok(response) => Trail::of(response.extensions()).map(ToString::to_string),
        Err(error) => Exhausted::find(&**error).map(|error| error.trail().to_string()),
    }
    .unwrap_or_default()
}

fn set_rule(net: &Net, names: &[&str], rule: fn(usize) -> Reply) {
    for name in names {
        net.on(name, rule);
    }
}

#[expect(dead_code, reason = "it only has to compile")]
fn futures_are_send(service: Client429, request: Request<Body>) {
    fn check<T: Send>(_: T) {}
    check(service.oneshot(request));
}
