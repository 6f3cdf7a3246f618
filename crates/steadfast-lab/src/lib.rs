//! A simulator that drives the real layers of this workspace on a virtual clock, beside policies
//! of others.
//!
//! A [`Scenario`] says which endpoints there are, what they allow and when they fail, and when
//! requests come. [`Scenario::run`] sends these requests through a [`Policy`]: our layers with one
//! of their strategies, or the rules of somebody else's client, made after what was published of
//! them. Minutes of traffic take milliseconds, and a seed gives the same run each time.
//!
//! # Example
//!
//! ```
//! use std::time::Duration;
//! use steadfast_lab::{Endpoint, Latency, Quota, Scenario, Trouble, policies};
//!
//! let second = Duration::from_secs(1);
//! let answers = |seconds| Latency::LogNormal(Duration::from_secs(seconds), 0.5);
//! // The large one is down for ten seconds.
//! let scenario = Scenario::new("mine")
//!     .endpoint(
//!         Endpoint::new("large")
//!             .requests(Quota::new(60, 60 * second))
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
//! # What is real and what is not
//!
//! * Our layers are the very ones that are published, with their defaults. A policy of somebody
//!   else is a loop with that policy's rules, and not the product; only tower's balancer, load and
//!   retry are tower's own code. Each has a test that it reproduces a figure or a rule which was
//!   published for it.
//! * The clock is tokio's, paused: it moves when nothing is left to do. So deciding takes no time,
//!   and no connection is made. What deciding costs is for the benchmarks in `benches`.
//! * A request takes as long at an endpoint, and comes at the same time, whatever the policy is.
//! * What a client has given up is worked on all the same by an endpoint that has a
//!   [capacity](Endpoint::capacity).
//!
//! [`catalog`] returns the named scenarios. `cargo run --release -- all`, in the folder of this
//! crate, runs them.
//!
//! What the published layers of others do, case by case, is in `docs/comparison.md`. The test
//! `comparison` writes it.

mod breaker;
mod catalog;
mod policy;
pub mod program;
mod report;
mod world;

pub use self::catalog::{Entry, catalog};
pub use self::policy::{Client, Policy, Setup, policies};
pub use self::report::{Details, Report};
pub use self::world::{Answer, Arrivals, Body, Endpoint, Hint, Latency, Scenario, Trouble, World};
pub use steadfast_testkit::Quota;

/// The guide that has a scenario: its code is compiled and run.
#[cfg(doctest)]
mod guides {
    #[doc = include_str!("../../../docs/choosing.md")]
    mod choosing {}
}
