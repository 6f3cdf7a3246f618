//! Orders of an operator that end the limits of an endpoint and of all its keys.

use std::time::Duration;

use http::{Request, Response};
use steadfast_balance::{Credential, EndpointBalanceLayer, PoolHandle};
use steadfast_core::{Class, LimitKey, Verdict};
use tokio::time::advance;

use super::key_status;
use crate::support::{
    Body, Net, SECOND, Stream, answer, balancer, endpoint, get, ok, pool, refusal, send_for_status,
    status_of,
};

const MODELS: [&str; 2] = ["missing", "limited"];

fn get_model(model: &str) -> Request<Body> {
    let mut request = get();
    request.extensions_mut().insert(LimitKey::new(model));
    request
}

fn missing() -> Response<Stream> {
    let mut response = answer(404);
    let verdict = Verdict::new(Class::ModelUnavailable);
    response.extensions_mut().insert(verdict);
    response
}

/// Returns the number of keys that cool.
fn cooling_keys(handle: &PoolHandle) -> usize {
    let keys = status_of(handle, "a").keys;
    keys.iter().filter(|key| key.cooling.is_some()).count()
}

/// An operator had to restart the process after a bill was paid.
#[tokio::test(start_paused = true)]
async fn order_ends_limits_of_endpoint_and_keys() {
    for forgets in [false, true] {
        let net = Net::new();
        net.on("a", |n| match n {
            0 => missing(),
            1 => refusal("86400"),
            2 => answer(402),
            _ => ok(),
        });
        let (service, handle) = balancer(pool(&["a"]), &net);
        for model in MODELS {
            send_for_status(&service, get_model(model)).await;
        }
        assert_eq!(send_for_status(&service, get()).await, 402);
        assert_eq!(cooling_keys(&handle), 2);
        assert!(status_of(&handle, "a").benched);

        match forgets {
            false => handle.restore("a").expect("known"),
            true => handle.reset("a").expect("known"),
        }
        assert_eq!(cooling_keys(&handle), 0);
        assert!(status_of(&handle, "a").admissible);
        for model in MODELS {
            assert_eq!(send_for_status(&service, get_model(model)).await, 200);
        }
        assert_eq!(send_for_status(&service, get()).await, 200);
    }
}

#[tokio::test(start_paused = true)]
async fn bench_after_order_is_a_first_one() {
    for forgets in [false, true] {
        let net = Net::new();
        net.on("a", |_| answer(402));
        let (service, handle) = balancer(pool(&["a"]), &net);
        for minutes in [1, 2, 4] {
            send_for_status(&service, get()).await;
            advance(60 * minutes * SECOND).await;
        }
        match forgets {
            false => handle.restore("a").expect("known"),
            true => handle.reset("a").expect("known"),
        }
        send_for_status(&service, get()).await;
        assert_eq!(status_of(&handle, "a").cooling, Some(60 * SECOND));
    }
}

/// The operator has replaced the key.
#[tokio::test(start_paused = true)]
async fn order_forgets_rejections_of_credential() {
    for forgets in [false, true] {
        let net = Net::new();
        net.on("a", |_| answer(401));
        let own = endpoint("a").api_key(Credential::bearer("own").expect("valid"));
        let (service, handle) = balancer(EndpointBalanceLayer::builder().endpoint(own), &net);
        for _ in 0..2 {
            send_for_status(&service, get()).await;
        }
        match forgets {
            false => handle.restore("a").expect("known"),
            true => handle.reset("a").expect("known"),
        }
        for _ in 0..2 {
            send_for_status(&service, get()).await;
        }
        assert!(status_of(&handle, "a").admissible);
        send_for_status(&service, get()).await;
        assert!(status_of(&handle, "a").benched);
    }
}

/// Its refusal concerns the time before the order.
#[tokio::test(start_paused = true)]
async fn attempt_in_flight_at_reset_begins_no_bench() {
    let net = Net::new();
    net.on("a", |_| {
        crate::support::Reply::from(answer(402)).after(SECOND)
    });
    let (service, handle) = balancer(pool(&["a"]), &net);
    let running = tokio::spawn({
        let service = service.clone();
        async move { send_for_status(&service, get()).await }
    });
    tokio::time::sleep(SECOND / 2).await;
    handle.reset("a").expect("known");
    assert_eq!(running.await.expect("no panic"), 402);
    assert!(status_of(&handle, "a").admissible);
    assert!(handle.restore("b").is_err() && handle.reset("b").is_err());
}

/// A model with two names at one endpoint was limited under one of them only.
#[tokio::test(start_paused = true)]
async fn order_for_an_alias_concerns_the_key_at_the_endpoint() {
    let net = Net::new();
    net.on("a", |_| ok());
    let [alias, here] = ["alias", "here"].map(LimitKey::new);
    let own = endpoint("a").limit_key_alias(alias, here);
    let builder = EndpointBalanceLayer::builder().endpoint(own);
    let (service, handle) = balancer(builder.max_wait(Duration::ZERO), &net);
    handle.cool_key("a", &alias, 60 * SECOND).expect("known");
    let key = |name| key_status(&handle, "a", name);
    assert_eq!(key("here").expect("used").cooling, Some(60 * SECOND));
    assert!(key("alias").is_none());
    for (model, status) in [("alias", 0), ("here", 0), ("other", 200)] {
        assert_eq!(
            send_for_status(&service, get_model(model)).await,
            status,
            "{model}"
        );
    }
}
