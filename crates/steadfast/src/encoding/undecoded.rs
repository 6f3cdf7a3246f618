//! The reasons for which a body cannot be inspected.

/// A body that cannot be inspected as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(feature = "decode"),
    expect(dead_code, reason = "without a decoder, each encoding is unknown")
)]
pub(crate) enum Undecoded {
    /// No feature decodes the encoding.
    Unknown,
    /// The text exceeds the bound.
    TooLong,
    /// The body is cut or damaged.
    Broken,
}
