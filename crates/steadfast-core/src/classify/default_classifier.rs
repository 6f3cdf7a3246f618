use std::error::Error;

use super::error::classify_error;
use super::head::Head;
use super::response::classify_head;
use super::rule::Classify;
use crate::verdict::Verdict;

/// Returns the verdict of a classifier nearer to the client, or classifies status and headers.
///
/// The first matching row counts:
///
/// | Status | Class |
/// |---|---|
/// | 402 | `QuotaExhausted` |
/// | 429, 498, and 403 with a hint or with `remaining: 0` | `RateLimited` |
/// | 503, 529 | `Overloaded` |
/// | 401, 403 | `Unauthorized` |
/// | 413 | `ContextTooLong` |
/// | 504, 524 | `Timeout` |
/// | 421, 425, 521 to 523, 525, 526 | `Connect` |
/// | 408, and 5xx except 501 and 505 | `ServerError`, for 408 without an effect on a breaker |
/// | 1xx except 101, and 600 to 999 | `ServerError` |
/// | other 4xx, 501, 505 | `CallerFault` |
/// | all others | `Success` |
///
/// The header `x-amzn-errortype` of AWS has precedence over a status that is not 2xx.
///
/// An error is searched together with its sources. The outermost known error counts:
///
/// | Error | Class |
/// |---|---|
/// | [`Classified`](crate::Classified), [`Exhausted`](crate::Exhausted) | the class of its verdict |
/// | `Elapsed` of [`tokio::time::timeout`] | `Timeout` |
/// | [`std::io::Error`] of a refused connection | `Connect` |
/// | [`std::io::Error`] for a lack of descriptors, local ports or memory, or of a cancelled lookup of a name | `Local` |
/// | all others | `Transport` |
///
/// `tower::timeout::error::Elapsed` is not recognized. Map it with
/// [`classify_fn`](crate::classify_fn):
///
/// ```
/// use steadfast_core::{Class, Classify, DefaultClassifier, Verdict, classify_fn};
/// use tower::timeout::error::Elapsed;
///
/// let classifier = classify_fn(|outcome| match outcome {
///     Err(error) if error.is::<Elapsed>() => Verdict::new(Class::Timeout),
///     other => DefaultClassifier.classify(other),
/// });
/// # let error: tower::BoxError = Elapsed::new().into();
/// # assert_eq!(classifier.classify(Err(&*error)).class(), Class::Timeout);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct DefaultClassifier;

impl Classify for DefaultClassifier {
    fn classify(&self, outcome: Result<Head<'_>, &(dyn Error + 'static)>) -> Verdict {
        match outcome {
            Ok(head) => head.verdict().unwrap_or_else(|| classify_head(head)),
            Err(error) => classify_error(error),
        }
    }
}
