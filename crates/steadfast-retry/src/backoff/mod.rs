//! The length of waits.

mod jitter;
mod schedule;

pub use self::jitter::Jitter;
pub(crate) use self::jitter::Wait;
pub use self::schedule::Backoff;

#[cfg(test)]
mod tests;
