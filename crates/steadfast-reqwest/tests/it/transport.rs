//! A client of reqwest below a stack.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use steadfast_core::{BoxError, Class, Classified, find_error};
use steadfast_reqwest::Transport;
use steadfast_testkit::{Reply, Upstream};
use tokio::net::TcpListener;
use tower::ServiceExt;

async fn send(
    client: reqwest::Client,
    uri: &str,
) -> Result<http::Response<reqwest::Body>, BoxError> {
    let body = Full::<Bytes>::from(r#"{"model":"m"}"#);
    let request = Request::post(uri).body(body).expect("a request");
    Transport::new(client).oneshot(request).await
}

/// Returns an address of loopback on which nothing listens.
async fn closed_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    format!("http://{address}")
}

fn class(error: &BoxError) -> Option<Class> {
    Classified::find(&**error).map(|error| error.verdict().class())
}

#[tokio::test]
async fn request_and_response_pass_unchanged() {
    let upstream = Upstream::start()
        .await
        .expect("an upstream")
        .named("primary");
    let uri = format!("{}/chat/completions?limit=5", upstream.url());
    let response = send(reqwest::Client::new(), &uri)
        .await
        .expect("a response");
    assert_eq!(response.headers()["x-upstream"], "primary");
    let answer = response
        .into_body()
        .collect()
        .await
        .expect("a body")
        .to_bytes();
    assert!(answer.starts_with(b"{"));

    let received = &upstream.log()[0];
    assert_eq!(received.body, r#"{"model":"m"}"#);
    assert!(received.path_and_query.ends_with("?limit=5"));
    assert_eq!(
        received.header("content-length"),
        Some("13"),
        "the length of the body is known"
    );
}

/// Only before the connection exists, nothing can have been processed.
#[tokio::test]
async fn each_error_of_reqwest_has_its_class() {
    let upstream = Upstream::start().await.expect("an upstream");
    let http = reqwest::Client::new();

    let refused = send(http.clone(), &closed_port().await).await.unwrap_err();
    assert_eq!(class(&refused), Some(Class::Connect));
    let unknown = send(http.clone(), "http://name.invalid/")
        .await
        .unwrap_err();
    assert_eq!(class(&unknown), Some(Class::Connect));
    let relative = send(http.clone(), "/v1/models").await.unwrap_err();
    assert_eq!(class(&relative), Some(Class::CallerFault));

    upstream.next(Reply::reset());
    let lost = send(http, &upstream.url()).await.unwrap_err();
    assert_eq!(class(&lost), Some(Class::Transport));

    upstream.set(Reply::silence());
    let hasty = reqwest::Client::builder().timeout(Duration::from_millis(50));
    let late = send(hasty.build().expect("a client"), &upstream.url())
        .await
        .unwrap_err();
    assert_eq!(class(&late), Some(Class::Timeout));
}

/// A key in a query reached the logs of applications.
#[tokio::test]
async fn error_shows_no_query() {
    let uri = format!("{}/models?key=sk-0123456789", closed_port().await);
    let error = send(reqwest::Client::new(), &uri).await.unwrap_err();
    let source = find_error::<reqwest::Error>(&*error).expect("the error of reqwest");
    for text in [format!("{error}"), format!("{error:?}"), source.to_string()] {
        assert!(!text.contains("sk-0123456789"), "{text}");
    }
}

#[tokio::test]
async fn dropped_future_ends_attempt() {
    let upstream = Upstream::start().await.expect("an upstream");
    upstream.set(Reply::silence());
    let uri = upstream.url();
    let sent = send(reqwest::Client::new(), &uri);
    assert!(
        tokio::time::timeout(Duration::from_millis(100), sent)
            .await
            .is_err()
    );
    for _ in 0..100 {
        if upstream.connections() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{} connections after the drop", upstream.connections());
}
