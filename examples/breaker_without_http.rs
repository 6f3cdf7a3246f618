//! A circuit breaker around a service without HTTP: queries to a database with an outage.
//!
//! ```text
//! cargo run --example breaker_without_http
//! ```

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use steadfast::{CircuitBreaker, CircuitOpen, ServiceBuilderExt};
use tokio::time::sleep;
use tower::{BoxError, Service, ServiceBuilder, ServiceExt};

/// The error of a driver, without a dependency on this crate.
#[derive(Debug)]
struct ConnectionLost;

impl fmt::Display for ConnectionLost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("connection lost")
    }
}

impl std::error::Error for ConnectionLost {}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let up = Arc::new(AtomicBool::new(true));
    let is_up = up.clone();
    let database = tower::service_fn(move |query: &'static str| {
        let up = is_up.load(Ordering::Relaxed);
        async move {
            if up {
                Ok(format!("rows of {query}"))
            } else {
                Err(ConnectionLost)
            }
        }
    });

    let breaker = CircuitBreaker::builder()
        .name("database")
        .consecutive_failures(3)
        .recovery_timeout(Duration::from_millis(300))
        .success_threshold(1)
        .build()?;
    let mut states = breaker.subscribe();
    let mut database = ServiceBuilder::new()
        .circuit_breaker(breaker.clone())
        .service(database);

    for n in 1..=12 {
        // The outage.
        up.store(!(3..=7).contains(&n), Ordering::Relaxed);
        let outcome = database.ready().await?.call("SELECT 1").await;
        let result = match &outcome {
            Ok(rows) => rows.clone(),
            Err(error) => match CircuitOpen::find(&**error) {
                Some(open) => format!(
                    "rejected, open for {:.0?} more",
                    open.retry_in().unwrap_or_default()
                ),
                None => format!("failed: {error}"),
            },
        };
        println!("query {n:>2}: {result:<40} breaker {}", breaker.state());
        sleep(Duration::from_millis(100)).await;
    }
    println!("last announced state: {}", *states.borrow_and_update());
    Ok(())
}
