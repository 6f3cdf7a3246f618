use std::any::Any;
use std::error::Error;
use std::fmt;
use std::io;
use std::time::SystemTime;

use http::{Extensions, HeaderMap, Response, StatusCode};
use tokio::time::error::Elapsed;

use crate::BoxError;
use crate::chain::chain;
use crate::class::Class;
use crate::exhausted::Exhausted;
use crate::rate_limit::RateLimit;
use crate::verdict::{Classified, Verdict};

/// Decides what the outcome of an attempt shows about its endpoint.
///
/// Most users change a few answers of the [`DefaultClassifier`] and do that with [`classify_fn`].
pub trait Classify {
    /// Returns the verdict on one outcome.
    ///
    /// Bodies are not passed in: a classifier that reads one would have to keep it.
    fn classify(&self, outcome: Result<Head<'_>, &(dyn Error + 'static)>) -> Verdict;
}

/// What a classifier sees of a response.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    status: StatusCode,
    headers: &'a HeaderMap,
    extensions: Option<&'a Extensions>,
}

impl<'a> Head<'a> {
    /// Creates a head without extensions.
    #[must_use]
    pub fn new(status: StatusCode, headers: &'a HeaderMap) -> Self {
        Self {
            status,
            headers,
            extensions: None,
        }
    }

    /// Returns the head of `response`.
    #[must_use]
    pub fn of<B>(response: &'a Response<B>) -> Self {
        Self {
            status: response.status(),
            headers: response.headers(),
            extensions: Some(response.extensions()),
        }
    }

    /// Returns the status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the headers.
    #[must_use]
    pub fn headers(&self) -> &'a HeaderMap {
        self.headers
    }

    /// Returns the verdict of a classifier that is nearer to the client, if there is one.
    #[must_use]
    pub fn verdict(&self) -> Option<Verdict> {
        self.extensions?.get().copied()
    }
}

