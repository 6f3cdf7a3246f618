//! The simulated world: scenarios, their endpoints, and the client that all policies send through.

mod answer;
mod arrivals;
mod call;
mod caller;
mod client;
mod endpoint;
mod latency;
mod place;
mod queue;
mod random;
mod scenario;

pub(crate) use self::answer::hint;
pub use self::arrivals::Arrivals;
pub(crate) use self::arrivals::step;
pub(crate) use self::call::Call;
pub use self::call::{Answer, Body};
pub use self::caller::Caller;
pub use self::client::World;
pub use self::endpoint::{Endpoint, Hint, Trouble};
pub use self::latency::Latency;
pub(crate) use self::place::TICK;
pub(crate) use self::random::generator;
pub use self::scenario::Scenario;
