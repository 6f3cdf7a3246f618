//! The breaker as tower middleware.

mod backpressure;
mod body;
mod future;
mod grpc;
mod layer;
#[allow(clippy::module_inception)] // the service among layer, future and body
mod service;
mod settle;

pub use self::body::ResponseBody;
pub use self::future::ResponseFuture;
pub use self::grpc::{ByGrpcStatus, GrpcBody};
pub use self::layer::CircuitBreakerLayer;
pub use self::service::CircuitBreakerService;
pub use self::settle::{ByResponse, ByResult, ByResultFn, Settle};
