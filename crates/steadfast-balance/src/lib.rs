//! Spreads HTTP requests over endpoints, and leaves a limited one alone until it is ready again.
//!
//! [`EndpointBalanceLayer`] makes one service of several endpoints. It knows of each whether it
//! is rate limited (it *cools*), whether it is broken (its breaker is *open*), how many requests
//! it has in flight and how fast it answers, and sends a request to one that can take it. It
//! makes one attempt: put a retry layer outside it, and a request that one endpoint refuses is
//! taken by the next without any sleep.
//!
//! # Example
//!
//! ```
//! use http::{Request, Response};
//! use std::convert::Infallible;
//! use steadfast_balance::{Endpoint, EndpointBalanceLayer, Strategy};
//! use tower::{ServiceBuilder, ServiceExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), tower::BoxError> {
//! // Stands for an HTTP client.
//! async fn send(request: Request<String>) -> Result<Response<String>, Infallible> {
//!     Ok(Response::new(request.uri().to_string()))
//! }
//!
//! let layer = EndpointBalanceLayer::builder()
//!     .endpoint(Endpoint::new("primary", "https://api.example.com/v1")?)
//!     .endpoint(Endpoint::new("backup", "https://backup.example.com/v1")?.tier(1))
//!     .strategy(Strategy::LeastLoaded)
//!     .build()?;
//! let endpoints = layer.handle();
//! let client = ServiceBuilder::new().layer(layer).service_fn(send);
//!
//! let response = client.oneshot(Request::get("/models?limit=5").body(String::new())?).await?;
//! assert_eq!(response.into_body().get_ref(), "https://api.example.com/v1/models?limit=5");
//! assert_eq!(endpoints.status()[0].health, 1.0);
//! # Ok(())
//! # }
//! ```
//!
//! # Behavior
//!
//! | What an endpoint answers | What follows for it |
//! |---|---|
//! | `429` and its relatives | cools for as long as its hint says, at most a day; without a hint, or with one of nothing that is given again, 1 s, doubling to 1 min each time that the attempt after it is refused too |
//! | a success that says `remaining: 0` | cools until its own reset, or until there are as many tokens as that request [needed](RoutingOptions::estimated_tokens) |
//! | a success that says how many tokens remain | is passed over by requests that [need more](RoutingOptions::estimated_tokens) |
//! | `402`, or a spent quota | is left alone for 30 min, or its hint if that is longer |
//! | three rejections of its own credential in a row, by any status but `403` | is left alone for 1 min, doubling to 30 min; not if it is also passed the caller's |
//! | an error, a timeout, `5xx` | its breaker counts a failure |
//! | a body that breaks after `200` | its breaker counts a failure |
//! | anything else | it works |
//!
//! The refusals of one burst cool an endpoint once, and answers to older attempts change nothing.
//! A cooldown ends with one attempt. If that is not refused the others follow, no more of them
//! than the endpoint can take.
//!
//! # The rate of a limited endpoint
//!
//! At each refusal the quota of an endpoint is used up. So what it took between two of them,
//! divided by the time between them, is its rate, whatever its headers say and whoever else uses
//! the same quota. From its second refusal on an endpoint gets no more than that; before, it gets 4
//! a second after its cooldown, which double ten times a second until it refuses again, or what its
//! headers allow, if they say. The rate starts 5 % below what is known and is there after 5 s, or
//! after the time for five requests if that is longer. From there it grows faster and faster while
//! it is used up, as that of TCP CUBIC does, until it is refused again. Each refusal that confirms
//! the rate makes those 5 s half as long again, up to a minute, since each one costs a part of the
//! quota. What was not used in a pause is made up for, up to a second of it. The rate is forgotten
//! 30 s after a refusal was due and did not come. An endpoint that was never limited has none, and
//! pays nothing for this.
//!
//! # Turns
//!
//! Requests beyond the rate go to other endpoints. With nobody left they wait in the queue of the
//! pool, first come first served: by the time of their first attempt, so one that was refused keeps
//! its place. The turn of an endpoint belongs to the first who may go there; who wants another one
//! is passed over and keeps its place, and who comes later overtakes nobody. A request that leaves
//! passes its turn on. It is refused at once if its turn would come so late that the answer, four
//! mean deviations above the average, would miss its [`Deadline`](steadfast_core::Deadline), at most
//! half of which is kept for the answer; without a deadline,
//! [`max_wait`](EndpointBalanceBuilder::max_wait) is the bound. Nobody is refused for a rate that
//! was found only once.
//!
//! If more comes than can be served for eight times as long as a request can wait, requests wait for
//! a quarter of their time at most: a longer queue serves nobody more, and everybody later.
//!
//! # Which endpoint
//!
//! A request goes to an endpoint of the lowest tier that has one which could take it; the
//! [`Strategy`], or any other [`Pick`], chooses among several. A request that was tried already goes
//! to an untried one of the same tier, then of the next, and only then to the same one again, if its
//! answers [allow](steadfast_core::Class) that. Before a request moves to a
//! [degraded](Endpoint::degraded) endpoint, a lone `5xx` is repeated at the same endpoint, and a wait
//! of up to [`prefer_wait`](EndpointBalanceBuilder::prefer_wait) is waited out. A request
//! says by its [`RoutingOptions`] where it may not go, or where it would like to.
//!
//! # What is sent
//!
//! The path of the endpoint is put before that of the request, in place of the
//! [request root](EndpointBalanceBuilder::request_root). Headers that are meant for one
//! connection or for another host are removed, and so are the caller's credentials:
//! `authorization`, `x-api-key`, `api-key`, `x-goog-api-key`, `cookie`, `openai-organization`,
//! `openai-project`, and the query parameter `key`. Then the endpoint's own headers and credential
//! are added. No endpoint sees what is meant for another. A request whose target has no place behind
//! that path, `*` or one without a slash, with a segment `..`, or too long, is not sent at all: its
//! future ends with a `CallerFault`.
//!
//! # When nobody can take a request
//!
//! | [`WhenExhausted`] | What becomes of it |
//! |---|---|
//! | `Fail` (default) | its future ends at once with [`Exhausted`](steadfast_core::Exhausted), which says when the soonest endpoint recovers, and [makes](steadfast_core::Exhausted::to_response) a `503` with `retry-after` |
//! | `Wait` | it waits in the queue, for cooldowns and open breakers too |
//! | `LeastBad` | where all breakers are open and nobody is limited, one attempt a second passes |
//!
//! A retry layer outside waits for a limit that is over before the caller's deadline; for a pool
//! that is broken it does not wait.
//!
//! # Live changes
//!
//! A [`PoolHandle`] adds, removes, drains and replaces endpoints, and sets their weight and tier,
//! while requests run; it takes them out of service, cools them by hand, and shows all that is known
//! of them. What runs at an endpoint comes to its end, and who waits learns of the change. With the
//! feature `serde` an [`EndpointStatus`] can be written down.
//!
//! Endpoints can also come from elsewhere: from the addresses of a DNS name, by
//! [`PoolHandle::resolve`], and with the feature `discover` from a stream of `tower::discover`, by
//! `PoolHandle::follow`. Both are futures to be spawned, and touch only what they have put there.
//!
//! # Health checks
//!
//! With the feature `health` a `HealthCheck` asks all endpoints that are in service from time to
//! time, by an HTTP request or in any other way. It is off unless it is started, and needs no
//! requests to find out that an endpoint is back.
//!
//! | Where the endpoint is | What a check does |
//! |---|---|
//! | its breaker is closed | a failure counts only here: after three in a row the breaker opens, as if by [`trip`](steadfast_breaker::CircuitBreaker::trip). The window of the breaker is that of requests alone |
//! | its breaker is open, and it is not time for a probe | is not sent |
//! | its breaker is due, or half-open with a free place | is a probe: its verdict closes the breaker or opens it again |
//! | it cools for its limit, or by hand | is not sent, as it would only use up quota |
//! | it is left alone for a spent quota or a rejected credential | a success brings it back: the next request is let through, and the others follow if that is not refused |
//! | it is not in service | is not sent |
//!
//! If the first request after that is refused for such a reason again, the check cannot see what is
//! wrong. It is not sent then until that time has run out.
//!
//! A check that was limited or whose credential was rejected is neither a failure nor a success. A
//! check cools nobody, is not in flight, and does not pass the layers of the endpoint.
//!
//! # Readiness, clones and dropped requests
//!
//! * The service is always ready: which endpoint has to be depends on the request. Its future
//!   makes the service of the chosen endpoint ready and calls it at once; while one is not ready,
//!   the next one is asked. With all of them busy, it waits for the first that becomes free or
//!   recovers, and no longer than the caller's [`Deadline`](steadfast_core::Deadline). Waiting
//!   needs the timer of a tokio runtime.
//! * The layers of an endpoint are made once for each service, and clones share them.
//! * An endpoint whose service fails to become ready is passed over, and its breaker counts that.
//! * Clones and all services of one layer share the state of the endpoints.
//! * A future that is dropped before the head of the response gives back what it reserved and
//!   says nothing about the endpoint, or `Timeout` with
//!   [`abandoned_after`](EndpointBalanceBuilder::abandoned_after). The first attempt after a
//!   cooldown keeps its place until it would have been refused.
//! * A future that waits for its turn and is held without being polled loses it to others after
//!   100 ms.
//! * A request is in flight until its response body has ended or was dropped, or until the head of
//!   one that did not succeed: such a body may be kept while the next attempt runs.
//!
//! # The cost of a healthy request
//!
//! No task, no lock and no allocation, but for the path of the URI at the endpoint, and where a head
//! has no room for another header. The clock is read twice, when an endpoint is chosen and when its
//! answer begins. To choose, a few words are read of each endpoint of the tier: by `Failover` up to
//! the first that can take the request, by `LeastLoaded` of up to 16, and of two beyond that. Where
//! the others have more than 64, the set of those that can take it is allocated.
//!
//! Threads whose requests go to different endpoints share only one word that they write: the
//! reference count of the service that their own are clones of. `RoundRobin` shares its round as well,
//! and `LeastLoaded` beyond 16 its random numbers. At the endpoint itself a request writes a few words
//! of one cache line, and reference counts: its own, and those of its authority, its headers and its
//! credential.
//!
//! A request in a [`Trail`](steadfast_core::Trail) takes the lock of that, which no other request
//! has. Answers with headers of a quota are read, and some atomics keep what they say. Requests that
//! wait for their turn allocate their place and a timer, and share one short lock.
//!
//! # Order
//!
//! ```text
//! request ──▶ retry ──▶ hedge ──▶ balance ──▶ (layers of the endpoint) ──▶ client
//! ```
//!
//! `HedgeLayer` of `steadfast-hedge` is there for those who want it: it sends a request that takes longer than most
//! to a second endpoint.
//!
//! # Features
//!
//! | Feature | What it adds |
//! |---|---|
//! | `discover` | `PoolHandle::follow` |
//! | `dns` | `Resolve::new`, which asks the resolver of the operating system |
//! | `health` | `HealthCheck` |
//! | `serde` | `Serialize` for [`EndpointStatus`] |
//!
//! # Limits
//!
//! A rate counts requests. Where a few very large ones use up what many small ones need, set
//! [`estimated_tokens`](RoutingOptions::estimated_tokens), so that they go where their headers say that
//! there is room.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod admit;
mod builder;
mod config;
mod discover;
mod endpoint;
mod exhausted;
#[cfg(feature = "health")]
mod health;
mod layer;
mod make_layer;
mod pool;
mod select;
mod service;
mod state;

pub use self::builder::EndpointBalanceBuilder;
pub use self::discover::dns::Resolve;
pub use self::endpoint::Endpoint;
pub use self::endpoint::connect_addr::ResolvedAddr;
pub use self::endpoint::credential::Credential;
pub use self::exhausted::WhenExhausted;
#[cfg(feature = "health")]
pub use self::health::{HealthCheck, HealthChecks};
pub use self::layer::EndpointBalanceLayer;
pub use self::make_layer::{MakeEndpointLayer, MakeLayerFn, NoEndpointLayer};
pub use self::pool::handle::PoolHandle;
pub use self::pool::snapshot::EndpointMode;
pub use self::pool::status::EndpointStatus;
pub use self::select::candidates::{Candidate, Candidates, PickContext};
pub use self::select::pick::{Pick, Sample};
pub use self::select::strategy::{PickFn, Scored, Strategy, pick_fn};
pub use self::service::EndpointBalance;
pub use self::service::body::ResponseBody;
pub use self::service::future::ResponseFuture;
pub use self::state::check_result::{CheckOutcome, CheckResult};
pub use self::state::quota::QuotaWindow;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
