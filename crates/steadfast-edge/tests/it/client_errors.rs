//! Errors of real clients on top of hyper, with a breaker or a retry layer alone.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use steadfast_breaker::{CircuitBreaker, CircuitBreakerLayer};
use steadfast_core::{BoxError, BreakerState, Class, Classified, ClassifyLayer};
use steadfast_edge::ClientErrors;
use steadfast_retry::{Backoff, ReplayBody, RetryOn429Layer};
use steadfast_testkit::{Reply, Upstream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tower::{ServiceBuilder, ServiceExt, service_fn};

const MS: Duration = Duration::from_millis(1);

fn class_of(error: &BoxError) -> Class {
    let classified = Classified::find(&**error).expect("classified");
    classified.verdict().class()
}

/// Five oversize uploads of one caller opened the breaker for all callers.
#[tokio::test]
async fn oversize_uploads_of_one_caller_leave_breaker_closed() {
    let upstream = Upstream::start().await.expect("a port");
    let breaker = CircuitBreaker::builder()
        .consecutive_failures(5)
        .build()
        .unwrap();
    let client = Client::builder(TokioExecutor::new())
        .build::<_, Limited<Full<Bytes>>>(HttpConnector::new());
    let client = ServiceBuilder::new()
        .layer(CircuitBreakerLayer::http(breaker.clone()))
        .layer(ClassifyLayer::new(ClientErrors))
        .service(client);
    let upload = |size| {
        let body = Limited::new(Full::from(vec![b'x'; size]), 1_000);
        Request::post(upstream.url()).body(body).unwrap()
    };
    for _ in 0..20 {
        let error = client
            .clone()
            .oneshot(upload(2_000))
            .await
            .expect_err("too large");
        assert_eq!(class_of(&error), Class::CallerFault);
        assert!(steadfast_core::find_error::<http_body_util::LengthLimitError>(&*error).is_some());
    }
    assert_eq!(breaker.state(), BreakerState::Closed);
    let response = client.oneshot(upload(10)).await.expect("an answer");
    response.into_body().collect().await.expect("a whole body");
}

/// A `POST` that was never sent was not repeated: the failed lookup was `Transport`.
#[tokio::test]
async fn unsent_post_is_repeated_after_failed_lookup() {
    let upstream = Upstream::start().await.expect("a port");
    let (address, tries) = (upstream.addr(), Arc::new(AtomicUsize::new(0)));
    let counted = tries.clone();
    let connector = service_fn(move |_: Uri| {
        let first = counted.fetch_add(1, Ordering::Relaxed) == 0;
        Box::pin(async move {
            match first {
                true => Err(io::Error::other("no such host")),
                false => TcpStream::connect(address).await.map(TokioIo::new),
            }
        })
    });
    let client = Client::builder(TokioExecutor::new()).build(connector);
    let client = ServiceBuilder::new()
        .layer(RetryOn429Layer::new().backoff(Backoff::new(MS, 2 * MS).unwrap()))
        .layer(ClassifyLayer::new(ClientErrors))
        .service(client);
    let request = Request::post("http://unknown.test/v1/embeddings").body(Full::<Bytes>::from("x"));
    let response = client.oneshot(request.unwrap()).await.expect("an answer");
    assert_eq!(response.status(), 200);
    assert_eq!(tries.load(Ordering::Relaxed), 2);
    assert_eq!(upstream.counts().requests, 1);
}

/// A name of this kind never resolves, see RFC 6761. A machine without a resolver fails alike.
#[tokio::test]
async fn failed_lookup_of_the_system_is_connect() {
    let client = Client::builder(TokioExecutor::new()).build(HttpConnector::new());
    let client = ServiceBuilder::new()
        .layer(ClassifyLayer::new(ClientErrors))
        .service(client);
    let request = Request::post("http://steadfast.invalid/").body(Full::<Bytes>::from("x"));
    let error = client.oneshot(request.unwrap()).await.expect_err("no host");
    assert_eq!(class_of(&error), Class::Connect);
}

/// The way in which a server takes back its first stream.
#[derive(Clone, Copy, Debug)]
enum TakesBack {
    Connection,
    Stream,
}

/// A `GOAWAY` of a server that has processed no stream.
const NONE_PROCESSED: [u8; 17] = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// A frame of data for the connection itself, to which the client answers with a `GOAWAY`.
const INVALID: [u8; 9] = [0; 9];

/// Reads frames until the head of a request, and sends a last frame.
async fn end_with(mut stream: TcpStream, frame: &[u8]) -> io::Result<()> {
    const PREFACE: usize = 24;
    const HEADERS: u8 = 1;
    stream.read_exact(&mut [0; PREFACE]).await?;
    stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        stream.read_exact(&mut vec![0; length as usize]).await?;
        if head[3] == HEADERS {
            break;
        }
    }
    stream.write_all(frame).await?;
    // Until the client closes the connection. An earlier end would be a reset.
    stream.read_to_end(&mut Vec::new()).await.map(drop)
}

