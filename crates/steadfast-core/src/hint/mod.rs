//! Hints in the text of a response: no headers, no clock.

mod duration;
mod text;

pub(crate) use self::duration::{MAX_HINT, decimal, go_duration, milliseconds, sane, seconds};
pub use self::text::hint_in_text;

#[cfg(test)]
mod tests;
