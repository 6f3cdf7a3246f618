//! The check of answers.

/// Whether a stack checks the answers of its endpoints before it returns them.
///
/// The check costs a request the time until its whole answer has come, which a caller of a whole answer
/// waits for anyway, and up to 8 MiB of memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Answers {
    /// A successful answer to a chat completion, completion, embedding, message or response is read, up
    /// to 8 MiB, and judged by its top level. An error in a `200`, a login page and a truncated answer
    /// fail over.
    #[default]
    Checked,
    /// Whole answers pass unread.
    Unchecked,
}
