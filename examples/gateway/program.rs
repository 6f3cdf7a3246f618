//! The program: arguments, logs and the exit code.

use std::error::Error;
use std::ffi::OsString;
use std::future::pending;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use steadfast::BoxError;
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::{Config, admin_router, install_metrics, keep_up, router, serve, stop_signal};

/// The descriptors that the process uses at most. Some systems have no limit of their own.
const MAX_DESCRIPTORS: u64 = 1 << 20;

/// Forwards requests under /v1 to the endpoints of a configuration.
#[derive(Debug, Parser)]
struct Args {
    /// The configuration, such as examples/gateway.toml.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Checks the configuration without serving.
    #[arg(long)]
    check: bool,
}

/// Runs the program with a command line. Its first argument is the name of the program.
///
/// It logs for the whole process, so call it once.
pub async fn program(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args = Args::parse_from(args);
    log_to_stderr();
    let config = match Config::read(&args.config) {
        Ok(config) => config,
        Err(error) => {
            report(&error);
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
            report(&*error);
            ExitCode::FAILURE
        }
    }
}

/// Prints the error that ends the program.
fn report(error: &dyn Error) {
    // Without a terminal, only the exit code remains.
    let _ = writeln!(io::stderr(), "gateway: {error}");
}

async fn run(mut config: Config) -> Result<(), BoxError> {
    // The soft limit of most systems is 1024, and a process may raise it.
    if let Ok(descriptors) = rlimit::increase_nofile_limit(MAX_DESCRIPTORS) {
        config.limits.fit(descriptors);
    }
    let prometheus = install_metrics()?;
    tokio::spawn(keep_up(prometheus.clone()));
    let stop = stop_signal()?;
    let _checks = config.start_checks()?;
    let listener = bind("listen", config.listen).await?;
    // Port 0 selects a free port, and a script needs to know it.
    let mut shown = format!("listening on http://{}\n", listener.local_addr()?);
    if let Some(admin) = config.admin {
        let listener = bind("admin", admin).await?;
        shown += &format!("admin on http://{}\n", listener.local_addr()?);
        let router = admin_router(&config, prometheus);
        let limits = config.limits.clone();
        // The operators watch the shutdown: this server ends with the process.
        tokio::spawn(async move { serve(listener, router, &limits, pending()).await });
    }
    let mut stdout = io::stdout();
    stdout.write_all(shown.as_bytes())?;
    stdout.flush()?;
    serve(listener, router(&config), &config.limits, stop).await;
    Ok(())
}

async fn bind(field: &str, address: SocketAddr) -> Result<TcpListener, BoxError> {
    let listener = TcpListener::bind(address).await;
    listener.map_err(|error| format!("{field} {address}: {error}").into())
}

/// Logs to stderr by `RUST_LOG`, which defaults to `info`.
fn log_to_stderr() {
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .from_env_lossy();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        // Without a terminal, this message about a lost line would end the task that logs.
        .log_internal_errors(false)
        .init();
}
