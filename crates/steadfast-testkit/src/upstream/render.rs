//! The HTTP answer of a reply.

use std::sync::Arc;
use std::time::SystemTime;

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use serde_json::Value;

use super::guard::StreamGuard;
use super::link::Link;
use super::state::State;
use crate::received::Received;
use crate::reply::{Answer, Plan, Reply, ReplyBody};
use crate::wire::answers::answer;
use crate::wire::errors::{error_body, quota_spent, unknown_path};
use crate::wire::events::Events;
use crate::wire::refusal::refusal;
use crate::wire::shape::Shape;
use crate::wire::subject::Subject;

/// Status, headers and body of an answer, before the reply's own are put over them.
struct Draft {
    status: StatusCode,
    headers: HeaderMap,
    content: Content,
}

/// The body of an answer before it is sent.
enum Content {
    Json(Value),
    Stream(Shape, Subject),
}

/// Writes the answer that `reply` describes.
pub(crate) fn render(
    reply: &Reply,
    received: &Received,
    number: u64,
    link: &Arc<Link>,
    state: &Arc<State>,
) -> Response<ReplyBody<StreamGuard>> {
    let name = state.name();
    let Draft {
        status,
        mut headers,
        content,
    } = draft(reply, received, number, &name);
    if let Ok(name) = HeaderValue::from_bytes(name.as_bytes()) {
        headers.insert("x-upstream", name);
    }
    if matches!(reply.answer, Answer::Ok) {
        state.announce(&mut headers);
    }
    let (plan, streams) = match (&reply.body, &content) {
        (Some(body), _) => (Plan::whole(body.clone(), &reply.stream), false),
        (None, Content::Json(body)) => (Plan::whole(body.to_string().into(), &reply.stream), false),
        (None, Content::Stream(shape, subject)) => {
            let events = Events {
                shape: *shape,
                subject,
            };
            (Plan::events(events, &reply.stream), true)
        }
    };
    let kind = if streams {
        "text/event-stream"
    } else {
        "application/json"
    };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    if streams {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    }
    replace(&mut headers, &reply.headers);

    state.count(|counts| counts.count_answer(status));
    let guard = match streams {
        true => StreamGuard::counted(link.clone(), state.clone()),
        false => StreamGuard::uncounted(link.clone()),
    };
    let mut response = Response::new(ReplyBody::new(plan, guard));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Chooses head and content of an answer.
fn draft(reply: &Reply, received: &Received, number: u64, name: &str) -> Draft {
    let mut headers = HeaderMap::new();
    let (status, body) = match reply.answer {
        Answer::QuotaSpent(dialect) => quota_spent(dialect),
        Answer::RateLimited(hint) => {
            let body;
            (headers, body) = refusal(hint, SystemTime::now());
            (StatusCode::TOO_MANY_REQUESTS, body)
        }
        Answer::Status(status) => (
            status,
            error_body(reply.dialect.unwrap_or_default(), status),
        ),
        Answer::Ok | Answer::Reset | Answer::Silence => {
            let path = received.path();
            let Some(shape) = Shape::of(reply.dialect, &received.method, path) else {
                let body = unknown_path(&received.method, path);
                // A reply with a body of its own is the answer on any path.
                let is_known = reply.body.is_some();
                return Draft {
                    status: if is_known {
                        StatusCode::OK
                    } else {
                        StatusCode::NOT_FOUND
                    },
                    headers,
                    content: Content::Json(body),
                };
            };
            let subject = subject(reply, received, number, name);
            let content = match shape.wants_stream(path, &subject.request) {
                true => Content::Stream(shape, subject),
                false => Content::Json(answer(shape, &subject)),
            };
            return Draft {
                status: StatusCode::OK,
                headers,
                content,
            };
        }
    };
    Draft {
        status,
        headers,
        content: Content::Json(body),
    }
}

fn subject(reply: &Reply, received: &Received, number: u64, name: &str) -> Subject {
    Subject {
        upstream: name.to_owned(),
        number,
        // A body that is not JSON is accepted, since layers are tested with any body.
        request: serde_json::from_slice(&received.body).unwrap_or_default(),
        prompt_tokens: (received.body.len() / 4).max(1),
        chunks: reply.stream.chunks,
    }
}

/// Puts all values of `new` in the place of those that `headers` has under the same names.
fn replace(headers: &mut HeaderMap, new: &HeaderMap) {
    for name in new.keys() {
        headers.remove(name);
    }
    for (name, value) in new {
        headers.append(name, value.clone());
    }
}
