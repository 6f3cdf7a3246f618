//! Compressed answers with a very much larger content. The gateway does not decompress them.

use http::{Request, Version};
use http_body_util::BodyExt;
use steadfast_testkit::Reply;

use super::callers::OtherCaller;
use super::child::GatewayProcess;
use crate::gateway::{CHAT, REQUEST, STREAM_REQUEST, body_of, endpoint_table, in_time, new_client};

/// Makes a gzip file of `size` zeros, roughly, in a thousandth of the size.
fn bomb(size: usize) -> Vec<u8> {
    let mut bits = Bits::default();
    // The last block, with fixed codes (RFC 1951, section 3.2.6). Codes begin with their highest
    // bit.
    bits.push(0b1, 1);
    bits.push(0b10, 2);
    bits.push_code(0b0011_0000, 8);
    for _ in 0..size / 258 {
        // 258 bytes at a distance of 1.
        bits.push_code(0b1100_0101, 8);
        bits.push_code(0, 5);
    }
    bits.push_code(0, 7);
    let mut file = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    file.extend(bits.bytes);
    // A wrong checksum is found only after the whole content.
    file.extend([0; 8]);
    file
}

#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    free: u32,
}

impl Bits {
    fn push(&mut self, bits: u32, count: u32) {
        for bit in 0..count {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            if let Some(last) = self.bytes.last_mut() {
                *last |= u8::from(bits >> bit & 1 == 1) << (8 - self.free);
            }
            self.free -= 1;
        }
    }

    fn push_code(&mut self, code: u32, length: u32) {
        self.push(code.reverse_bits() >> (32 - length), length);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn gzip_bomb_passes_without_decompression() {
    let [bad, good] = stack_tests::upstreams(["bad", "good"]).await;
    let tables = endpoint_table("bad", &bad.url()) + &endpoint_table("good", &good.url());
    let bomb = bomb(1 << 28);
    println!("a bomb of {} bytes", bomb.len());
    let gateway = GatewayProcess::start(&tables, &[]).await;
    let (before, _) = gateway.memory();
    for (status, kind, request) in [
        (200, "application/json", REQUEST),
        (200, "text/event-stream", STREAM_REQUEST),
        (400, "application/json", REQUEST),
        (404, "application/json", REQUEST),
        (429, "application/json", REQUEST),
        (500, "application/json", REQUEST),
    ] {
        for coding in ["gzip", "x-gzip, gzip", "deflate", "identity"] {
            bad.next(Reply::raw(
                status,
                [("content-type", kind), ("content-encoding", coding)],
                bomb.clone(),
            ));
            let request = Request::post(format!("http://{}{CHAT}", gateway.addr))
                .header("accept-encoding", "gzip")
                .body(body_of(request));
            let client = new_client(Version::HTTP_11);
            let answer = in_time(client.request(request.unwrap())).await.unwrap();
            let body = in_time(answer.into_body().collect()).await;
            let size = body.map_or(0, |body| body.to_bytes().len());
            assert!(size <= bomb.len(), "{status} {coding}: {size} bytes");
        }
    }
    gateway.assert_memory("gzip bombs", before, 64);
    OtherCaller::start(gateway.addr)
        .await
        .finish("gzip bombs")
        .await;
}
