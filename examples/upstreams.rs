//! Three upstreams on loopback ports, to try the gateway without a network.
//!
//! ```text
//! cargo run --example upstreams
//! cargo run --release --example gateway -- --config examples/gateway.toml
//! ```
//!
//! The first upstream refuses requests beyond its quota, so every few requests one fails over to
//! the second.

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use clap::Parser;
use steadfast_testkit::{Quota, Reply, Upstream};

/// Runs three endpoints of an AI API. The first one is rate limited.
#[derive(Debug, Parser)]
struct Args {
    /// The three ports, 0 for any that is free.
    #[arg(long, value_delimiter = ',', default_value = "9001,9002,9003")]
    ports: Vec<u16>,
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let Args { ports } = Args::parse();
    let &[primary, backup, spare] = ports.as_slice() else {
        let reason = "--ports takes three ports, such as 9001,9002,9003";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
    };
    let primary = start("primary", primary).await?;
    primary.limit(Quota::new(6, Duration::from_secs(60)).burst(3));
    let backup = start("backup", backup).await?;
    let spare = start("spare", spare).await?;
    for upstream in [&primary, &backup, &spare] {
        println!("{:<8} {}", upstream.name(), upstream.url());
    }
    println!("{HOW_TO}");
    tokio::signal::ctrl_c().await
}

async fn start(name: &str, port: u16) -> io::Result<Upstream> {
    let upstream = Upstream::start_on((Ipv4Addr::LOCALHOST, port)).await?;
    // At reading speed, so that the stream visibly arrives.
    let tokens = Reply::ok().chunks(12).chunk_delay(READING);
    upstream.set(tokens.first_token(READING));
    Ok(upstream.named(name))
}

const READING: Duration = Duration::from_millis(150);

const HOW_TO: &str = r#"
primary takes 3 requests at once and 1 every 10 s. In another terminal:

    cargo run --release --example gateway -- --config examples/gateway.toml

and in a third one, four times. The fourth answer comes from the backup:

    curl -i http://127.0.0.1:8080/v1/chat/completions -H 'content-type: application/json' -d '{"model": "m", "messages": []}'
    curl -N http://127.0.0.1:8080/v1/chat/completions -H 'content-type: application/json' -d '{"model": "m", "stream": true}'
    curl http://127.0.0.1:8080/status

Ctrl-c ends the upstreams."#;
