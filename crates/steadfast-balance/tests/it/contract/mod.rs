//! The contract of `tower_service::Service`, which every layer of the workspace keeps.

mod cancellation;
mod clones;
mod readiness;
mod readiness_errors;

use std::future::poll_fn;

use http::Request;
use tower::Service;

use crate::support::{Body, Net, ok};

/// Returns a clone that has reported readiness and is never called.
async fn ready_clone<S: Service<Request<Body>> + Clone>(service: &S) -> S {
    let mut handle = service.clone();
    let ready = poll_fn(|cx| handle.poll_ready(cx)).await.is_ok();
    assert!(ready);
    handle
}

fn healthy_servers(names: &[&str]) -> Net {
    let net = Net::new();
    for name in names {
        net.on(name, |_| ok());
    }
    net
}
