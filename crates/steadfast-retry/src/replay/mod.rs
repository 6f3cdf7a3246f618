//! Request bodies that can be sent again.
//!
//! A body in memory is shared. A stream is recorded while the first attempt sends it, up to the
//! limit. A later attempt reads the record first, and then continues with the source.

mod body;
mod error;
mod frames;
mod held;
mod kept;
mod live;
mod reader;
mod record;
mod recording;

pub use self::body::ReplayBody;
pub use self::error::BodySuperseded;
pub(crate) use self::kept::Kept;

#[cfg(test)]
mod tests;
