//! The stand-in for `hedging` without the feature `hedge`.

/// The setting of a stack without the feature `hedge`, which has no value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Hedging {}

/// Cannot be called.
pub(crate) fn hedged<S>(hedging: Hedging, _: S) -> S {
    match hedging {}
}
