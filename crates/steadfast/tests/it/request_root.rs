//! The request root decides about paths in the same way as `/v1`.

use http::{Request, Response};
use steadfast::{AiStack, BoxError};

use crate::support::{client_with_first_endpoint_answering, with_two_endpoints};

const ROOTS: [&str; 4] = ["/v1", "/api", "/api/v2/", ""];

/// Sends `POST ROOT/PATH` while the first endpoint answers with `head`. Returns the status of the
/// answer and the URIs that were sent.
async fn post_below(
    root: &str,
    path: &str,
    head: http::response::Builder,
) -> Result<(u16, Vec<String>), BoxError> {
    let (client, sent) = client_with_first_endpoint_answering(head);
    let ai = with_two_endpoints(AiStack::builder())
        .balance(|balance| balance.request_root(root))
        .build_on(client)?;
    let uri = format!("{}{path}", root.trim_end_matches('/'));
    let request = Request::post(uri).body("{}".to_owned())?;
    let response = ai.send(request).await?;
    Ok((response.status().as_u16(), sent.all()))
}

/// Before, only paths below `/v1` were recognized. Below another request root a file was uploaded
/// to any endpoint, and was not found later.
#[tokio::test(start_paused = true)]
async fn file_upload_below_any_request_root_stays_at_first_endpoint() {
    for root in ROOTS {
        let limited = Response::builder().status(429).header("retry-after", "600");
        let (status, sent) = post_below(root, "/files", limited)
            .await
            .expect("an answer");
        assert_eq!(status, 429, "{root:?}");
        assert_eq!(sent, ["http://first.test/base/files"], "{root:?}");
    }
}

/// Before, a completion below another request root counted as unsafe to repeat, and its caller got
/// the `500`.
#[tokio::test(start_paused = true)]
async fn failed_completion_below_any_request_root_is_repeated() {
    for root in ROOTS {
        let failed = Response::builder().status(500);
        let (status, sent) = post_below(root, "/chat/completions", failed)
            .await
            .expect("an answer");
        assert_eq!(status, 200, "{root:?}");
        let second = "http://second.test/base/chat/completions";
        assert_eq!(sent.last().map(String::as_str), Some(second), "{root:?}");
    }
}

/// Callers may send `/v1` to endpoints without it in their base URI.
#[tokio::test(start_paused = true)]
async fn api_root_behind_another_request_root_is_skipped() {
    for root in ["/api", ""] {
        let failed = Response::builder().status(500);
        let (status, sent) = post_below(root, "/v1/chat/completions", failed)
            .await
            .expect("an answer");
        assert_eq!(status, 200, "{root:?}");
        let second = "http://second.test/base/v1/chat/completions";
        assert_eq!(sent.last().map(String::as_str), Some(second), "{root:?}");
    }
}
