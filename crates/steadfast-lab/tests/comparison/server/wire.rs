use std::io;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::script::Reply;

/// A connection, as HTTP/1.1 sees it.
pub(super) struct Wire {
    stream: TcpStream,
    read: BytesMut,
}

/// How much of a body is still to come.
pub(super) enum Rest {
    Bytes(usize),
    /// The rest of this chunk, and then other chunks.
    Chunks(usize),
    Nothing,
}

impl Wire {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            read: BytesMut::new(),
        }
    }

    /// Reads the head of a request, or nothing if the client has left.
    pub(super) async fn head(&mut self) -> Option<(Method, HeaderMap)> {
        let first = self.line().await.ok()?;
        let method = first.split(' ').next()?.parse().ok()?;
        let mut headers = HeaderMap::new();
        loop {
            let line = self.line().await.ok()?;
            let Some((name, value)) = line.split_once(':') else {
                return Some((method, headers));
            };
            let name: HeaderName = name.parse().ok()?;
            headers.append(name, HeaderValue::from_str(value.trim()).ok()?);
        }
    }

    /// Reads the next part of a body.
    pub(super) async fn body(&mut self, rest: &mut Rest) -> io::Result<Option<Bytes>> {
        loop {
            match rest {
                Rest::Nothing | Rest::Bytes(0) => return Ok(None),
                Rest::Bytes(left) => {
                    let part = self.part(*left).await?;
                    *left -= part.len();
                    return Ok(Some(part));
                }
                Rest::Chunks(0) => {
                    let size = self.line().await?;
                    let size = usize::from_str_radix(size.trim(), 16);
                    let size = size.map_err(|_| io::ErrorKind::InvalidData)?;
                    if size == 0 {
                        self.line().await?;
                        *rest = Rest::Nothing;
                    } else {
                        *rest = Rest::Chunks(size);
                    }
                }
                Rest::Chunks(left) => {
                    let part = self.part(*left).await?;
                    *left -= part.len();
                    if *left == 0 {
                        self.line().await?;
                    }
                    return Ok(Some(part));
                }
            }
        }
    }

    /// Writes an answer, or the first half of its body.
    pub(super) async fn answer(
        &mut self,
        reply: &Reply,
        whole: bool,
        keep: bool,
    ) -> io::Result<()> {
        let mut head = format!("HTTP/1.1 {} Scripted\r\n", reply.status);
        for (name, value) in &reply.headers {
            head += &format!("{name}: {value}\r\n");
        }
        if !keep {
            head += "connection: close\r\n";
        }
        head += &format!("content-length: {}\r\n\r\n", reply.body.len());
        self.stream.write_all(head.as_bytes()).await?;
        let end = reply.body.len() / if whole { 1 } else { 2 };
        self.stream.write_all(&reply.body[..end]).await
    }

    /// Closes the sending side, and lets the client finish.
    ///
    /// A close with something unread would be a reset, which can overtake the answer.
    pub(super) async fn leave(mut self) {
        if self.stream.shutdown().await.is_ok() {
            self.until_left().await;
        }
    }

    /// Waits until the client leaves.
    pub(super) async fn until_left(mut self) {
        while self.fill().await.is_ok() {
            self.read.clear();
        }
    }

    async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.read.windows(2).position(|two| two == b"\r\n") {
                let line = self.read.split_to(end + 2);
                return Ok(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            self.fill().await?;
        }
    }

    async fn part(&mut self, most: usize) -> io::Result<Bytes> {
        if self.read.is_empty() {
            self.fill().await?;
        }
        let size = most.min(self.read.len());
        Ok(self.read.split_to(size).freeze())
    }

    async fn fill(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.read).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

impl Rest {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        if headers.contains_key(TRANSFER_ENCODING) {
            return Self::Chunks(0);
        }
        let length = headers.get(CONTENT_LENGTH).map(HeaderValue::to_str);
        let length = length.and_then(|text| text.ok()?.parse().ok());
        length.map_or(Self::Nothing, Self::Bytes)
    }
}
