use tokio::time::Instant;

/// When the next attempt of a request is possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Next {
    /// At once, at another endpoint.
    Now,
    /// At once, at the same endpoint, since a single failure can be an accident.
    RetrySameNow,
    /// At this instant, at some endpoint. The instant may have passed already.
    At(Instant),
    /// At this instant, but the request must not wait for it: other requests waited in vain, or its
    /// deadline leaves no time for an answer.
    Later(Instant),
    /// Not at all: no endpoint takes this request again.
    Never,
}
