use std::time::Duration;

use http::HeaderMap;
use http::header::RETRY_AFTER;

/// The headers with a delay in milliseconds, which clients read before `retry-after`.
const IN_MILLIS: [&str; 2] = ["retry-after-ms", "x-ms-retry-after-ms"];

/// Replaces the delay in the headers of an answer.
///
/// `retry-after` has whole seconds, rounded up: a client that retries too early is rejected again.
/// Without a delay, or with a delay of zero, the headers have none.
pub fn set_retry_after(headers: &mut HeaderMap, wait: Option<Duration>) {
    for name in IN_MILLIS {
        headers.remove(name);
    }
    headers.remove(RETRY_AFTER);
    if let Some(wait) = wait.filter(|wait| !wait.is_zero()) {
        let more = u64::from(wait.subsec_nanos() > 0);
        let seconds = wait.as_secs().saturating_add(more);
        headers.insert(RETRY_AFTER, seconds.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delay_is_rounded_up_and_replaces_all_others() {
        for (wait, header) in [
            (Some(Duration::from_millis(1001)), Some("2")),
            (Some(Duration::from_secs(3)), Some("3")),
            (Some(Duration::from_nanos(1)), Some("1")),
            (Some(Duration::ZERO), None),
            (Some(Duration::MAX), Some("18446744073709551615")),
            (None, None),
        ] {
            let mut headers = HeaderMap::new();
            for name in ["retry-after", "retry-after-ms", "x-ms-retry-after-ms"] {
                headers.append(name, "77".parse().expect("valid"));
                headers.append(name, "78".parse().expect("valid"));
            }
            set_retry_after(&mut headers, wait);
            let value = headers.get(RETRY_AFTER);
            let value = value.map(|value| value.to_str().expect("text"));
            assert_eq!(value, header, "{wait:?}");
            assert_eq!(headers.len(), usize::from(header.is_some()));
        }
    }
}
