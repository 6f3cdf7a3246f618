//! Answers and errors of endpoints.
//!
//! The world classifies its errors as `ClassifyLayer` next to a real client does. So a policy of
//! ours can distinguish a failed connect from a lost connection.

use std::io;
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use steadfast_core::{BoxError, Class, Classified, Verdict};

use crate::world::call::Answer;
use crate::world::endpoint::Hint;

/// Returns an answer with an empty body.
pub(super) fn answer(status: StatusCode) -> Answer {
    let mut answer = Answer::default();
    *answer.status_mut() = status;
    answer
}

/// Returns a `429` with a hint of `wait`.
///
/// Both formats round up, as real providers do. A client that waits for exactly the hint is then
/// never too early.
pub(super) fn refusal(hint: Hint, wait: Duration) -> Answer {
    let mut answer = answer(StatusCode::TOO_MANY_REQUESTS);
    let (name, value) = match hint {
        Hint::Absent => return answer,
        Hint::Millis => ("retry-after-ms", wait.as_nanos().div_ceil(1_000_000)),
        Hint::Seconds => ("retry-after", wait.as_nanos().div_ceil(1_000_000_000)),
    };
    let value = u64::try_from(value).unwrap_or(u64::MAX);
    answer.headers_mut().insert(name, value.into());
    answer
}

/// Returns the hint of an answer. Milliseconds precede seconds, as in `steadfast_core`.
pub(crate) fn hint(headers: &HeaderMap) -> Option<Duration> {
    let number = |name| headers.get(name)?.to_str().ok()?.parse().ok();
    let millis = number("retry-after-ms").map(Duration::from_millis);
    millis.or_else(|| number("retry-after").map(Duration::from_secs))
}

/// Returns the classified error of a connection that was refused or lost.
pub(super) fn broken(class: Class, kind: io::ErrorKind) -> BoxError {
    Classified::new(Verdict::new(class), io::Error::from(kind)).into()
}

/// Returns the classified error of an attempt that exceeded the attempt timeout.
pub(super) fn late() -> BoxError {
    broken(Class::Timeout, io::ErrorKind::TimedOut)
}
