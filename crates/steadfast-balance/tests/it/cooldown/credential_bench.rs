//! Benches after rejections of the endpoint's own credential.

use http::Request;
use steadfast_balance::{Credential, Endpoint, EndpointBalanceLayer};
use tokio::time::advance;
use tower::ServiceExt;

use super::{MINUTE, cooling};
use crate::support::{
    Body, MS, Net, Reply, SECOND, TESTS, answer, balancer, endpoint, get, refusal, send_for_status,
    spend_tests, status_of,
};

fn endpoint_with_credential(name: &str) -> Endpoint {
    endpoint(name).api_key(Credential::bearer("own").expect("valid"))
}

#[tokio::test(start_paused = true)]
async fn three_consecutive_rejections_of_own_credential_start_a_bench() {
    let net = Net::new();
    net.on("a", |_| answer(401));
    let builder = EndpointBalanceLayer::builder().endpoint(endpoint_with_credential("a"));
    let (service, handle) = balancer(builder, &net);
    for _ in 0..2 {
        assert_eq!(send_for_status(&service, get()).await, 401);
        assert_eq!(cooling(&handle, "a"), None);
    }
    for minutes in [1, 2, 4, 8, 16, 30, 30] {
        assert_eq!(send_for_status(&service, get()).await, 401);
        let bench = minutes * MINUTE;
        assert_eq!(cooling(&handle, "a"), Some(bench));
        advance(bench - MS).await;
        assert_eq!(spend_tests(&service, &net, "a", get).await, TESTS);
        advance(MS).await;
    }
}

#[tokio::test(start_paused = true)]
async fn accepted_credential_resets_the_rejections() {
    for between in [200, 400, 403, 404, 413, 429] {
        let net = Net::new();
        net.on("a", move |n| match n {
            2 if between == 429 => refusal("0"),
            2 => answer(between),
            _ => answer(401),
        });
        let builder = EndpointBalanceLayer::builder().endpoint(endpoint_with_credential("a"));
        let (service, handle) = balancer(builder, &net);
        for _ in 0..5 {
            send_for_status(&service, get()).await;
        }
        assert_eq!(
            cooling(&handle, "a"),
            None,
            "{between} shows that the credential is valid"
        );
        send_for_status(&service, get()).await;
        assert_eq!(cooling(&handle, "a"), Some(MINUTE), "{between}");
    }
}

/// A valid key may lack the scope for a path. Three calls to it took the endpoint from all callers.
#[tokio::test(start_paused = true)]
async fn path_without_scope_starts_no_bench() {
    let net = Net::new();
    net.on_request("a", |_, sent| {
        let is_allowed = sent.uri.path().starts_with("/chat");
        answer(if is_allowed { 200 } else { 401 })
    });
    let builder = EndpointBalanceLayer::builder().endpoint(endpoint_with_credential("a"));
    let (service, handle) = balancer(builder, &net);
    let files = |n: usize| {
        let mut request = get();
        *request.uri_mut() = format!("/files/file-{n}?a={n}").parse().unwrap();
        request
    };
    advance(MINUTE).await;
    for n in 0..100 {
        if n % 3 == 0 {
            assert_eq!(send_for_status(&service, get()).await, 200);
        }
        assert_eq!(send_for_status(&service, files(n)).await, 401);
        assert_eq!(cooling(&handle, "a"), None);
        // Too long ago to be evidence by itself.
        advance(20 * SECOND).await;
    }
    // Without any other request, the family is known to lack the scope.
    for n in 0..100 {
        assert_eq!(send_for_status(&service, files(n)).await, 401);
        advance(MINUTE).await;
    }
    assert_eq!(cooling(&handle, "a"), None);

    net.on("a", |_| answer(401));
    for _ in 0..3 {
        assert_eq!(cooling(&handle, "a"), None);
        send_for_status(&service, get()).await;
    }
    assert_eq!(cooling(&handle, "a"), Some(MINUTE), "the key is revoked");
}

/// A failure of the endpoint is no evidence about the credential.
#[tokio::test(start_paused = true)]
async fn server_failure_keeps_the_rejections() {
    for between in [500, 502, 503, 504] {
        let net = Net::new();
        net.on("a", move |n| answer(if n % 2 == 0 { 401 } else { between }));
        let builder = EndpointBalanceLayer::builder().endpoint(endpoint_with_credential("a"));
        let (service, handle) = balancer(builder, &net);
        for _ in 0..5 {
            send_for_status(&service, get()).await;
        }
        assert_eq!(cooling(&handle, "a"), Some(MINUTE), "{between}");
    }
}

