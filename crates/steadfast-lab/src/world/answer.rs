//! Answers and errors of endpoints.

use std::io;
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use steadfast_core::{BoxError, Class, Classified, Verdict};

use crate::world::call::Answer;
use crate::world::endpoint::Hint;

pub(super) fn answer(status: StatusCode) -> Answer {
    let mut answer = Answer::default();
    *answer.status_mut() = status;
    answer
}

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

/// The hint of an answer, if it has one.
pub(crate) fn hint(headers: &HeaderMap) -> Option<Duration> {
    let number = |name| headers.get(name)?.to_str().ok()?.parse().ok();
    let millis = number("retry-after-ms").map(Duration::from_millis);
    millis.or_else(|| number("retry-after").map(Duration::from_secs))
}

pub(super) fn broken(class: Class, kind: io::ErrorKind) -> BoxError {
    Classified::new(Verdict::new(class), io::Error::from(kind)).into()
}

pub(super) fn late() -> BoxError {
    broken(Class::Timeout, io::ErrorKind::TimedOut)
}
