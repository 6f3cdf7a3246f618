//! A gateway for programs in any language: see the docs of `examples::gateway`.
//!
//! ```text
//! cargo run --release --example gateway -- --config examples/gateway.toml
//! ```

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    examples::gateway::program(std::env::args_os()).await
}
