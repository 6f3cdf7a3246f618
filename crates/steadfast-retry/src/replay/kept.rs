//! The copy of a body that is kept for further attempts.

use std::fmt;
use std::mem;

use http_body::Body;

use super::body::{ReplayBody, Repr};
use super::held::Held;
use super::reader::Reader;
use super::recording::Recording;

/// The part of a body that is kept while a request may be sent again.
#[doc(hidden)]
pub struct Kept<B: Body + Unpin>(pub(super) KeptRepr<B>);

/// The copy of a body that the retry layer keeps for further attempts.
pub(super) enum KeptRepr<B: Body> {
    Held(Held),
    Recorded(Recording<B>),
}

impl<B: Body + Unpin> ReplayBody<B> {
    /// Keeps the body for further attempts. Returns `None` if it can be sent only once.
    pub(crate) fn keep(&mut self) -> Option<Kept<B>> {
        match &mut self.0 {
            Repr::Held(held) => Some(Kept(KeptRepr::Held(held.clone()))),
            Repr::Live(live) if live.may_fit() => {
                // Replaced below.
                let repr = mem::replace(&mut self.0, Repr::Held(Held::default()));
                let Repr::Live(live) = repr else {
                    unreachable!("matched above")
                };
                let recording = live.record();
                let first = Reader::begin(&recording).expect("nothing was sent yet");
                self.0 = Repr::Recorded(first);
                Some(Kept(KeptRepr::Recorded(recording)))
            }
            Repr::Live(_) | Repr::Recorded(_) => None,
        }
    }
}

impl<B: Body + Unpin> Kept<B> {
    /// Whether the body can be sent again. A record may have exceeded its limit meanwhile.
    pub(crate) fn is_whole(&self) -> bool {
        match &self.0 {
            KeptRepr::Held(_) => true,
            KeptRepr::Recorded(recording) => recording.is_whole(),
        }
    }

    /// Whether an attempt may still be sending the body.
    pub(crate) fn is_open(&self) -> bool {
        match &self.0 {
            KeptRepr::Held(_) => false,
            KeptRepr::Recorded(recording) => recording.is_open(),
        }
    }

    /// Creates the body of a further attempt, and cuts off the attempt before it.
    pub(crate) fn again(&self) -> Option<ReplayBody<B>> {
        let repr = match &self.0 {
            KeptRepr::Held(held) => Repr::Held(held.clone()),
            KeptRepr::Recorded(recording) => Repr::Recorded(Reader::begin(recording)?),
        };
        Some(ReplayBody(repr))
    }
}

impl<B: Body + Unpin> Drop for Kept<B> {
    fn drop(&mut self) {
        if let KeptRepr::Recorded(recording) = &self.0 {
            recording.stop();
        }
    }
}

impl<B: Body + Unpin> fmt::Debug for Kept<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").finish_non_exhaustive()
    }
}
