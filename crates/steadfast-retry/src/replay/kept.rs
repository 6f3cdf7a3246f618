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
pub struct Kept<B: Body + Unpin> {
    pub(super) repr: KeptRepr<B>,
    /// The notes of the body, for further attempts.
    notes: u8,
}

/// The copy of a body that the retry layer keeps for further attempts.
pub(super) enum KeptRepr<B: Body> {
    Held(Held),
    Recorded(Recording<B>),
}

impl<B: Body + Unpin> ReplayBody<B> {
    /// Keeps the body for further attempts. Returns `None` if it can be sent only once.
    pub(crate) fn keep(&mut self) -> Option<Kept<B>> {
        let repr = match &mut self.repr {
            Repr::Held(held) => KeptRepr::Held(held.clone()),
            Repr::Live(live) if live.may_fit() => {
                // Replaced below.
                let repr = mem::replace(&mut self.repr, Repr::Held(Held::default()));
                let Repr::Live(live) = repr else {
                    unreachable!("matched above")
                };
                let recording = live.record();
                let first = Reader::begin(&recording).expect("nothing was sent yet");
                self.repr = Repr::Recorded(first);
                KeptRepr::Recorded(recording)
            }
            Repr::Live(_) | Repr::Recorded(_) => return None,
        };
        let notes = self.notes;
        Some(Kept { repr, notes })
    }
}

impl<B: Body + Unpin> Kept<B> {
    /// Whether the body can be sent again. A record may have exceeded its limit meanwhile.
    pub(crate) fn is_whole(&self) -> bool {
        match &self.repr {
            KeptRepr::Held(_) => true,
            KeptRepr::Recorded(recording) => recording.is_whole(),
        }
    }

    /// Returns the size of a body in memory. The size of a recorded one is not known yet.
    pub(crate) fn size(&self) -> u64 {
        match &self.repr {
            KeptRepr::Held(held) => held.data.len() as u64,
            KeptRepr::Recorded(_) => 0,
        }
    }

    /// Whether an attempt may still be sending the body.
    pub(crate) fn is_open(&self) -> bool {
        match &self.repr {
            KeptRepr::Held(_) => false,
            KeptRepr::Recorded(recording) => recording.is_open(),
        }
    }

    /// Whether the layer that has prepared the body has noted that the request is safe to repeat.
    pub(crate) fn is_safe(&self) -> bool {
        self.notes & ReplayBody::<B>::SAFE != 0
    }

    /// Creates the body of a further attempt, and cuts off the attempt before it.
    pub(crate) fn again(&self) -> Option<ReplayBody<B>> {
        let repr = match &self.repr {
            KeptRepr::Held(held) => Repr::Held(held.clone()),
            KeptRepr::Recorded(recording) => Repr::Recorded(Reader::begin(recording)?),
        };
        let notes = self.notes;
        Some(ReplayBody { repr, notes })
    }
}

impl<B: Body + Unpin> Drop for Kept<B> {
    fn drop(&mut self) {
        if let KeptRepr::Recorded(recording) = &self.repr {
            recording.stop();
        }
    }
}

impl<B: Body + Unpin> fmt::Debug for Kept<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").finish_non_exhaustive()
    }
}
