//! Request bodies that can be sent again.

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
