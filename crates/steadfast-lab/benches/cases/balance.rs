//! Balancers over several endpoints.

use std::hint::black_box;
use std::time::Duration;

use http::Request;
use steadfast_balance::{Credential, Endpoint, EndpointBalanceLayer, Strategy};
use steadfast_core::LimitKey;
use steadfast_hedge::HedgeLayer;
use tower::balance::p2c::Balance;
use tower::buffer::Buffer;
use tower::discover::ServiceList;
use tower::load::{CompleteOnResponse, PeakEwmaDiscover};
use tower::util::MapRequestLayer;
use tower::{Layer, Service};

use super::Case;
use super::by_hand;
use super::client::Requests;
use super::request::Body;
use super::upstream::{Healthy, LeftAlone, Limited, Upstream};

const DEFAULT_RTT: Duration = Duration::from_millis(30);
const DECAY: Duration = Duration::from_secs(10);
/// How many requests can wait for a balancer of tower that several callers share.
pub(crate) const BUFFER: usize = 64;
/// Rounds of arithmetic that take about a microsecond.
const MICROSECOND: u64 = 1000;

type Pool<S> = PeakEwmaDiscover<ServiceList<Vec<S>>>;

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::new("balance", "bare", || Requests::new(Upstream(Healthy))),
        // The cost of ours beyond this is selection and accounting.
        Case::new("balance", "bare-rewritten", || {
            Requests::new(MapRequestLayer::new(by_hand::rewrite).layer(Upstream(Healthy)))
        }),
        // The cost of ours beyond this is selection, cooldowns, the breaker and live changes.
        Case::new("balance", "bare-accounted", || {
            Requests::new(by_hand::Accounted::new(Upstream(Healthy)))
        }),
    ];
    cases.extend(ours());
    cases.extend(towers());
    cases.extend(apart());
    cases.extend(rejects());
    cases
}

fn ours() -> Vec<Case> {
    let case = |name, count, strategy| {
        Case::new("balance", name, move || {
            Requests::new(balancer(count, strategy).layer(Upstream(Healthy)))
        })
    };
    // Requests are `POST`, so each is one that may be sent twice only by that setting.
    let hedged = || {
        let hedge = HedgeLayer::new().hedge_non_idempotent(true);
        hedge.layer(balancer(8, Strategy::LeastLoaded).layer(Upstream(Healthy)))
    };
    vec![
        case("ours-3", 3, Strategy::LeastLoaded),
        case("ours-8", 8, Strategy::LeastLoaded),
        case("ours-256", 256, Strategy::LeastLoaded),
        case("ours-8-failover", 8, Strategy::Failover),
        case("ours-8-scored", 8, Strategy::Scored),
        Case::new("balance", "ours-8-hedged", move || Requests::new(hedged())),
        // The part of the caller in `ours-8-key`: the insertion of the key.
        Case::new("balance", "insert-key", || {
            let key = LimitKey::new("gpt-4o-mini");
            Requests::new(MapRequestLayer::new(with_extension(key)).layer(Upstream(Healthy)))
        }),
        // The cost of the key beyond this is the cost of the limits per key.
        Case::new("balance", "ours-8-extension", || {
            let balance = balancer(8, Strategy::LeastLoaded).layer(Upstream(Healthy));
            Requests::new(MapRequestLayer::new(with_extension([1_u64; 12])).layer(balance))
        }),
        Case::new("balance", "ours-8-key", || {
            let balance = balancer(8, Strategy::LeastLoaded).layer(Upstream(Healthy));
            let key = LimitKey::new("gpt-4o-mini");
            Requests::new(MapRequestLayer::new(with_extension(key)).layer(balance))
        }),
    ]
}

/// Adds an extension to each request.
fn with_extension<T>(value: T) -> impl Fn(Request<Body>) -> Request<Body> + Clone
where
    T: Copy + Send + Sync + 'static,
{
    move |mut request| {
        request.extensions_mut().insert(value);
        request
    }
}

/// Tower's balancer, which cannot be cloned: it has one caller, or a buffer in front.
fn towers() -> Vec<Case> {
    vec![
        Case::single("balance", "tower-8", || {
            Requests::new(p2c(vec![Upstream(Healthy); 8]))
        }),
        Case::single("balance", "tower-256", || {
            Requests::new(p2c(vec![Upstream(Healthy); 256]))
        }),
        Case::new("balance", "tower-8-buffer", || {
            Requests::new(Buffer::new(p2c(vec![Upstream(Healthy); 8]), BUFFER))
        }),
    ]
}

/// Callers with other work between their requests, as outside of benchmarks.
fn apart() -> Vec<Case> {
    vec![
        Case::new("balance", "bare-1us-apart", || {
            Requests::new(MapRequestLayer::new(work).layer(Upstream(Healthy)))
        }),
        Case::new("balance", "bare-accounted-1us-apart", || {
            let balance = by_hand::Accounted::new(Upstream(Healthy));
            Requests::new(MapRequestLayer::new(work).layer(balance))
        }),
        Case::new("balance", "ours-8-1us-apart", || {
            let balance = balancer(8, Strategy::LeastLoaded).layer(Upstream(Healthy));
            Requests::new(MapRequestLayer::new(work).layer(balance))
        }),
        // Both at one endpoint.
        Case::new("balance", "ours-8-failover-1us-apart", || {
            let balance = balancer(8, Strategy::Failover).layer(Upstream(Healthy));
            Requests::new(MapRequestLayer::new(work).layer(balance))
        }),
    ]
}

/// With all endpoints limited. Tower's balancer has no case here: it knows no limits, and without
/// any endpoint that is ready it waits.
fn rejects() -> Vec<Case> {
    let limited = Limited {
        retry_after: "3600",
    };
    vec![
        Case::new("balance-reject", "bare", move || {
            Requests::with(Upstream(limited), false)
        }),
        Case::new("balance-reject", "ours-8", move || {
            let upstream = Upstream(LeftAlone::new(limited));
            Requests::with(balancer(8, Strategy::LeastLoaded).layer(upstream), false)
        }),
    ]
}

fn balancer(count: usize, strategy: Strategy) -> EndpointBalanceLayer {
    let builder = EndpointBalanceLayer::builder()
        .endpoints(endpoints(count))
        .strategy(strategy);
    builder.build().expect("a valid configuration")
}

/// Returns endpoints with a credential each, as they have in production.
pub(crate) fn endpoints(count: usize) -> impl Iterator<Item = Endpoint> {
    (0..count).map(|n| {
        let credential = Credential::bearer(&format!("sk-{n:032}"));
        let endpoint = Endpoint::new(&format!("e{n}"), &format!("https://e{n}.test/v1"));
        let endpoint = endpoint.expect("a valid endpoint");
        endpoint.api_key(credential.expect("a valid credential"))
    })
}

/// Returns the balancer of tower.
pub(crate) fn p2c<S>(services: Vec<S>) -> Balance<Pool<S>, Request<Body>>
where
    S: Service<Request<Body>>,
    S::Error: Into<tower::BoxError>,
{
    let list = ServiceList::new::<Request<Body>>(services);
    let completion = CompleteOnResponse::default();
    Balance::new(PeakEwmaDiscover::new(list, DEFAULT_RTT, DECAY, completion))
}

fn work(request: Request<Body>) -> Request<Body> {
    let mut number = 1_u64;
    for round in 0..MICROSECOND {
        number = black_box(number.wrapping_mul(0x9e37_79b9) ^ round);
    }
    request
}
