//! The memory of a stream that is open, beside the client alone.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use allocation_counter::measure;
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use steadfast::{AiStack, BoxError, Endpoint};
use tower::{Service, ServiceExt, service_fn};

const STREAMS: u64 = 200;
/// The bound beyond the memory of the client.
const BOUND: u64 = 4 * 1024;
const TOKEN: &[u8] = b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\" word\"}}]}\n\n";

/// Some tokens, and then nothing for a long time.
struct Open(u8);

impl Body for Open {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(left) = self.0.checked_sub(1) else {
            return Poll::Pending;
        };
        self.0 = left;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(TOKEN)))))
    }
}

fn client<B: Send + 'static>()
-> impl Service<Request<B>, Response = Response<Open>, Error = Infallible, Future: Send>
+ Clone
+ Send
+ Sync {
    service_fn(async |_: Request<B>| {
        let response = Response::builder().header("content-type", "text/event-stream");
        Ok(response.body(Open(3)).expect("a response"))
    })
}

fn request() -> Request<Full<Bytes>> {
    let body = r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"Hi"}]}"#;
    let request = Request::post("/v1/chat/completions");
    request.body(Full::from(body)).expect("a request")
}

/// Opens streams and reads what there is. Returns the memory of each while all are open.
fn memory_of<S, B>(service: &S) -> u64
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone,
    S::Error: std::fmt::Debug,
    B: Body<Error: std::fmt::Debug> + Unpin,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    let runtime = runtime.expect("a runtime");
    let open = async || {
        let response = service.clone().oneshot(request()).await.expect("an answer");
        let mut body = response.into_body();
        for _ in 0..3 {
            body.frame().await.expect("a frame").expect("no error");
        }
        body
    };
    // The state of endpoint and model is created by the first one.
    drop(runtime.block_on(open()));
    let mut bodies = Vec::with_capacity(STREAMS as usize);
    let used = measure(|| {
        runtime.block_on(async {
            for _ in 0..STREAMS {
                bodies.push(open().await);
            }
        });
    });
    let inline = size_of::<B>() as u64;
    u64::try_from(used.bytes_current).expect("they are open") / STREAMS + inline
}

#[test]
fn open_stream_uses_at_most_4_kib_beyond_its_client() {
    let endpoint = Endpoint::new("a", "http://a.test/v1").expect("an endpoint");
    let stack = AiStack::builder().endpoint(endpoint).build_on(client());
    let stack = stack.expect("a stack");
    let ai = stack.clone();
    let server = service_fn(move |request: Request<Full<Bytes>>| {
        let ai = ai.clone();
        async move {
            let response = ai.send(request).await?;
            Ok::<_, BoxError>(ai.with_error_event("/v1/chat/completions", response))
        }
    });
    let bare = memory_of(&client());
    for (name, ours) in [("stack", memory_of(&stack)), ("server", memory_of(&server))] {
        println!("{name}: {ours} bytes for an open stream, {bare} of them for its client");
        assert!(
            ours <= bare + BOUND,
            "{name}: {ours} bytes, the client alone {bare}"
        );
    }
}
