//! `PoolHandle::resolve`: one endpoint per address of a host name.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Request;
use steadfast_balance::{
    Credential, Endpoint, EndpointMode, PoolHandle, Resolve, ResolvedAddr, Strategy,
};
use steadfast_breaker::CircuitBreaker;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tower::{Layer, ServiceExt};

use crate::support::{Body, MS, Net, Reply, SECOND, balancer, get, ok, pool, status_of};

type Answer = io::Result<Vec<SocketAddr>>;

/// Answers of a resolver, in order. The last one repeats.
#[derive(Clone, Default)]
struct Dns(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    answers: VecDeque<Result<Vec<&'static str>, io::ErrorKind>>,
    queries: Vec<(String, Instant)>,
}

impl Dns {
    fn of<const N: usize>(answers: [Result<&[&'static str], io::ErrorKind>; N]) -> Self {
        let dns = Self::default();
        dns.0.lock().unwrap().answers = answers.map(|answer| answer.map(<[_]>::to_vec)).into();
        dns
    }

    fn answer(&self, name: String) -> Answer {
        let mut state = self.0.lock().unwrap();
        state.queries.push((name, Instant::now()));
        let answer = match state.answers.len() {
            1 => state.answers[0].clone(),
            _ => state.answers.pop_front().expect("an answer"),
        };
        let addresses = answer.map_err(io::Error::from)?;
        Ok(addresses
            .iter()
            .map(|address| address.parse().unwrap())
            .collect())
    }

    fn resolve(&self, endpoint: Endpoint) -> Resolve {
        let dns = self.clone();
        Resolve::with(endpoint, move |name| {
            let dns = dns.clone();
            async move { dns.answer(name) }
        })
    }

    fn queries(&self, start: Instant) -> Vec<u64> {
        let state = self.0.lock().unwrap();
        state
            .queries
            .iter()
            .map(|(_, at)| (*at - start).as_secs())
            .collect()
    }
}

fn api_endpoint() -> Endpoint {
    Endpoint::new("api", "https://api.test:8443/v1").unwrap()
}

fn pool_handle() -> PoolHandle {
    let net = Net::new();
    balancer(pool(&["own"]), &net).1
}

fn start_resolving(handle: &PoolHandle, resolve: Resolve) -> JoinHandle<std::convert::Infallible> {
    tokio::spawn(handle.resolve(resolve).unwrap())
}

fn endpoint_names(handle: &PoolHandle) -> Vec<String> {
    let all = handle.status();
    all.iter().map(|status| status.name.to_string()).collect()
}

#[tokio::test(start_paused = true)]
async fn each_resolved_address_has_one_endpoint() {
    let dns = Dns::of([
        Ok(&["127.0.0.1:8443", "127.0.0.2:8443"]),
        // In another order, and with a duplicate.
        Ok(&["127.0.0.3:8443", "127.0.0.2:8443", "127.0.0.2:8443"]),
        Ok(&["[::1]:8443"]),
    ]);
    let handle = pool_handle();
    let _resolves = start_resolving(&handle, dns.resolve(api_endpoint().tier(3).weight(2.0)));
    sleep(MS).await;
    assert_eq!(
        endpoint_names(&handle),
        ["own", "api@127.0.0.1:8443", "api@127.0.0.2:8443"]
    );
    let first = status_of(&handle, "api@127.0.0.1:8443");
    assert_eq!(
        (first.base.as_str(), first.tier, first.weight),
        ("https://api.test:8443/v1", 3, 2.0)
    );

    handle.cool("api@127.0.0.2:8443", 600 * SECOND).unwrap();
    sleep(30 * SECOND).await;
    assert_eq!(
        endpoint_names(&handle),
        ["own", "api@127.0.0.2:8443", "api@127.0.0.3:8443"]
    );
    assert!(
        status_of(&handle, "api@127.0.0.2:8443").cooling.is_some(),
        "the endpoint keeps its state"
    );
    sleep(30 * SECOND).await;
    assert_eq!(endpoint_names(&handle), ["own", "api@[::1]:8443"]);
}

/// A configuration that is read again also replaces the endpoints, and contains no addresses.
#[tokio::test(start_paused = true)]
async fn removed_address_returns_with_the_next_resolution() {
    let dns = Dns::of([Ok(&["127.0.0.1:8443", "127.0.0.2:8443"])]);
    let handle = pool_handle();
    let _resolves = start_resolving(&handle, dns.resolve(api_endpoint()));
    sleep(MS).await;
    handle.disable("api@127.0.0.2:8443").unwrap();
    handle.remove("api@127.0.0.1:8443").unwrap();
    sleep(30 * SECOND).await;
    let all = ["own", "api@127.0.0.2:8443", "api@127.0.0.1:8443"];
    assert_eq!(endpoint_names(&handle), all);
    let kept = status_of(&handle, "api@127.0.0.2:8443");
    assert_eq!(
        kept.service,
        EndpointMode::Disabled,
        "a disabled endpoint stays disabled"
    );
    handle.replace([crate::support::endpoint("other")]).unwrap();
    sleep(30 * SECOND).await;
    let all = ["other", "api@127.0.0.1:8443", "api@127.0.0.2:8443"];
    assert_eq!(endpoint_names(&handle), all);
}

#[tokio::test(start_paused = true)]
async fn failed_resolution_keeps_endpoints_and_is_repeated_soon() {
    let failed = Err(io::ErrorKind::Other);
    let dns = Dns::of([
        failed,
        failed,
        Ok(&["127.0.0.1:8443"]),
        failed,
        failed,
        failed,
        failed,
        Ok(&[]),
        Ok(&["127.0.0.2:8443"]),
    ]);
    let handle = pool_handle();
    let begin = Instant::now();
    let _resolves = start_resolving(&handle, dns.resolve(api_endpoint()).interval(5 * SECOND));
    sleep(7 * SECOND).await;
    assert_eq!(endpoint_names(&handle), ["own", "api@127.0.0.1:8443"]);
    sleep(17 * SECOND).await;
    assert_eq!(endpoint_names(&handle), ["own", "api@127.0.0.1:8443"]);
    sleep(2 * SECOND).await;
    assert_eq!(endpoint_names(&handle), ["own", "api@127.0.0.2:8443"]);
    sleep(5 * SECOND).await;
    assert_eq!(dns.queries(begin), [0, 1, 3, 8, 9, 11, 15, 20, 25, 30]);
}

#[tokio::test(start_paused = true)]
async fn hanging_resolution_is_repeated() {
    let queries = Arc::new(Mutex::new(0));
    let count = queries.clone();
    let resolve = Resolve::with(api_endpoint(), move |_| {
        *count.lock().unwrap() += 1;
        std::future::pending::<Answer>()
    });
    let handle = pool_handle();
    let _resolves = start_resolving(&handle, resolve);
    sleep(10 * SECOND + 500 * MS).await;
    assert_eq!(*queries.lock().unwrap(), 1);
    sleep(SECOND).await;
    assert_eq!(*queries.lock().unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn resolver_gets_host_and_port() {
    for (base, expected) in [
        ("https://api.test:8443/v1", "api.test:8443"),
        ("https://api.test/v1", "api.test:443"),
        ("http://api.test", "api.test:80"),
        ("http://[::1]", "[::1]:80"),
    ] {
        let dns = Dns::of([Ok(&["127.0.0.1:1"])]);
        let endpoint = Endpoint::new("api", base).unwrap();
        let _resolves = start_resolving(&pool_handle(), dns.resolve(endpoint));
        sleep(MS).await;
        assert_eq!(dns.0.lock().unwrap().queries[0].0, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn endpoints_of_other_sources_are_kept() {
    let dns = Dns::of([Ok(&["127.0.0.1:1", "127.0.0.2:1"]), Ok(&["127.0.0.3:1"])]);
    let handle = pool_handle();
    let other = Endpoint::new("api@127.0.0.1:1", "http://other.test").unwrap();
    handle.add(other).unwrap();
    let resolves = start_resolving(&handle, dns.resolve(api_endpoint()));
    sleep(MS).await;
    assert_eq!(
        endpoint_names(&handle),
        ["own", "api@127.0.0.1:1", "api@127.0.0.2:1"]
    );
    assert_eq!(
        status_of(&handle, "api@127.0.0.1:1").base,
        "http://other.test"
    );
    sleep(30 * SECOND).await;
    assert_eq!(
        endpoint_names(&handle),
        ["own", "api@127.0.0.1:1", "api@127.0.0.3:1"]
    );

    resolves.abort();
    sleep(600 * SECOND).await;
    assert_eq!(endpoint_names(&handle).len(), 3, "the endpoints stay");
}

#[tokio::test(start_paused = true)]
async fn resolved_endpoints_are_bounded() {
    let resolve = Resolve::with(api_endpoint(), async |_| {
        // Each address occurs twice.
        let ports = (0..2000).map(|n| n % 1000);
        Ok(ports
            .map(|port| SocketAddr::from(([127, 0, 0, 1], port)))
            .collect())
    });
    let handle = pool_handle();
    let _resolves = start_resolving(&handle, resolve);
    sleep(MS).await;
    assert_eq!(endpoint_names(&handle).len(), 65);
}

#[test]
fn invalid_setting_is_rejected_with_its_field() {
    let dns = Dns::default();
    let handle = pool_handle();
    let refused = |resolve: Resolve| handle.resolve(resolve).map(drop).unwrap_err();
    assert_eq!(
        refused(dns.resolve(api_endpoint()).interval(Duration::ZERO)).field(),
        "interval"
    );
    assert_eq!(
        refused(dns.resolve(api_endpoint().weight(0.0))).field(),
        "weight"
    );
    let never = CircuitBreaker::builder().consecutive_failures(0);
    let error = refused(dns.resolve(api_endpoint().breaker(never)));
    assert_eq!(error.field(), "breaker.consecutive_failures");
}

/// The URI keeps the host name. The client and the layers of an endpoint see the address.
#[tokio::test(start_paused = true)]
async fn request_has_the_host_name_and_the_address() {
    let net = Net::new();
    net.on("api", |_| ok());
    net.on("own", |_| Reply::from(ok()));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let made = Arc::new(Mutex::new(Vec::new()));
    let layers = made.clone();
    let layer = pool(&["own"])
        .strategy(Strategy::RoundRobin)
        .endpoint_layer(move |endpoint| {
            layers.lock().unwrap().push(endpoint.address());
            let log = log.clone();
            tower::util::MapRequestLayer::new(move |request: Request<Body>| {
                let address = ResolvedAddr::of(request.extensions());
                let address = address.map(|address| address.address().to_string());
                log.lock()
                    .unwrap()
                    .push((request.uri().to_string(), address));
                request
            })
        })
        .build()
        .unwrap();
    let handle = layer.handle();
    let service = layer.layer(net.client());
    let dns = Dns::of([Ok(&["127.0.0.1:8443", "127.0.0.2:8443"])]);
    let key = Credential::bearer("own").unwrap();
    let _resolves = start_resolving(&handle, dns.resolve(api_endpoint().api_key(key)));
    sleep(MS).await;

    for _ in 0..3 {
        // An address from another layer must not send the credential elsewhere.
        let mut request = get();
        let elsewhere = ResolvedAddr::new("192.0.2.1:1".parse().unwrap());
        request.extensions_mut().insert(elsewhere);
        service.clone().oneshot(request).await.unwrap();
    }
    let mut seen = seen.lock().unwrap().clone();
    seen.sort();
    let with_name = |address: &str| {
        let uri = "https://api.test:8443/v1/chat?stream=true";
        (String::from(uri), Some(String::from(address)))
    };
    assert_eq!(
        seen,
        [
            (String::from("http://own.test/chat?stream=true"), None),
            with_name("127.0.0.1:8443"),
            with_name("127.0.0.2:8443"),
        ]
    );
    let mut made = made.lock().unwrap().clone();
    made.sort();
    let addresses = ["127.0.0.1:8443", "127.0.0.2:8443"].map(|address| address.parse().unwrap());
    assert_eq!(made, [None, Some(addresses[0]), Some(addresses[1])]);
}

/// The address belongs to the identity of an endpoint, as its base URI does.
#[tokio::test(start_paused = true)]
async fn endpoint_with_another_address_loses_its_state() {
    let handle = pool_handle();
    let at = |port: u16| api_endpoint().connect_to(SocketAddr::from(([127, 0, 0, 1], port)));
    handle.replace([at(1)]).unwrap();
    handle.cool("api", 60 * SECOND).unwrap();
    handle.replace([at(1)]).unwrap();
    assert!(status_of(&handle, "api").cooling.is_some());
    handle.replace([at(2)]).unwrap();
    assert!(status_of(&handle, "api").cooling.is_none());
}

#[cfg(feature = "dns")]
#[tokio::test]
async fn system_resolver_resolves_localhost() {
    let net = Net::new();
    net.on("localhost", |_| ok());
    let layer = pool(&[]).build_empty().unwrap();
    let handle = layer.handle();
    let service = layer.layer(net.client());
    let endpoint = Endpoint::new("api", "http://localhost:8080").unwrap();
    let _resolves = start_resolving(&handle, Resolve::new(endpoint));
    while endpoint_names(&handle).is_empty() {
        tokio::task::yield_now().await;
    }
    let local = ["api@127.0.0.1:8080", "api@[::1]:8080"];
    assert!(
        endpoint_names(&handle)
            .iter()
            .all(|name| local.contains(&&**name)),
        "{handle:?}"
    );
    assert_eq!(crate::support::send_for_status(&service, get()).await, 200);
}
