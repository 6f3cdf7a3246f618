//! Changes of the endpoints through a `PoolHandle`, and requests in flight meanwhile.

mod replace;
mod settings;
mod waiters;

use steadfast_balance::PoolHandle;
use tokio::time::sleep;

use crate::support::MS;

/// Lets all runnable tasks run.
async fn run_ready_tasks() {
    sleep(MS).await;
}

fn endpoint_names(handle: &PoolHandle) -> Vec<String> {
    let all = handle.status();
    all.iter().map(|status| status.name.to_string()).collect()
}
