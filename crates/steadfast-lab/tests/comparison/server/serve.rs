use tokio::net::TcpStream;
use tokio::time::Instant;

use super::script::Step;
use super::wire::{Rest, Wire};
use super::{Attempt, Server};

/// Runs the script for each request of a connection.
pub(super) async fn serve(stream: TcpStream, connection: u32, server: Server) {
    // Only speed is lost without it, and the clock stands still.
    let _ = stream.set_nodelay(true);
    let mut wire = Wire::new(stream);
    while let Some((method, headers)) = wire.head().await {
        let rest = Rest::of(&headers);
        let (place, step) = server.note(Attempt {
            at: Instant::now(),
            connection,
            method,
            headers,
            body: Vec::new(),
        });
        let mut body = Body {
            wire: &mut wire,
            rest,
            server: &server,
            place,
        };
        match step {
            Step::Answer(reply) => {
                if !body.read(usize::MAX).await || wire.answer(&reply, true, true).await.is_err() {
                    return;
                }
            }
            Step::AnswerAfter(bytes, reply) => {
                body.read(bytes).await;
                if wire.answer(&reply, true, false).await.is_ok() {
                    wire.leave().await;
                }
                return;
            }
            Step::Close => {
                body.read(usize::MAX).await;
                return wire.leave().await;
            }
            Step::CloseAfter(bytes) => {
                body.read(bytes).await;
                return wire.leave().await;
            }
            Step::Break(reply) => {
                body.read(usize::MAX).await;
                if wire.answer(&reply, false, true).await.is_ok() {
                    wire.leave().await;
                }
                return;
            }
            Step::Stall(reply) => {
                body.read(usize::MAX).await;
                if wire.answer(&reply, false, true).await.is_ok() {
                    wire.until_left().await;
                }
                return;
            }
        }
    }
}

struct Body<'a> {
    wire: &'a mut Wire,
    rest: Rest,
    server: &'a Server,
    place: usize,
}

impl Body<'_> {
    /// Reads until `bytes` have come or the body ends. Returns whether the client is still there.
    async fn read(&mut self, bytes: usize) -> bool {
        let mut read = 0;
        while read < bytes {
            match self.wire.body(&mut self.rest).await {
                Ok(Some(part)) => {
                    read += part.len();
                    self.server.note_body(self.place, &part);
                }
                Ok(None) => return true,
                Err(_) => return false,
            }
        }
        true
    }
}