/// Applies a classifier to what a service returned.
pub fn verdict_of<C, B>(
    classifier: &C,
    outcome: Result<&Response<B>, &(dyn Error + 'static)>,
) -> Verdict
where
    C: Classify + ?Sized,
{
    classifier.classify(outcome.map(Head::of))
}

/// Applies a classifier to an error of any type.
///
/// The errors of a service are concrete in one stack and boxed in the next, and a boxed error is
/// no `std::error::Error`, so this finds out by `Any`. An error whose type it does not know is
/// `Transport`.
pub fn verdict_of_error<C, E>(classifier: &C, error: &E) -> Verdict
where
    C: Classify + ?Sized,
    E: 'static,
{
    let error = error as &dyn Any;
    if let Some(error) = error.downcast_ref::<BoxError>() {
        classifier.classify(Err(&**error))
    } else if let Some(error) = error.downcast_ref::<Classified>() {
        classifier.classify(Err(error))
    } else if let Some(error) = error.downcast_ref::<io::Error>() {
        classifier.classify(Err(error))
    } else {
        Verdict::new(Class::Transport)
    }
}

/// Takes over the verdict of a classifier nearer to the client, or reads status and headers.
///
/// The first row that matches counts:
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
/// | other 4xx, 501, 505 | `CallerFault` |
/// | the rest | `Success` |
///
/// The header `x-amzn-errortype` of AWS counts before the status. An error that is neither
/// [`Classified`] nor [`Exhausted`] is `Connect` if a refused connection is among its sources,
/// `Timeout` if that of [`tokio::time::timeout`] is, and `Transport` otherwise. That of
/// `tower::timeout` is such another one: who has that in the stack says so.
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

fn classify_head(head: Head<'_>) -> Verdict {
    if head.status.is_success() {
        return Verdict::SUCCESS;
    }
    let class = aws_class(head.headers).unwrap_or_else(|| status_class(head.status));
    if matches!(class, Class::Success) {
        return Verdict::SUCCESS;
    }
    let now = SystemTime::now();
    let limit = RateLimit::from_headers(head.headers, now);
    let (class, hint) = match class {
        Class::RateLimited | Class::QuotaExhausted => {
            (class, RateLimit::of_refusal(head.headers, now).hint())
        }
        Class::Unauthorized
            if head.status == StatusCode::FORBIDDEN
                && (limit.retry_after().is_some() || limit.is_spent()) =>
        {
            (Class::RateLimited, limit.hint())
        }
        // A bucket that is empty by chance does not explain another failure.
        _ => (class, limit.retry_after()),
    };
    let verdict = Verdict::new(class)
        .with_hint(hint)
        .with_should_retry(should_retry(head.headers));
    if head.status == StatusCode::REQUEST_TIMEOUT {
        // The server waited in vain for us, which is no fault of its own.
        verdict.neutral()
    } else {
        verdict
    }
}

fn status_class(status: StatusCode) -> Class {
    match status.as_u16() {
        402 => Class::QuotaExhausted,
        429 | 498 => Class::RateLimited,
        503 | 529 => Class::Overloaded,
        401 | 403 => Class::Unauthorized,
        413 => Class::ContextTooLong,
        504 | 524 => Class::Timeout,
        421 | 425 | 521..=523 | 525 | 526 => Class::Connect,
        501 | 505 => Class::CallerFault,
        408 | 500..=599 => Class::ServerError,
        400..=499 => Class::CallerFault,
        _ => Class::Success,
    }
}

/// The error type in the header of an AWS service, `ThrottlingException:http://…` for example.
fn aws_class(headers: &HeaderMap) -> Option<Class> {
    let value = headers.get("x-amzn-errortype")?.to_str().ok()?;
    match value.split(':').next()? {
        "ThrottlingException" | "TooManyRequestsException" => Some(Class::RateLimited),
        "ServiceQuotaExceededException" => Some(Class::QuotaExhausted),
        _ => None,
    }
}

fn should_retry(headers: &HeaderMap) -> Option<bool> {
    match headers.get("x-should-retry")?.as_bytes() {
        b"true" => Some(true),
        b"false" => Some(false),
        _ => None,
    }
}

fn classify_error(error: &(dyn Error + 'static)) -> Verdict {
    chain(error)
        .find_map(|error| {
            if let Some(error) = error.downcast_ref::<Classified>() {
                Some(error.verdict())
            } else if let Some(error) = error.downcast_ref::<Exhausted>() {
                Some(error.verdict())
            } else if error.is::<Elapsed>() {
                Some(Verdict::new(Class::Timeout))
            } else {
                let kind = error.downcast_ref::<io::Error>()?.kind();
                (kind == io::ErrorKind::ConnectionRefused).then_some(Verdict::new(Class::Connect))
            }
        })
        .unwrap_or(Verdict::new(Class::Transport))
}

/// A classifier made from a closure with [`classify_fn`].
#[derive(Clone, Copy)]
pub struct ClassifyFn<F>(F);

/// Makes a classifier from a closure.
///
/// A closure is wrapped, because the compiler could not infer its argument types otherwise.
///
/// ```
/// use steadfast_core::{Class, Classify, DefaultClassifier, Verdict, classify_fn};
///
/// // A server that answers 404 while it starts.
/// let classifier = classify_fn(|outcome| match outcome {
///     Ok(head) if head.status() == 404 => Verdict::new(Class::Overloaded),
///     other => DefaultClassifier.classify(other),
/// });
/// # let _ = classifier;
/// ```
pub fn classify_fn<F>(f: F) -> ClassifyFn<F>
where
    F: Fn(Result<Head<'_>, &(dyn Error + 'static)>) -> Verdict,
{
    ClassifyFn(f)
}

impl<F> Classify for ClassifyFn<F>
where
    F: Fn(Result<Head<'_>, &(dyn Error + 'static)>) -> Verdict,
{
    fn classify(&self, outcome: Result<Head<'_>, &(dyn Error + 'static)>) -> Verdict {
        (self.0)(outcome)
    }
}

