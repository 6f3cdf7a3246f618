//! The server: connections and shutdown.

use std::future::pending;
use std::io;
use std::time::Duration;

use axum::Router;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::signal;
use tokio::sync::oneshot;
use tokio::time::sleep;

/// The time for answers in progress after the stop signal. Kubernetes kills after 30 s.
pub const DRAIN: Duration = Duration::from_secs(25);

/// Serves HTTP/1.1, and HTTP/2 without TLS, until `stop` completes. Then the server accepts no
/// further connection, and answers in progress have [`DRAIN`] to end.
///
/// # Errors
///
/// Returns an error if the listener fails.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let listener = listener.tap_io(|stream| {
        // Small events of a stream must not wait for each other. A failure here costs only speed.
        let _ = stream.set_nodelay(true);
    });
    let (stopping, stopped) = oneshot::channel();
    let serving = axum::serve(listener, router).with_graceful_shutdown(async move {
        stop.await;
        tracing::info!("stopping");
        // The receiver is gone only if the server is.
        let _ = stopping.send(());
    });
    let drained = async {
        match stopped.await {
            Ok(()) => sleep(DRAIN).await,
            Err(_) => pending().await,
        }
    };
    tokio::select! {
        result = serving => result,
        () = drained => {
            tracing::info!("some answers did not end in time and were cut off");
            Ok(())
        }
    }
}

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
