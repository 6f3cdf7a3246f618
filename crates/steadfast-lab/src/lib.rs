//! A simulator that drives the real layers of this workspace on a virtual clock, beside policies
//! of others.
//!
//! A [`Scenario`] defines endpoints with their limits and failures, and the arrival of requests.
//! [`Scenario::run`] sends these requests through a [`Policy`]: our layers with one of their
//! strategies, or the published rules of another client. Minutes of traffic take milliseconds, and
//! a seed gives the same run each time.
//!
//! # Example
//!
//! ```
//! use std::time::Duration;
//! use steadfast_lab::{Endpoint, Latency, Quota, Scenario, Trouble, policies};
//!
//! let second = Duration::from_secs(1);
//! let answers = |seconds| Latency::LogNormal(Duration::from_secs(seconds), 0.5);
//! // The large one is down from second 30 to 40. The load is a share of both quotas together.
//! let scenario = Scenario::new("mine")
//!     .endpoint(
//!         Endpoint::new("large")
//!             .requests(Quota::new(300, 60 * second))
//!             .latency(answers(2))
//!             .trouble(30..40, Trouble::Refuses),
//!     )
//!     .endpoint(Endpoint::new("small").requests(Quota::new(2, second)).latency(answers(4)))
//!     .load(0.6)
//!     .lasting(60 * second);
//! for policy in policies() {
//!     let report = scenario.run(&*policy, 1);
//!     println!("{:24} {:5.1} %", report.policy, 100.0 * report.success);
//! }
//! ```
//!
//! # Real and simulated parts
//!
//! * Our layers are the retry layer, the balancer with its breakers, and in one policy the hedge,
//!   with the attempts and the deadline of the scenario and otherwise with their defaults. All
//!   requests are safe to repeat. The edge of `AiStack` (timeouts, rescues, the check of answers)
//!   is not simulated. The policies of others are loops with the rules of a product, and not the
//!   product. Only tower's balancer, load, retry and buffer are tower's own code. A test of each
//!   policy reproduces a published figure or rule.
//! * The clock is tokio's paused clock, which advances while all tasks are idle. So a decision
//!   takes no time, and no connection is made. `benches` measures the cost of decisions.
//! * Arrivals, and the latency of the first, second and each further attempt of a request at an
//!   endpoint, are the same for every policy.
//! * An endpoint with a [capacity](Endpoint::capacity) continues to work on cancelled requests.
//!
//! [`catalog()`] returns the scenarios of the command `all`. `cargo run --release -- all`, in the
//! folder of this crate, runs them and writes their pages into `docs/lab`. `-- quota` prints one
//! scenario and writes nothing. `-- limits` writes the page of [`limits()`].
//!
//! `docs/comparison.md` compares the published layers of other crates, case by case. The test
//! `comparison` checks it, and writes it with `UPDATE_DOCS=1`.
//!
//! # Folders
//!
//! | Folder | Content |
//! |---|---|
//! | `world` | endpoints with quotas, latency and faults, and the HTTP client of a simulation |
//! | `policy` | our stack and the rules of other products, each behind the trait [`Policy`] |
//! | `catalog` | the named scenarios of the pages |
//! | `report` | the records of a run, and the numbers computed from them |
//! | `breaker` | breakers alone, without a request: the rules of other libraries beside ours |
//! | `program` | the command line, the pages and the plots |
//!
//! Times are virtual. Rates are per second, shares are numbers from 0 to 1, and numbers with the
//! suffix `_s` are seconds.

mod breaker;
mod catalog;
mod policy;
pub mod program;
mod report;
mod world;

pub use self::catalog::{Entry, catalog, limits};
pub use self::policy::{Client, Policy, Setup, policies};
pub use self::report::{CallerReport, Details, Rejections, Report};
pub use self::world::{
    Answer, Arrivals, Body, Caller, Endpoint, Hint, Latency, Scenario, Trouble, World,
};
pub use steadfast_testkit::Quota;

/// The guide with a scenario, as a doc test.
#[cfg(doctest)]
mod guides {
    #[doc = include_str!("../../../docs/choosing.md")]
    mod choosing {}
}
