//! Recorded replies of each provider, against the classifier and through a stack over real sockets.
//!
//! A file of `tests/dialects` begins with a line such as `# rate_limited key 30s B/2`: class,
//! scope, hint and the outcome for the caller. A hint of `~20s` is relative to the present. The
//! path of another operation than a chat completion follows. A request is streamed if the file name
//! begins with `sse`.
//!
//! | Outcome | Meaning |
//! |---|---|
//! | `A` | the reply is final, and the endpoint gets one attempt |
//! | `B` | another endpoint serves the request |
//! | `B/A` | the same, and the next request goes to the first endpoint again |
//! | `B/2` | the same, and the next request does not go to the first endpoint |
//! | `ctx` | only an endpoint with a larger context may serve the request; the next goes to the first |

use std::future::ready;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use steadfast_core::layer::Observers;
use steadfast_core::{BoxError, Class, Classified, Scope, Verdict};
use tower::{ServiceExt, service_fn};
use tower_layer::Layer;

use super::reply::{Outcome, Reply};
use super::server::Server;
use crate::answers::{Answers, StreamMode};
use crate::body::{AnyBody, RequestBody, ResponseBody};
use crate::edge::{EdgeLayer, Memory, Settings, Shared};
use crate::notes::Notes;
use crate::timeouts::Timeouts;
use crate::{AiStack, Endpoint};

/// All files, in the order of their names.
fn files() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialects");
    let mut all = Vec::new();
    for folder in std::fs::read_dir(root).expect("the replies") {
        let folder = folder.expect("a folder").path();
        if !folder.ends_with("good") {
            let files = std::fs::read_dir(folder).expect("a folder");
            all.extend(files.map(|file| file.expect("a file").path()));
        }
    }
    // A reply that cannot be decoded has the class of its head.
    let is_read = |file: &PathBuf| cfg!(feature = "decode") || !file.ends_with(ENCODED);
    all.retain(is_read);
    all.sort();
    all
}

/// An encoded reply.
const ENCODED: &str = "429-gzip-although-identity.http";

fn request(reply: &Reply) -> Request<String> {
    let stream = reply.streamed;
    let body = format!(
        r#"{{"model":"m","messages":[{{"role":"user","content":"Hi"}}],"store":false,"stream":{stream}}}"#
    );
    let request = Request::post(&reply.path).header("content-type", "application/json");
    request.body(body).expect("a request")
}

/// Returns the verdict of the edge on a reply.
async fn classify(reply: &Reply) -> Verdict {
    let (head, body) = request(reply).into_parts();
    let body = RequestBody::new(AnyBody::new(Full::from(body)), 1024);
    let body = match reply.streamed {
        true => Notes::STREAMING.write(body),
        false => body,
    };
    let request = Request::from_parts(head, body);
    let endpoint = Endpoint::new("a", "http://a.test").expect("an endpoint");
    let shared = Shared {
        timeouts: Timeouts::DEFAULT,
        answers: Answers::Checked,
        streams: StreamMode::Direct,
        observers: Observers::new(),
        memory: Memory::default(),
    };
    let settings = Arc::new(Settings::new(&endpoint, shared));
    let client = service_fn(|_| ready(Ok::<_, BoxError>(reply.response())));
    match (EdgeLayer { settings })
        .layer(client)
        .oneshot(request)
        .await
    {
        Ok(response) => steadfast_core::layer::verdict_of(Ok(&response)),
        Err(error) => Classified::find(&*error).expect("a verdict").verdict(),
    }
}

fn check_verdict(reply: &Reply, verdict: Verdict) -> Result<(), String> {
    let scope = match verdict.scope() {
        Scope::Key => "key",
        Scope::Request => "request",
        _ => "endpoint",
    };
    let found = (verdict.class().as_str(), scope);
    let expected = (&*reply.class, &*reply.scope);
    if found != expected {
        return Err(format!("{found:?}, not {expected:?}"));
    }
    let (hint, tolerance) = reply.hint;
    let close = match (verdict.hint(), hint) {
        (Some(found), Some(hint)) => found.abs_diff(hint) <= tolerance,
        (found, hint) => found == hint,
    };
    if !close {
        return Err(format!("hint {:?}, not {hint:?}", verdict.hint()));
    }
    Ok(())
}

/// The text of an answer, or its error.
async fn ask(ai: &AiStack, reply: &Reply) -> String {
    let text = async |response: Response<ResponseBody>| {
        Ok(response.into_body().collect().await?.to_bytes())
    };
    let answer: Result<Bytes, BoxError> = match ai.send(request(reply)).await {
        Ok(response) => text(response).await,
        Err(error) => Err(error),
    };
    match answer {
        Ok(text) => String::from_utf8_lossy(&text).into_owned(),
        Err(error) => format!("{error}"),
    }
}

/// Sends the request through a stack over two endpoints. Returns the difference from `outcome`.
async fn check_stack(reply: &Reply, outcome: Outcome, larger: bool) -> Result<(), String> {
    let (a, b) = (
        Server::start(reply).await,
        Server::start(&reply.good()).await,
    );
    let endpoint = |name, server: &Server| Endpoint::new(name, &server.url()).expect("a URL");
    let ai = AiStack::builder()
        .endpoint(endpoint("a", &a))
        .endpoint(endpoint("b", &b).larger_context(larger))
        .build()
        .expect("a stack");
    let text = ask(&ai, reply).await;
    let (expected, is_b) = match outcome {
        Outcome::Final => ((1, 0), false),
        _ => ((1, 1), true),
    };
    if (a.attempts(), b.attempts()) != expected {
        return Err(format!(
            "attempts {:?}: {text}",
            (a.attempts(), b.attempts())
        ));
    }
    if text.contains("fine") != is_b {
        return Err(format!("the answer is {text}"));
    }
    let next = match outcome {
        Outcome::Final | Outcome::Other => return Ok(()),
        Outcome::OtherThenSame => 2,
        Outcome::OtherThenOther => 1,
    };
    ask(&ai, reply).await;
    let attempts = a.attempts();
    (attempts == next).then_some(()).ok_or_else(|| {
        format!("attempts at the first endpoint after the second request: {attempts}")
    })
}

async fn check(reply: &Reply) -> Result<(), String> {
    match reply.outcome {
        Some(outcome) => check_stack(reply, outcome, false).await,
        None => {
            check_stack(reply, Outcome::Final, false).await?;
            check_stack(reply, Outcome::OtherThenSame, true).await
        }
    }
}

/// The classifier alone: it is fast, and finds most faults.
#[tokio::test(start_paused = true)]
async fn recorded_reply_has_its_class() {
    let mut faults = Vec::new();
    for file in files() {
        let reply = Reply::read(&file);
        if let Err(fault) = check_verdict(&reply, classify(&reply).await) {
            faults.push(format!("{}: {fault}", file.display()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[tokio::test]
async fn recorded_reply_has_its_outcome_through_a_stack() {
    let (files, mut faults) = (files(), Vec::new());
    for file in &files {
        if let Err(fault) = check(&Reply::read(file)).await {
            faults.push(format!("{}: {fault}", file.display()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(files.len() >= 150, "{} files", files.len());
}

/// A name that does not exist would make a file useless.
#[test]
fn class_of_each_file_exists() {
    for file in files() {
        let reply = Reply::read(&file);
        assert!(reply.class.parse::<Class>().is_ok(), "{}", file.display());
    }
}
