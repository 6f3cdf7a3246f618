//! The answer to `GET /v1/models`: the models of the routes and of all endpoints.
//!
//! All endpoints are read at the same time, each with the failover and the timeouts of any other
//! request but restricted to one endpoint. An endpoint that fails, or that takes more than 5 s, is
//! left out: a client that lists models at its start must not wait for an outage. Patterns such as
//! `openai/*` name no model and are left out as well.
//!
//! A caller that restricts its request to endpoints by its routing options gets their own answer.

use std::borrow::Cow;
use std::collections::HashSet;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};
use steadfast_balance::PoolHandle;
use steadfast_core::{BoxError, Deadline, EndpointName, RoutingOptions};
use steadfast_models::Route;
use tower::ServiceExt;
use tower_service::Service;

use crate::body::{AnyBody, ResponseBody};
use crate::dialect::below;
use crate::operation::API_ROOT;
use crate::scan::is_deeper_than;
use crate::stack::Inner;

/// The time for the list of an endpoint. The others are returned without it.
const MAX_WAIT: Duration = Duration::from_secs(5);
/// The longest list of an endpoint, in bytes.
const MAX_LIST: usize = 8 * 1024 * 1024;
/// The deepest list of an endpoint that is passed on, as for the body of a request.
const MAX_DEPTH: usize = 128;

/// A list of models. Each is the text that an endpoint sent: a tree of it needs up to sixty times
/// as much memory, and the endpoint chooses its form.
#[derive(Deserialize, Serialize)]
struct List {
    /// The type of a list that is sent.
    #[serde(skip_deserializing)]
    object: &'static str,
    /// The models.
    data: Vec<Box<RawValue>>,
}

/// The name of a model.
#[derive(Deserialize)]
struct Named<'a> {
    /// The name.
    #[serde(borrow)]
    id: Cow<'a, str>,
}

/// Answers lists of models, and passes all other requests.
#[derive(Clone)]
pub(crate) struct ModelList {
    /// Sends the requests for the lists of the endpoints, too.
    inner: Inner,
    /// The names of the routes, without patterns.
    names: Arc<[String]>,
    /// The endpoints and the request root.
    endpoints: PoolHandle,
}

impl ModelList {
    /// Wraps a stack with these routes.
    pub(crate) fn new(inner: Inner, routes: &[Route], endpoints: PoolHandle) -> Self {
        let names = routes.iter().flat_map(Route::names);
        let exact = names.filter(|name| !name.ends_with('*')).map(str::to_owned);
        Self {
            inner,
            names: exact.collect(),
            endpoints,
        }
    }

    /// Returns whether a request is one for the list of models.
    fn is_list<B>(&self, request: &Request<B>) -> bool {
        let path = self.endpoints.strip_request_root(request.uri().path());
        let path = below(path, API_ROOT).unwrap_or(path);
        // A caller that names its endpoints gets their answer.
        let own = RoutingOptions::of(request.extensions());
        request.method() == Method::GET
            && path.trim_end_matches('/') == "/models"
            && !own.is_some_and(RoutingOptions::is_restricted)
    }
}

impl Service<Request<AnyBody>> for ModelList {
    type Response = Response<ResponseBody>;
    type Error = BoxError;
    type Future = Pending<Result<Response<ResponseBody>, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<AnyBody>) -> Self::Future {
        if !self.is_list(&request) {
            return self.inner.call(request);
        }
        // The readiness of this handle serves no request, and is not held for the answers.
        let this = self.clone();
        Box::pin(async move { this.list(request).await })
    }
}

