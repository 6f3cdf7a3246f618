//! A server that plays recorded bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::reply::{Reply, Step};

/// Stops when it is dropped.
pub(super) struct Server {
    port: u16,
    attempts: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Server {
    pub(super) async fn start(reply: &Reply) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0))
            .await
            .expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let attempts = Arc::new(AtomicUsize::new(0));
        let (counter, steps) = (attempts.clone(), reply.steps.clone());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, counter.clone(), steps.clone()));
            }
        });
        Self {
            port,
            attempts,
            task,
        }
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/v1", self.port)
    }

    pub(super) fn attempts(&self) -> usize {
        self.attempts.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Reads one request, plays the bytes, and closes the connection.
async fn serve(mut stream: TcpStream, attempts: Arc<AtomicUsize>, steps: Vec<Step>) {
    let mut request = Vec::new();
    while !is_whole(&request) {
        match stream.read_buf(&mut request).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
    attempts.fetch_add(1, Ordering::SeqCst);
    for step in steps {
        match step {
            Step::Send(data) if stream.write_all(&data).await.is_err() => return,
            Step::Send(_) => {}
            Step::Sleep(time) => tokio::time::sleep(time).await,
            Step::Close => break,
        }
    }
    let _ = stream.shutdown().await;
}

/// Returns whether the head and the body of a request have come.
fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let head = head.to_ascii_lowercase();
    let length = head.split("content-length:").nth(1);
    let length = length.and_then(|rest| rest.lines().next()?.trim().parse().ok());
    body.len() >= length.unwrap_or(0)
}
