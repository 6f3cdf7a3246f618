//! Raw sockets: clients and servers that can break the protocol.

mod http2;
mod server;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

pub use self::http2::{
    Frame, continuation, frame, frames, get, header_block, preface, request_http2,
};
pub use self::server::RawServer;

/// A request that ends its connection, to find the end of the answers before it.
const LAST: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

/// The time after which a server is assumed to wait for more of a body.
const QUIET: Duration = Duration::from_millis(300);

/// Opens a connection.
///
/// # Panics
///
/// If the server refuses it.
pub async fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).await.expect("a connection");
    // A failure costs only speed.
    let _ = stream.set_nodelay(true);
    stream
}

/// Sends `bytes` and then `GET /healthz`, and returns all bytes that the server sends until it
/// closes the connection.
///
/// A server that takes the last request as a part of a body gets the end of the stream after a
/// while.
pub async fn exchange(addr: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = connect(addr).await;
    // A server may close the connection at once, and the answer counts nevertheless.
    let _ = stream.write_all(&[bytes, LAST].concat()).await;
    let mut answers = Vec::new();
    if timeout(QUIET, stream.read_to_end(&mut answers))
        .await
        .is_err()
    {
        let _ = stream.shutdown().await;
        let _ = stream.read_to_end(&mut answers).await;
    }
    answers
}

/// Returns the statuses of HTTP/1 answers, in their order.
#[must_use]
pub fn statuses(answers: &[u8]) -> Vec<u16> {
    let text = String::from_utf8_lossy(answers);
    let heads = text.split("HTTP/1.").skip(1);
    heads
        .filter_map(|head| head.get(2..5)?.parse().ok())
        .collect()
}

/// Writes `chunk` until the server closes the connection or `limit` bytes are written. Returns the
/// number of written bytes, and whether the server closed the connection.
///
/// The bytes that the server sends are discarded.
pub async fn flood(
    stream: TcpStream,
    limit: usize,
    mut chunk: impl FnMut() -> Vec<u8>,
) -> (usize, bool) {
    let (mut reader, mut writer) = stream.into_split();
    let mut discarded = tokio::io::sink();
    let write = async {
        let mut written = 0;
        while written < limit {
            let chunk = chunk();
            match writer.write_all(&chunk).await {
                Ok(()) => written += chunk.len(),
                Err(_) => return (written, true),
            }
        }
        (written, false)
    };
    tokio::pin!(write);
    tokio::select! {
        end = &mut write => end,
        _ = tokio::io::copy(&mut reader, &mut discarded) => {
            // The server has closed its side. The rest of the kernel's buffers fails soon.
            let (written, _) = write.await;
            (written, true)
        }
    }
}

/// Reads until the connection ends, and returns all bytes. A reset is an end.
pub async fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _: io::Result<usize> = stream.read_to_end(&mut bytes).await;
    bytes
}
