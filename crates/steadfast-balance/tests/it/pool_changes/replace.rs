//! `add`, `remove` and `replace`.

use std::sync::Arc;

use http_body_util::BodyExt;
use steadfast_balance::{Endpoint, EndpointMode, Strategy, Weight};
use steadfast_breaker::CircuitBreaker;
use steadfast_core::{BoxError, Class};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tower::Layer;

use super::endpoint_names;
use crate::support::rules::servers_with_rule;
use crate::support::{
    MS, Reply, SECOND, Stream, balancer, endpoint, expect_exhausted, get, ok, pool, refusal, send,
    send_for_status, status_of, streamed,
};

/// Endpoints are replaced all the time. Removed ones still have requests with slow heads and slow
/// bodies.
#[tokio::test(start_paused = true)]
async fn replacement_under_load_loses_no_request() {
    const SETS: [&[&str]; 4] = [&["a", "b"], &["b", "c"], &["d"], &["c", "a", "d"]];
    let net = servers_with_rule(&["a", "b", "c", "d"], |n| {
        let body = Stream::of(["data: ", "ok"]).pace(7 * MS);
        Reply::from(streamed(body)).after(20 * MS + (n as u32 % 5) * MS)
    });
    let (service, handle) = balancer(pool(SETS[0]).strategy(Strategy::LeastLoaded), &net);

    let mut requests: Vec<JoinHandle<Result<bytes::Bytes, BoxError>>> = Vec::new();
    let mut drains: Vec<JoinHandle<()>> = Vec::new();
    for n in 0..400 {
        let service = service.clone();
        requests.push(tokio::spawn(async move {
            let response = send(&service, get()).await?;
            Ok(response.into_body().collect().await?.to_bytes())
        }));
        if n % 9 == 8 {
            let next = SETS[(n / 9) % SETS.len()];
            for gone in endpoint_names(&handle) {
                if !next.contains(&&*gone) {
                    drains.push(tokio::spawn(handle.drain(&gone).unwrap()));
                }
            }
            handle
                .replace(next.iter().map(|name| endpoint(name)))
                .unwrap();
            assert_eq!(endpoint_names(&handle), next);
        }
        sleep(3 * MS).await;
    }

    for request in requests {
        assert_eq!(request.await.unwrap().unwrap(), "data: ok");
    }
    for drain in drains {
        timeout(SECOND, drain)
            .await
            .expect("removed endpoints have no request in flight")
            .unwrap();
    }
    let sent = net.counts(["a", "b", "c", "d"]);
    assert_eq!(
        sent.iter().sum::<usize>(),
        400,
        "each was sent once: {sent:?}"
    );
    assert!(sent.iter().all(|sent| *sent > 0), "{sent:?}");
    assert!(handle.status().iter().all(|status| status.in_flight == 0));
}

#[tokio::test(start_paused = true)]
async fn replace_keeps_state_of_unchanged_endpoints() {
    let net = servers_with_rule(&["a", "b"], |_| refusal("60").into());
    let (service, handle) = balancer(pool(&["a", "b"]), &net);
    assert_eq!(send_for_status(&service, get()).await, 429);
    handle.disable("b").unwrap();

    let moved = Endpoint::new("b", "http://b.test/elsewhere").unwrap();
    handle
        .replace([moved.clone(), endpoint("a").tier(3).weight(2.0)])
        .unwrap();
    let a = status_of(&handle, "a");
    assert_eq!((a.cooling, a.tier, a.weight), (Some(60 * SECOND), 3, 2.0));
    assert_eq!(
        status_of(&handle, "b").service,
        EndpointMode::Enabled,
        "a new base makes a new endpoint"
    );

    let patient = CircuitBreaker::builder().consecutive_failures(70);
    handle
        .replace([moved.clone(), endpoint("a").breaker(patient)])
        .unwrap();
    assert_eq!(
        status_of(&handle, "a").cooling,
        None,
        "a new breaker makes a new endpoint"
    );

    let error = handle.replace([moved.clone(), moved]).unwrap_err();
    assert_eq!(error.field(), "endpoint[1].name");
    handle
        .replace([endpoint("c"), endpoint("d").weight(0.0)])
        .unwrap_err();
    assert_eq!(
        endpoint_names(&handle),
        ["b", "a"],
        "an error changes nothing"
    );
}

#[tokio::test(start_paused = true)]
async fn removed_endpoint_is_unknown() {
    let net = servers_with_rule(&["a", "b"], |_| ok().into());
    let (service, handle) = balancer(pool(&["a", "b"]), &net);
    handle.remove("a").unwrap();
    assert_eq!(send_for_status(&service, get()).await, 200);
    assert_eq!(net.counts(["a", "b"]), [0, 1]);
    for unknown in [
        handle.remove("a"),
        handle.disable("a"),
        handle.enable("a"),
        handle.set_tier("a", 1),
        handle.set_weight("a", Weight::ONE),
        handle.cool("a", SECOND),
        handle.drain("a").map(drop),
    ] {
        assert_eq!(unknown.unwrap_err().endpoint(), &"a");
    }
    assert_eq!((handle.len(), handle.is_empty()), (1, false));
    assert!(handle.get("a").is_none() && handle.get("b").is_some());
    assert_eq!(handle.add(endpoint("b")).unwrap_err().field(), "name");
    assert_eq!(
        handle.add(endpoint("c").weight(-1.0)).unwrap_err().field(),
        "weight"
    );
}

#[tokio::test(start_paused = true)]
async fn empty_pool_serves_after_first_endpoint_is_added() {
    let net = servers_with_rule(&["a"], |_| ok().into());
    let layer = pool(&[]).build_empty().unwrap();
    let handle = layer.handle();
    let service = layer.layer(net.client());

    assert_eq!(
        expect_exhausted(send(&service, get()).await),
        (Class::Overloaded, None)
    );
    handle.add(endpoint("a")).unwrap();
    assert_eq!(send_for_status(&service, get()).await, 200);
    handle.replace([]).unwrap();
    assert_eq!(
        expect_exhausted(send(&service, get()).await),
        (Class::Overloaded, None)
    );
}

/// The service must be dropped after its last use, and not before.
#[tokio::test(start_paused = true)]
async fn service_of_removed_endpoint_is_dropped() {
    let net = servers_with_rule(&["a", "b"], |_| ok().into());
    let alive = Arc::new(());
    let held = alive.clone();
    let builder = pool(&["a"]).endpoint_layer(move |_| {
        let held = held.clone();
        tower::util::MapRequestLayer::new(move |request| {
            let _ = &held;
            request
        })
    });
    let layer = builder.build().unwrap();
    let handle = layer.handle();
    let service = layer.layer(net.client());
    assert_eq!(send_for_status(&service, get()).await, 200);
    let with_one = Arc::strong_count(&alive);
    for n in 0..10 {
        handle
            .replace([endpoint(if n % 2 == 0 { "b" } else { "a" })])
            .unwrap();
        assert_eq!(send_for_status(&service, get()).await, 200);
    }
    assert_eq!(Arc::strong_count(&alive), with_one);
}
