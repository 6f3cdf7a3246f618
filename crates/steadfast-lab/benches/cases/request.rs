//! The request of all cases.

use bytes::Bytes;
use http::Request;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http_body_util::Full;

/// The body of requests and responses.
pub(crate) type Body = Full<Bytes>;

const SIZE: usize = 1024;
/// The model of all requests.
pub(crate) const MODEL: &str = "m";

/// Returns the request, of which each caller sends copies. Without a body it is a chat completion.
pub(crate) fn template(body: Option<Bytes>) -> Request<Body> {
    Request::post("http://api.test/v1/chat/completions")
        .header(CONTENT_TYPE, "application/json")
        .header(ACCEPT, "application/json")
        .header(AUTHORIZATION, "Bearer sk-0123456789abcdef0123456789abcdef")
        .header(USER_AGENT, "steadfast-lab/0.1")
        .header("x-request-id", "5f2c7a52-1d0e-4a54-9a0c-52d4c4b1a7f3")
        .body(Full::new(body.unwrap_or_else(chat)))
        .expect("a valid request")
}

/// Returns a chat completion that is as long as it should be.
pub(crate) fn chat() -> Bytes {
    let start = format!(r#"{{"model":"{MODEL}","messages":[{{"role":"user","content":""#);
    let end = r#""}]}"#;
    let text = "x".repeat(SIZE - start.len() - end.len());
    format!("{start}{text}{end}").into()
}
