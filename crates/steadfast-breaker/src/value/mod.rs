//! The breaker as a plain value: its configuration, its permits and its shared state.

mod announcer;
mod at;
mod breaker;
mod builder;
mod checks;
mod detached;
mod error;
mod handle;
mod permit;
mod receipt;
mod registry;
mod settle;
mod shared;
mod word;

pub use self::at::BreakerAt;
pub use self::breaker::CircuitBreaker;
pub use self::builder::CircuitBreakerBuilder;
pub use self::detached::Detached;
pub use self::error::{CallError, CircuitOpen};
pub use self::permit::{Attached, Permit};
pub use self::receipt::FailureReceipt;
pub use self::registry::BreakerRegistry;
pub(crate) use self::shared::Shared;