impl<F> fmt::Debug for ClassifyFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ClassifyFn")
            .field(&format_args!("_"))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BreakerEffect;
    use http::{HeaderName, HeaderValue};
    use std::time::Duration;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    fn classify(status: u16, pairs: &[(&'static str, &'static str)]) -> Verdict {
        let status = StatusCode::from_u16(status).unwrap();
        DefaultClassifier.classify(Ok(Head::new(status, &headers(pairs))))
    }

    #[test]
    fn every_status_has_its_class() {
        for status in 100..=999 {
            let expected = match status {
                402 => Class::QuotaExhausted,
                429 | 498 => Class::RateLimited,
                503 | 529 => Class::Overloaded,
                401 | 403 => Class::Unauthorized,
                413 => Class::ContextTooLong,
                504 | 524 => Class::Timeout,
                421 | 425 | 521 | 522 | 523 | 525 | 526 => Class::Connect,
                501 | 505 => Class::CallerFault,
                408 => Class::ServerError,
                400..=499 => Class::CallerFault,
                500..=599 => Class::ServerError,
                _ => Class::Success,
            };
            assert_eq!(classify(status, &[]).class(), expected, "{status}");
        }
    }

    #[test]
    fn a_request_timeout_says_nothing_about_the_endpoint() {
        assert_eq!(classify(408, &[]).breaker(), BreakerEffect::Neutral);
        assert_eq!(classify(500, &[]).breaker(), BreakerEffect::Failure);
    }

    #[test]
    fn a_403_that_speaks_of_a_limit_is_one() {
        for (pairs, expected) in [
            (&[("retry-after", "5")][..], Class::RateLimited),
            (&[("x-ratelimit-remaining", "0")], Class::RateLimited),
            (&[("x-ratelimit-remaining", "7")], Class::Unauthorized),
            (&[("x-ratelimit-reset", "60")], Class::Unauthorized),
            (&[], Class::Unauthorized),
        ] {
            assert_eq!(classify(403, pairs).class(), expected, "{pairs:?}");
        }
        let with_hint = classify(401, &[("retry-after", "5")]);
        assert_eq!(with_hint.class(), Class::Unauthorized);
    }

    #[test]
    fn only_a_rate_limit_takes_its_hint_from_a_bucket() {
        let pairs = &[
            ("ratelimit-remaining", "0"),
            ("ratelimit-reset", "9"),
            ("ratelimit-limit", "10"),
        ];
        let nine = Some(Duration::from_secs(9));
        assert_eq!(classify(429, pairs).hint(), nine);
        assert_eq!(classify(503, pairs).hint(), None);
        assert_eq!(classify(503, &[("retry-after", "9")]).hint(), nine);
    }

    #[test]
    fn aws_names_the_class_itself() {
        for (value, expected) in [
            ("ThrottlingException:http://internal/", Class::RateLimited),
            ("ServiceQuotaExceededException", Class::QuotaExhausted),
            ("ValidationException", Class::CallerFault),
        ] {
            let verdict = classify(400, &[("x-amzn-errortype", value)]);
            assert_eq!(verdict.class(), expected, "{value}");
        }
    }

    #[test]
    fn the_verdict_at_the_edge_comes_first() {
        let mut response = Response::new(());
        response
            .extensions_mut()
            .insert(Verdict::new(Class::QuotaExhausted));
        let verdict = verdict_of(&DefaultClassifier, Ok(&response));
        assert_eq!(verdict.class(), Class::QuotaExhausted);
    }

    #[test]
    fn errors_are_connect_transport_or_what_the_edge_said() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        let reset = io::Error::from(io::ErrorKind::ConnectionReset);
        let said = Classified::new(Verdict::new(Class::Timeout), "too slow");
        for (error, expected) in [
            (io::Error::other(refused), Class::Connect),
            (reset, Class::Transport),
            (io::Error::other(said), Class::Timeout),
        ] {
            assert_eq!(
                DefaultClassifier.classify(Err(&error)).class(),
                expected,
                "{error}"
            );
        }
    }
}
