//! Signals of the operating system.

use std::future::pending;
use std::io;

use tokio::signal;

/// Waits for ctrl-c or SIGTERM.
pub async fn stop_signal() {
    tokio::select! {
        result = signal::ctrl_c() => pending_on_error(result).await,
        () = terminated() => {}
    }
}

#[cfg(unix)]
async fn terminated() {
    match signal::unix::signal(signal::unix::SignalKind::terminate()) {
        Ok(mut signal) => {
            signal.recv().await;
        }
        Err(error) => pending_on_error(Err(error)).await,
    }
}

#[cfg(not(unix))]
async fn terminated() {
    pending().await
}

/// Waits forever if a signal handler cannot be installed.
async fn pending_on_error(result: io::Result<()>) {
    if let Err(error) = result {
        tracing::info!(%error, "no signal handler");
        pending::<()>().await;
    }
}
