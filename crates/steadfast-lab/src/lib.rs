//! A simulator that drives the real layers on a virtual clock.

mod arrivals;
mod call;
mod catalog;
mod endpoint;
mod latency;
mod policy;
pub mod program;
mod queue;
mod random;
mod report;
mod run;
mod scenario;
mod world;

pub use self::arrivals::Arrivals;
pub use self::call::{Answer, Body};
pub use self::catalog::{Entry, catalog};
pub use self::endpoint::{Endpoint, Hint, Trouble};
pub use self::latency::Latency;
pub use self::policy::{Client, Policy, Setup, policies};
pub use self::report::{Details, Report};
pub use self::scenario::Scenario;
pub use self::world::World;
pub use steadfast_testkit::Quota;
