//! The server: connections, and the way it stops.

use std::future::pending;
use std::io;
use std::time::Duration;

use axum::Router;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::signal;
use tokio::sync::oneshot;
use tokio::time::sleep;

/// How long answers may go on after the server was asked to stop. Kubernetes kills after 30 s.
pub const DRAIN: Duration = Duration::from_secs(25);

/// Serves HTTP/1.1, and HTTP/2 without TLS, until `stop` completes. Then no connection is
/// accepted any more, and answers that are under way have [`DRAIN`] to end.
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
        // Events of a stream are small and must not wait for each other. Only speed is lost else.
        let _ = stream.set_nodelay(true);
    });
    let (stopping, stopped) = oneshot::channel();
    let serving = axum::serve(listener, router).with_graceful_shutdown(async move {
        stop.await;
        tracing::info!("stopping");
        // It is gone only if the server is.
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
            tracing::info!("some answers did not end in time and were broken off");
            Ok(())
        }
    }
}

/// Waits for ctrl-c, or for the signal that asks a process to end.
pub async fn asked_to_stop() {
    tokio::select! {
        result = signal::ctrl_c() => unless_deaf(result).await,
        () = terminated() => {}
    }
}

#[cfg(unix)]
async fn terminated() {
    match signal::unix::signal(signal::unix::SignalKind::terminate()) {
        Ok(mut signal) => {
            signal.recv().await;
        }
        Err(error) => unless_deaf(Err(error)).await,
    }
}

#[cfg(not(unix))]
async fn terminated() {
    pending().await
}

/// A process that cannot hear a signal is not asked by it to stop.
async fn unless_deaf(result: io::Result<()>) {
    if let Err(error) = result {
        tracing::info!(%error, "signals cannot be heard");
        pending::<()>().await;
    }
}
