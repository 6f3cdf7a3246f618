//! The length of waits.

mod hint;
mod jitter;
mod schedule;

pub(crate) use self::hint::Hint;
pub use self::jitter::Jitter;
pub(crate) use self::jitter::Wait;
pub use self::schedule::Backoff;

#[cfg(test)]
mod tests;
