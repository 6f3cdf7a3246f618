//! The URI and the headers that an endpoint receives.

use http::header::AUTHORIZATION;
use steadfast_balance::{Credential, Endpoint, EndpointBalanceLayer};
use steadfast_core::Trail;
use steadfast_core::layer::{Next, RecordAttempts};

use crate::support::failover::failover_statuses;
use crate::support::{Net, balancer, endpoint, get_with_trail, ok, refusal, request, send};

#[tokio::test(start_paused = true)]
async fn credentials_reach_only_their_own_endpoint() {
    let net = Net::new();
    for name in ["a", "b", "c"] {
        net.on(name, |_| refusal("60"));
    }
    let builder = EndpointBalanceLayer::builder()
        .endpoint(endpoint("a").api_key(Credential::bearer("key-of-a").expect("valid")))
        .endpoint(
            endpoint("b")
                .api_key(Credential::header("x-api-key".parse().unwrap(), "key-of-b").unwrap())
                .header("x-org".parse().unwrap(), "org-of-b".parse().unwrap()),
        )
        .endpoint(endpoint("c").pass_credentials(true));
    let (service, _) = balancer(builder, &net);
    let make = || {
        let mut request = request("GET");
        *request.uri_mut() = "http://gateway.test/chat?key=key-of-caller&n=1"
            .parse()
            .unwrap();
        let headers = request.headers_mut();
        headers.insert(AUTHORIZATION, "Bearer key-of-caller".parse().unwrap());
        headers.insert("cookie", "session=key-of-caller".parse().unwrap());
        headers.insert("host", "gateway.test".parse().unwrap());
        request
    };
    assert_eq!(failover_statuses(&service, make).await, [429; 3]);
    for (name, own, uri) in [
        ("a", &["key-of-a"][..], "http://a.test/chat?n=1"),
        ("b", &["key-of-b", "org-of-b"], "http://b.test/chat?n=1"),
        (
            "c",
            &["key-of-caller", "key-of-caller"],
            "http://c.test/chat?key=key-of-caller&n=1",
        ),
    ] {
        let sent = &net.sent(name)[0];
        assert_eq!(sent.uri, uri);
        let mut seen: Vec<_> = sent
            .headers
            .values()
            .map(|value| {
                value
                    .to_str()
                    .unwrap()
                    .split(['=', ' '])
                    .next_back()
                    .unwrap()
            })
            .collect();
        seen.sort_unstable();
        assert_eq!(seen, own, "{name}");
    }
}

/// With the base path in front, such a target exceeds the maximum length of a URI, and the rewrite
/// left it unchanged. The request then went to the host of the caller's URI, with the credential of
/// the endpoint.
#[tokio::test(start_paused = true)]
async fn too_long_target_is_rejected_without_sending_the_credential() {
    let net = Net::new();
    net.on("a", |_| ok());
    net.on("evil", |_| ok());
    let base = format!("http://a.test/{}", "long/".repeat(50));
    let own = Endpoint::new("a", &base).expect("valid");
    let own = own.api_key(Credential::bearer("own").expect("valid"));
    let (service, handle) = balancer(EndpointBalanceLayer::builder().endpoint(own), &net);
    let mut sent = 0;
    for length in 65_000..65_534 {
        let trail = Trail::new();
        let mut request = get_with_trail(&trail);
        let target = format!("http://evil.test/{}", "x".repeat(length));
        let Ok(uri) = target.parse() else { break };
        *request.uri_mut() = uri;
        match send(&service, request).await {
            Ok(response) => sent += usize::from(response.status() == 200),
            Err(error) => {
                assert_eq!(error.to_string(), "attempt failed: caller_fault");
                assert_eq!(trail.take_next(), Some(Next::Never));
                assert!(trail.is_empty(), "no attempt was sent");
            }
        }
    }
    assert!(sent > 0 && sent < 534, "both sides of the edge");
    assert_eq!(net.counts(["a", "evil"]), [sent, 0]);
    assert!(
        handle
            .status()
            .iter()
            .all(|status| status.health == 1.0 && status.in_flight == 0)
    );
}
