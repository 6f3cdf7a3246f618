//! Endpoints in this process.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body::Body;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use steadfast::{AiStackBuilder, BoxError, Endpoint, RequestBody};
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceExt};

/// A client in this process. The tests share its type, so that the stack is compiled once.
pub(crate) type LocalClient =
    BoxCloneSyncService<Request<RequestBody>, Response<UnsyncBoxBody<Bytes, BoxError>>, BoxError>;

/// Hides the type of a client.
pub(crate) fn local_client<C, B>(client: C) -> LocalClient
where
    C: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + Sync + 'static,
    C::Error: Into<BoxError>,
    C::Future: Send + 'static,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let client = client
        .map_response(|response| response.map(|body| body.map_err(Into::into).boxed_unsync()))
        .map_err(Into::into);
    BoxCloneSyncService::new(client)
}

/// The URIs that a client has sent, in their order.
#[derive(Clone, Debug, Default)]
pub(crate) struct SentUris(Arc<Mutex<Vec<String>>>);

impl SentUris {
    pub(crate) fn push(&self, uri: &Uri) {
        self.0.lock().expect("a lock").push(uri.to_string());
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().expect("a lock").clone()
    }
}

/// A client that answers with `head` for the endpoint `first.test`, and with `200` for others.
pub(crate) fn client_with_first_endpoint_answering(
    head: http::response::Builder,
) -> (LocalClient, SentUris) {
    let first = head.body(Full::default()).expect("a response");
    let sent = SentUris::default();
    let seen = sent.clone();
    let client = tower::service_fn(move |request: Request<RequestBody>| {
        seen.push(request.uri());
        let is_first = request.uri().host() == Some("first.test");
        let response = if is_first {
            first.clone()
        } else {
            Response::new(Full::from(r#"{"choices":[]}"#))
        };
        async move { Ok::<_, Infallible>(response) }
    });
    (local_client(client), sent)
}

/// Adds the endpoints `first` and `second`.
pub(crate) fn with_two_endpoints(builder: AiStackBuilder) -> AiStackBuilder {
    let endpoint =
        |name: &str| Endpoint::new(name, &format!("http://{name}.test/base")).expect("an endpoint");
    builder
        .endpoint(endpoint("first"))
        .endpoint(endpoint("second"))
}

/// Returns a request with JSON.
#[cfg(feature = "models")]
pub(crate) fn post(path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let request = Request::post(path).header("content-type", "application/json");
    request.body(Full::new(body.into())).expect("a request")
}

/// Reads a body.
#[cfg(feature = "models")]
pub(crate) async fn text(response: Response<steadfast::ResponseBody>) -> String {
    let body = response.into_body().collect().await.expect("a body");
    String::from_utf8(body.to_bytes().into()).expect("text")
}
