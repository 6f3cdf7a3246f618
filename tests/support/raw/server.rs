//! A server that answers with raw bytes.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// A server that records each request as bytes, and answers with any bytes.
///
/// It stops if it is dropped. Each connection serves one request, unless the answer returns it.
#[derive(Debug)]
pub struct RawServer {
    addr: SocketAddr,
    requests: Arc<Mutex<Vec<Bytes>>>,
    acceptor: AbortHandle,
}

impl RawServer {
    /// Starts a server. `answer` gets each request and its connection, and returns the connection
    /// to read the next one.
    ///
    /// # Panics
    ///
    /// If loopback has no free port.
    pub async fn start<F, Fut>(answer: F) -> Self
    where
        F: Fn(Bytes, TcpStream) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = io::Result<Option<TcpStream>>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("an address");
        let requests = Arc::<Mutex<Vec<Bytes>>>::default();
        let log = requests.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, log) = (answer.clone(), log.clone());
                tokio::spawn(async move {
                    let mut stream = stream;
                    while let Some(request) = read_request(&mut stream).await {
                        let request = Bytes::from(request);
                        log.lock().expect("no panic").push(request.clone());
                        match answer(request, stream).await {
                            Ok(Some(open)) => stream = open,
                            // The client has gone, or the answer has closed the connection.
                            Ok(None) | Err(_) => return,
                        }
                    }
                });
            }
        });
        Self {
            addr,
            requests,
            acceptor: accepting.abort_handle(),
        }
    }

    /// Starts a server that sends `answer` after each request, and closes the connection.
    pub async fn answering(answer: impl Into<Bytes>) -> Self {
        let answer = answer.into();
        Self::start(move |_, mut stream| {
            let answer = answer.clone();
            async move {
                stream.write_all(&answer).await?;
                stream.shutdown().await?;
                Ok(None)
            }
        })
        .await
    }

    /// Starts a server that sends `answer` after each request, and keeps the connection.
    pub async fn keeping(answer: impl Into<Bytes>) -> Self {
        let answer = answer.into();
        Self::start(move |_, mut stream| {
            let answer = answer.clone();
            async move {
                stream.write_all(&answer).await?;
                Ok(Some(stream))
            }
        })
        .await
    }

    /// Returns the base URL of its API.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.addr)
    }

    /// Returns the requests so far, as bytes.
    ///
    /// # Panics
    ///
    /// Never.
    #[must_use]
    pub fn requests(&self) -> Vec<Bytes> {
        self.requests.lock().expect("no panic").clone()
    }
}

impl Drop for RawServer {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

/// Reads a head, and a body with a `content-length`. `None` at the end of the connection.
async fn read_request(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length:"));
            let length = length.and_then(|length| length.trim().parse().ok());
            if bytes.len() >= end + 4 + length.unwrap_or(0) {
                return Some(bytes);
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}
