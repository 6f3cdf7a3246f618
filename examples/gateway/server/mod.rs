//! The server: connections, their bounds, and shutdown.

mod connection;
mod io;
mod open;
mod signals;
mod watch;

use std::io as std_io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch as channel};
use tokio::time::{sleep, timeout};

use self::connection::{Phase, Watching, drive, protocol};
use self::open::Open;
use super::limits::Limits;
use super::reject::turn_away;

pub use self::signals::stop_signal;

/// The time to wait for the connection that is closed for a new one.
const EVICTION: Duration = Duration::from_millis(100);
/// The pause after a failed accept, for example for lack of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves HTTP/1.1, and HTTP/2 without TLS, until `stop` completes. Then the server accepts no
/// further connection. Requests that were read completely have [`Limits::drain`] to end, and other
/// requests end at once.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: &Limits,
    stop: impl Future<Output = ()> + Send + 'static,
) {
    let server = Arc::new(Server {
        router,
        protocol: protocol(limits),
        limits: limits.clone(),
        connections: Arc::new(Semaphore::new(limits.max_connections as usize)),
        requests: Arc::new(Semaphore::new(limits.max_requests as usize)),
        open: Open::default(),
    });
    let (phase, phases) = channel::channel(Phase::Serving);
    tokio::select! {
        () = stop => {}
        () = server.accept(&listener, &phases) => {}
    }
    drop(listener);
    tracing::info!("stopping");
    // A server without connections has no receiver besides its own.
    phase.send_replace(Phase::Draining);
    let ended = server.connections.acquire_many(limits.max_connections);
    if timeout(limits.drain, ended).await.is_err() {
        tracing::info!("some answers did not end in time and were cut off");
        phase.send_replace(Phase::Stopped);
    }
}

/// The state that all connections share.
struct Server {
    router: Router,
    protocol: hyper_util::server::conn::auto::Builder<hyper_util::rt::TokioExecutor>,
    limits: Limits,
    connections: Arc<Semaphore>,
    requests: Arc<Semaphore>,
    open: Open,
}

impl Server {
    /// Accepts connections forever.
    async fn accept(self: &Arc<Self>, listener: &TcpListener, phases: &channel::Receiver<Phase>) {
        loop {
            let socket = match listener.accept().await {
                Ok((socket, _)) => socket,
                Err(error) if is_of_client(&error) => continue,
                Err(error) => {
                    tracing::warn!(%error, "accept failed");
                    // An incomplete client must not keep a descriptor from the others.
                    self.open.evict();
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            // Small events of a stream must not wait for each other. A failure here costs only
            // speed.
            let _ = socket.set_nodelay(true);
            match self.admit().await {
                Some(permit) => self.spawn(socket, permit, phases.clone()),
                None => turn_away(socket),
            }
        }
    }

    /// Reserves a connection. At the bound, it closes the connection that waits longest for a
    /// complete request: an idle or incomplete client must not keep out the others.
    async fn admit(&self) -> Option<OwnedSemaphorePermit> {
        let connections = self.connections.clone();
        if let Ok(permit) = connections.clone().try_acquire_owned() {
            return Some(permit);
        }
        if !self.open.evict() {
            return None;
        }
        // The evicted connection may have become busy in the meantime.
        let permit = timeout(EVICTION, connections.acquire_owned()).await;
        permit.ok()?.ok()
    }

    fn spawn(
        self: &Arc<Self>,
        socket: TcpStream,
        permit: OwnedSemaphorePermit,
        phases: channel::Receiver<Phase>,
    ) {
        let server = self.clone();
        tokio::spawn(async move {
            let _permit = permit;
            let entry = server.open.enter();
            let service = Watching {
                router: server.router.clone(),
                watch: entry.watch.clone(),
                requests: server.requests.clone(),
            };
            drive(socket, &server.protocol, service, &server.limits, phases).await;
        });
    }
}

/// Whether a failed accept concerns one client only.
fn is_of_client(error: &std_io::Error) -> bool {
    use std_io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}