/// A hundred concurrent requests with a revoked credential are one event. Each of them counted as a
/// rejection after the bench, so the second bench had the maximum length.
#[tokio::test(start_paused = true)]
async fn burst_of_rejections_starts_one_bench() {
    let net = Net::new();
    net.on("a", |_| Reply::from(answer(401)).after(10 * MS));
    let builder = EndpointBalanceLayer::builder().endpoint(endpoint_with_credential("a"));
    let (service, handle) = balancer(builder, &net);
    let burst: Vec<_> = (0..100)
        .map(|_| tokio::spawn(service.clone().oneshot(get())))
        .collect();
    for request in burst {
        request.await.unwrap().unwrap();
    }
    assert_eq!(cooling(&handle, "a"), Some(MINUTE));
    advance(MINUTE).await;
    send_for_status(&service, get()).await;
    assert_eq!(cooling(&handle, "a"), Some(2 * MINUTE));
}

/// Otherwise, any caller with a bad credential could take an endpoint from the others.
#[tokio::test(start_paused = true)]
async fn rejected_credential_of_the_caller_starts_no_bench() {
    for endpoint in [
        endpoint("a").pass_credentials(true),
        endpoint_with_credential("a").pass_credentials(true),
        endpoint("a"),
    ] {
        let net = Net::new();
        net.on("a", |_| answer(401));
        let (service, handle) = balancer(EndpointBalanceLayer::builder().endpoint(endpoint), &net);
        for _ in 0..20 {
            let mut request = get();
            let key = "caller".parse().unwrap();
            request.headers_mut().insert("x-api-key", key);
            assert_eq!(send_for_status(&service, request).await, 401);
        }
        assert!(status_of(&handle, "a").admissible);
    }
}

#[tokio::test(start_paused = true)]
async fn status_403_starts_no_bench() {
    let net = Net::new();
    net.on("a", |_| answer(403));
    let builder = EndpointBalanceLayer::builder().endpoint(endpoint_with_credential("a"));
    let (service, handle) = balancer(builder, &net);
    for _ in 0..20 {
        assert_eq!(send_for_status(&service, get()).await, 403);
    }
    assert!(status_of(&handle, "a").admissible);
    assert_eq!(status_of(&handle, "a").health, 1.0);
}

fn get_path(path: &str) -> Request<Body> {
    let mut request = get();
    *request.uri_mut() = path.parse().expect("a path");
    request
}

/// One caller with three paths out of scope took an endpoint that was idle for 10 s from all
/// others, and its next requests doubled the bench.
#[tokio::test(start_paused = true)]
async fn paths_out_of_scope_bench_no_idle_endpoint() {
    let net = Net::new();
    net.on_request("a", |_, sent| {
        let is_allowed = sent.uri.path().starts_with("/chat");
        answer(if is_allowed { 200 } else { 401 })
    });
    let builder = EndpointBalanceLayer::builder().endpoint(endpoint_with_credential("a"));
    let (service, handle) = balancer(builder, &net);
    assert_eq!(send_for_status(&service, get()).await, 200);
    for n in 0..20 {
        advance(MINUTE).await;
        for path in ["files", "batches", "admin/keys", "files", "models"] {
            let request = get_path(&format!("/{path}?n={n}"));
            assert_eq!(send_for_status(&service, request).await, 401);
            assert_eq!(cooling(&handle, "a"), None, "{n} {path}");
        }
    }

    // The key is revoked. Three requests of the main family are enough.
    net.on("a", |_| answer(401));
    for _ in 0..3 {
        assert_eq!(cooling(&handle, "a"), None);
        assert_eq!(send_for_status(&service, get()).await, 401);
    }
    assert_eq!(cooling(&handle, "a"), Some(MINUTE));
    // A request out of scope is no probe of the key.
    advance(MINUTE).await;
    let odd = get_path("/files");
    assert_eq!(send_for_status(&service, odd).await, 401);
    assert_eq!(cooling(&handle, "a"), None);
    assert_eq!(send_for_status(&service, get()).await, 401);
    assert_eq!(cooling(&handle, "a"), Some(2 * MINUTE));
}
