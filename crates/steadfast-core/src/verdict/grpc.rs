//! The verdict on the status of a gRPC call.

use std::time::Duration;

use http::HeaderMap;

use crate::class::Class;
use crate::verdict::Verdict;

impl Verdict {
    /// Returns the verdict on a `grpc-status` in headers or trailers, if there is one.
    ///
    /// `grpc-retry-pushback-ms` is the hint of the server. A negative or invalid one forbids a
    /// repeat at the same endpoint. See <https://grpc.io/docs/guides/status-codes/> for the codes
    /// of a server that does not work.
    #[must_use]
    pub fn of_grpc(headers: &HeaderMap) -> Option<Self> {
        let status = headers.get("grpc-status")?.to_str().ok()?.parse::<u32>();
        let class = match status.ok()? {
            // CANCELLED: by the caller, or after its own deadline.
            1 => return Some(Self::new(Class::Cancelled)),
            // DEADLINE_EXCEEDED
            4 => Class::Timeout,
            // RESOURCE_EXHAUSTED
            8 => Class::RateLimited,
            // UNAUTHENTICATED, PERMISSION_DENIED
            16 | 7 => Class::Unauthorized,
            // UNKNOWN, INTERNAL, DATA_LOSS
            2 | 13 | 15 => Class::ServerError,
            // UNAVAILABLE
            14 => Class::Overloaded,
            0 => return Some(Self::SUCCESS),
            // The request is at fault, or a working server rejected it.
            _ => Class::CallerFault,
        };
        let verdict = Self::new(class);
        let Some(pushback) = headers.get("grpc-retry-pushback-ms") else {
            return Some(verdict);
        };
        let millis = pushback.to_str().ok().and_then(|text| text.parse().ok());
        Some(match millis.map(Duration::from_millis) {
            Some(wait) => verdict.with_hint(Some(wait)),
            None => verdict.with_should_retry(Some(false)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::class::SameEndpoint;

    #[test]
    fn pushback_is_a_hint_or_forbids_a_repeat() {
        for (pushback, hint, repeats) in [
            (Some("250"), Some(250), true),
            (Some("0"), Some(0), true),
            (Some("18446744073709551615"), Some(u64::MAX), true),
            (Some("-1"), None, false),
            (Some("soon"), None, false),
            (Some(""), None, false),
            (None, None, true),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-status", "14".parse().unwrap());
            if let Some(pushback) = pushback {
                headers.insert("grpc-retry-pushback-ms", pushback.parse().unwrap());
            }
            let verdict = Verdict::of_grpc(&headers).expect("a status");
            assert_eq!(verdict.class(), Class::Overloaded);
            assert_eq!(
                verdict.hint(),
                hint.map(Duration::from_millis),
                "{pushback:?}"
            );
            let never = verdict.same_endpoint() == SameEndpoint::Never;
            assert_eq!(!never, repeats, "{pushback:?}");
        }
        assert_eq!(Verdict::of_grpc(&HeaderMap::new()), None);
    }
}
