//! The layer next to the client of an endpoint: it writes the model's name there.
//!
//! It is below the edge, so the evidence of errors and the shape of answers come from the request
//! as the caller sent it. The layers above keep that body for further attempts, and each attempt
//! writes its own name into it.
//!
//! The body is replaced by slices around the new name. A given `content-length` is corrected,
//! because a client would otherwise wait for bytes that never come.

use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Uri};
use steadfast_core::EndpointName;
use steadfast_models::Target;
use tower_layer::Layer;
use tower_service::Service;

use crate::body::{AnyBody, RequestBody};
use crate::routing::pieces::Pieces;
use crate::routing::plan::{Place, Plan, Routed};

/// Applies [`RouteService`] to the client of one endpoint.
#[derive(Clone, Debug)]
pub(crate) struct RouteLayer(EndpointName);

/// Writes the name of the model at one endpoint into each request with a route.
#[derive(Clone, Debug)]
pub(crate) struct RouteService<S> {
    /// The client.
    inner: S,
    /// The name of the endpoint.
    endpoint: EndpointName,
}

impl RouteLayer {
    /// Creates the layer of one endpoint.
    pub(crate) fn new(endpoint: EndpointName) -> Self {
        Self(endpoint)
    }
}

impl<S> Layer<S> for RouteLayer {
    type Service = RouteService<S>;

    fn layer(&self, inner: S) -> RouteService<S> {
        RouteService {
            inner,
            endpoint: self.0.clone(),
        }
    }
}

impl<S: Service<Request<RequestBody>>> Service<Request<RequestBody>> for RouteService<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    /// Writes the name of the model at this endpoint into the path and the body.
    fn call(&mut self, mut request: Request<RequestBody>) -> S::Future {
        if let Some(Routed(plan)) = request.extensions_mut().remove() {
            let mut targets = plan.route.targets().iter();
            let name: &str = self.endpoint.as_ref();
            // Stored state stays at its endpoint, which may be none of the targets.
            if let Some(target) = targets.find(|target| target.endpoint() == name) {
                plan.write(target, &mut request);
            }
        }
        self.inner.call(request)
    }
}

impl Plan {
    /// Writes the model of a target into a request.
    fn write(&self, target: &Target, request: &mut Request<RequestBody>) {
        let model = target.model(&self.rest);
        match &self.place {
            Place::Path(from_end, len) if model != self.name => {
                replace_in_path(request.uri_mut(), *from_end, *len, &encoded(&model));
            }
            Place::Path(..) => {}
            _ if target.is_deployment() => {
                // A caller chooses a part of a model with `*`, and must not leave the deployments.
                let text = format!("/deployments/{}", encoded(&model).replace('/', "%2F"));
                replace_in_path(request.uri_mut(), self.path_len, 0, &text);
            }
            _ if model == self.name => {}
            Place::Json(data, places) => {
                let new = serde_json::Value::from(&*model).to_string();
                replace_body(request, Pieces::replace(data, places, &new.into()));
            }
            Place::Form(data, places) => {
                let new = Bytes::copy_from_slice(model.as_bytes());
                replace_body(request, Pieces::replace(data, places, &new));
            }
        }
    }
}

/// Replaces the body of a request, and its length if it is given.
fn replace_body(request: &mut Request<RequestBody>, pieces: Pieces) {
    if let Some(length) = request.headers_mut().get_mut(CONTENT_LENGTH) {
        *length = HeaderValue::from(pieces.len());
    }
    // A limit of zero: the layers above keep the body for further attempts.
    *request.body_mut() = RequestBody::new(AnyBody::new(pieces), 0);
}

/// Replaces `len` bytes of a path, `from_end` bytes before its end. The query stays.
///
/// An endpoint only puts its base in front of a path, so distances from the end stay.
fn replace_in_path(uri: &mut Uri, from_end: usize, len: usize, new: &str) {
    let path = uri.path();
    let Some(start) = path.len().checked_sub(from_end) else {
        return;
    };
    let mut text = format!("{}{new}{}", &path[..start], &path[start + len..]);
    if let Some(query) = uri.query() {
        text.push('?');
        text.push_str(query);
    }
    let mut parts = uri.clone().into_parts();
    // The model is a value of the configuration, and is encoded. So the target stays valid.
    if let Ok(path) = PathAndQuery::try_from(text) {
        parts.path_and_query = Some(path);
        if let Ok(changed) = Uri::from_parts(parts) {
            *uri = changed;
        }
    }
}

/// Encodes the characters of a model that have a meaning in a path. A slash stays: a relay names
/// models with it.
fn encoded(model: &str) -> String {
    let mut text = String::with_capacity(model.len());
    for byte in model.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'@' | b'/' => {
                text.push(char::from(byte));
            }
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn part_of_path_is_replaced_from_its_end() {
        for (uri, from_end, len, new, expected) in [
            (
                "http://a/v1/models/x:gen?alt=sse",
                5,
                1,
                "long",
                "http://a/v1/models/long:gen?alt=sse",
            ),
            (
                "http://a/openai/chat/completions?v=1",
                17,
                0,
                "/deployments/d",
                "http://a/openai/deployments/d/chat/completions?v=1",
            ),
            ("http://a/chat", 99, 0, "x", "http://a/chat"),
        ] {
            let mut uri: Uri = uri.parse().expect("a URI");
            replace_in_path(&mut uri, from_end, len, new);
            assert_eq!(uri.to_string(), expected);
        }
    }

    #[test]
    fn model_in_path_is_encoded() {
        assert_eq!(encoded("a/b c?d#é:1"), "a/b%20c%3Fd%23%C3%A9%3A1");
    }
}
