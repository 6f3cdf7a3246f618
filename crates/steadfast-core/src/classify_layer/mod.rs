mod future;
mod layer;
mod service;

pub use self::future::ClassifyFuture;
pub use self::layer::ClassifyLayer;
pub use self::service::ClassifyService;
