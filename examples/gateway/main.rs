//! A gateway for programs in any language: see the docs of `examples::gateway`.
//!
//! ```text
//! cargo run --release --example gateway -- --config examples/gateway.toml
//! ```

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use examples::gateway::{Config, asked_to_stop, install_metrics, keep_up, router, serve};
use steadfast::BoxError;
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// Passes requests under /v1 on to the endpoints of a configuration.
#[derive(Debug, Parser)]
struct Args {
    /// The configuration, such as examples/gateway.toml.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Checks the configuration, and does not serve.
    #[arg(long)]
    check: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    log_to_stderr();
    let config = match Config::read(&args.config) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("gateway: {error}");
            return ExitCode::from(2);
        }
    };
    if args.check {
        println!("{}: ok", args.config.display());
        return ExitCode::SUCCESS;
    }
    match run(config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gateway: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(config: Config) -> Result<(), BoxError> {
    let prometheus = install_metrics()?;
    tokio::spawn(keep_up(prometheus.clone()));
    let listener = TcpListener::bind(config.listen).await;
    let listener = listener.map_err(|error| format!("listen {}: {error}", config.listen))?;
    // Port 0 is any free port, and whoever started this program has to learn which.
    let mut stdout = io::stdout();
    writeln!(stdout, "listening on http://{}", listener.local_addr()?)?;
    stdout.flush()?;
    let router = router(config.stack, prometheus);
    Ok(serve(listener, router, asked_to_stop()).await?)
}

/// Writes what `RUST_LOG` asks for, and what an operator wants to know if it is not set.
fn log_to_stderr() {
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .from_env_lossy();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .init();
}
