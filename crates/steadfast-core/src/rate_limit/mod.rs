//! Rate limits in the headers of a response, in the formats of the providers.

mod bucket;
mod headers;
mod names;
mod values;

pub use self::bucket::{Bucket, Reset, Unit};
pub use self::headers::RateLimit;

#[cfg(test)]
mod tests;
