//! Signals of the operating system.

use std::io;
use std::process;

#[cfg(not(unix))]
use tokio::signal::ctrl_c;
#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The exit code of a process that a second signal ends: 128 and the number of SIGINT.
const INTERRUPTED: i32 = 130;

/// Installs the handlers, and returns a future that waits for ctrl-c or SIGTERM.
///
/// After the first signal, a second one ends the process at once, without the end of answers in
/// progress. SIGHUP does not end the process: a terminal that closes sends it.
///
/// # Errors
///
/// Returns an error if a handler cannot be installed.
pub fn stop_signal() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut signals = Signals::install()?;
    Ok(async move {
        signals.stop().await;
        tokio::spawn(async move {
            signals.stop().await;
            tracing::info!("ended by a second signal");
            process::exit(INTERRUPTED);
        });
    })
}

#[cfg(unix)]
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

#[cfg(unix)]
impl Signals {
    fn install() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn stop(&mut self) {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => return,
                _ = self.terminate.recv() => return,
                _ = self.hangup.recv() => tracing::info!("SIGHUP has no effect"),
            }
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn install() -> io::Result<Self> {
        Ok(Self)
    }

    async fn stop(&mut self) {
        if let Err(error) = ctrl_c().await {
            tracing::info!(%error, "no signal handler");
            std::future::pending::<()>().await;
        }
    }
}