impl ModelList {
    /// Reads the lists of all endpoints at the same time, and merges them.
    async fn list(self, request: Request<AnyBody>) -> Result<Response<ResponseBody>, BoxError> {
        let (mut head, _) = request.into_parts();
        let deadline = Deadline::after(MAX_WAIT);
        let of_caller = Deadline::of(&head.extensions);
        let deadline = of_caller.map_or(deadline, |own| own.min(deadline));
        head.extensions.insert(deadline);
        let endpoints = self.endpoints.status().into_iter();
        let lists = endpoints.map(|endpoint| self.one(&head, endpoint.name));
        let answers = all(lists.collect()).await;
        if self.names.is_empty() && answers.iter().all(Result::is_err) {
            // No endpoint has a list, so the refusal of one is the answer.
            let request = Request::from_parts(head, AnyBody::default());
            return self.inner.oneshot(request).await;
        }
        let lists = answers.into_iter().filter_map(Result::ok);
        Ok(respond(&merged(&self.names, lists)))
    }

    /// Returns a future of the list of one endpoint.
    fn one(&self, head: &Parts, endpoint: EndpointName) -> Pending<Result<List, BoxError>> {
        let mut request = Request::from_parts(head.clone(), AnyBody::default());
        let options = RoutingOptions::of(&head.extensions).cloned();
        let options = options.unwrap_or_default().only(endpoint);
        request.extensions_mut().insert(options);
        Box::pin(read(self.inner.clone(), request))
    }
}

/// A future on the heap.
type Pending<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Reads the list of one endpoint.
async fn read(inner: Inner, request: Request<AnyBody>) -> Result<List, BoxError> {
    let response = inner.oneshot(request).await?;
    if !response.status().is_success() {
        return Err(response.status().to_string().into());
    }
    let body = Limited::new(response.into_body(), MAX_LIST)
        .collect()
        .await?;
    let body = body.to_bytes();
    if is_deeper_than(&body, MAX_DEPTH) {
        return Err("a list of models that is too deep".into());
    }
    Ok(serde_json::from_slice(&body)?)
}

/// Waits for all futures. They run at the same time.
async fn all<T>(mut futures: Vec<Pending<T>>) -> Vec<T> {
    let mut outcomes: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    poll_fn(|cx| {
        for (future, outcome) in futures.iter_mut().zip(&mut outcomes) {
            if outcome.is_none() {
                if let Poll::Ready(value) = future.as_mut().poll(cx) {
                    *outcome = Some(value);
                }
            }
        }
        match outcomes.iter().all(Option::is_some) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
    outcomes.into_iter().flatten().collect()
}

/// Creates the response with these models.
fn respond(list: &List) -> Response<ResponseBody> {
    let body = serde_json::to_string(list).expect("each model is valid JSON");
    let length = HeaderValue::from(body.len());
    let mut response = Response::new(ResponseBody::new(Full::<Bytes>::from(body)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CONTENT_LENGTH, length);
    response
}

/// Merges lists. The names of routes come first, and of equal ids the first model counts.
fn merged(names: &[String], lists: impl Iterator<Item = List>) -> List {
    let own = |name| {
        let model = json!({ "id": name, "object": "model", "created": 0, "owned_by": "steadfast" });
        to_raw_value(&model).expect("a tree is valid JSON")
    };
    let mut seen = HashSet::new();
    let mut is_new = |model: &RawValue| {
        let named = serde_json::from_str::<Named<'_>>(model.get());
        named.is_ok_and(|named| seen.insert(named.id.into_owned()))
    };
    let own = names.iter().map(own);
    let all = own.chain(lists.flat_map(|list| list.data));
    List {
        object: "list",
        data: all.filter(|model| is_new(model)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_keep_their_text_and_equal_ids_are_listed_once() {
        let list = |text: &str| serde_json::from_str::<List>(text).expect(text);
        let lists = [
            list(
                r#"{"object":"list","data":[{"id":"a"},{"id":"\u0062", "x":1e3},{"id":7},[],{}]}"#,
            ),
            list(r#"{"data":[{"id":"b"},{"id":"c"}]}"#),
        ];
        let found = merged(&["a".to_owned()], lists.into_iter());
        let texts: Vec<_> = found.data.iter().skip(1).map(|it| it.get()).collect();
        assert_eq!(texts, [r#"{"id":"\u0062", "x":1e3}"#, r#"{"id":"c"}"#]);
        assert!(found.data[0].get().contains("steadfast"));
    }
}