/// Takes back the first stream, and answers `200` to all others. Returns the number of streams.
async fn refusing_server(how: TakesBack) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    let streams = Arc::new(AtomicUsize::new(0));
    let count = streams.clone();
    tokio::spawn(async move {
        if let TakesBack::Connection = how {
            let (stream, _) = listener.accept().await.expect("a client");
            count.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move { end_with(stream, &NONE_PROCESSED).await });
        }
        while let Ok((stream, _)) = listener.accept().await {
            let count = count.clone();
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.expect("a client");
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    match count.fetch_add(1, Ordering::Relaxed) {
                        0 => respond.send_reset(h2::Reason::REFUSED_STREAM),
                        _ => drop(respond.send_response(Response::new(()), true)),
                    }
                }
            });
        }
    });
    (url, streams)
}

/// A refused stream was `Transport`: its `POST` was not repeated, and the breaker counted it.
#[tokio::test]
async fn refused_stream_of_a_post_is_repeated_and_no_failure() {
    for how in [TakesBack::Stream, TakesBack::Connection] {
        let (url, streams) = refusing_server(how).await;
        let breaker = CircuitBreaker::builder()
            .consecutive_failures(1)
            .build()
            .unwrap();
        let client = Client::builder(TokioExecutor::new())
            .http2_only(true)
            .build::<_, ReplayBody<Full<Bytes>>>(HttpConnector::new());
        let client = ServiceBuilder::new()
            .layer(RetryOn429Layer::new().backoff(Backoff::new(MS, 2 * MS).unwrap()))
            .layer(CircuitBreakerLayer::http(breaker.clone()))
            .layer(ClassifyLayer::new(ClientErrors))
            .service(client);
        let request = Request::post(url).body(Full::<Bytes>::from("x")).unwrap();
        let response = client.oneshot(request).await.expect("an answer");
        assert_eq!(response.status(), 200, "{how:?}");
        assert_eq!(streams.load(Ordering::Relaxed), 2, "{how:?}");
        assert_eq!(breaker.state(), BreakerState::Closed, "{how:?}");
    }
}

/// This end of the connection ended it. The server may have processed the request.
#[tokio::test]
async fn connection_that_breaks_the_protocol_is_transport() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a client");
        end_with(stream, &INVALID).await
    });
    let client = Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build::<_, Full<Bytes>>(HttpConnector::new());
    let client = ServiceBuilder::new()
        .layer(ClassifyLayer::new(ClientErrors))
        .service(client);
    let request = Request::post(url).body(Full::from("x")).unwrap();
    let error = client.oneshot(request).await.expect_err("a broken server");
    assert_eq!(class_of(&error), Class::Transport, "{error:?}");
}

/// The endpoint is not at fault.
#[cfg(unix)]
#[tokio::test]
async fn connect_without_descriptors_is_local() {
    const EMFILE: i32 = 24;
    let connector = service_fn(|_: Uri| {
        Box::pin(async { Err::<TokioIo<TcpStream>, _>(io::Error::from_raw_os_error(EMFILE)) })
    });
    let client = Client::builder(TokioExecutor::new()).build(connector);
    let client = ServiceBuilder::new()
        .layer(ClassifyLayer::new(ClientErrors))
        .service(client);
    let request = Request::post("http://a.test/").body(Full::<Bytes>::from("x"));
    let error = client.oneshot(request.unwrap()).await.expect_err("no file");
    assert_eq!(class_of(&error), Class::Local);
}

#[tokio::test]
async fn lost_connection_is_transport_and_refused_one_connect() {
    let upstream = Upstream::start().await.expect("a port");
    let client = || {
        let client =
            Client::builder(TokioExecutor::new()).build::<_, Full<Bytes>>(HttpConnector::new());
        ServiceBuilder::new()
            .layer(ClassifyLayer::new(ClientErrors))
            .service(client)
    };
    let request = || Request::post(upstream.url()).body(Full::default()).unwrap();
    upstream.set(Reply::reset());
    let error = client().oneshot(request()).await.expect_err("a reset");
    assert_eq!(class_of(&error), Class::Transport);
    upstream.cut_off();
    let error = client()
        .oneshot(request())
        .await
        .expect_err("a closed port");
    assert_eq!(class_of(&error), Class::Connect);
}

#[cfg(feature = "reqwest")]
#[tokio::test]
async fn timeout_and_connect_of_reqwest_have_their_classes() {
    let upstream = Upstream::start().await.expect("a port");
    upstream.set(Reply::silence());
    let client = reqwest::Client::builder().timeout(50 * MS).build().unwrap();
    let send = move |url: String| {
        let client = client.clone();
        let service = service_fn(move |request: Request<String>| {
            let sent = client.get(request.into_body()).send();
            async move { sent.await.map(|_| Response::new(())) }
        });
        let service = ServiceBuilder::new()
            .layer(ClassifyLayer::new(ClientErrors))
            .service(service);
        async move {
            service
                .oneshot(Request::new(url))
                .await
                .expect_err("a failure")
        }
    };
    assert_eq!(class_of(&send(upstream.url()).await), Class::Timeout);
    upstream.cut_off();
    assert_eq!(class_of(&send(upstream.url()).await), Class::Connect);
    assert_eq!(
        class_of(&send("no url".to_owned()).await),
        Class::CallerFault
    );
}
