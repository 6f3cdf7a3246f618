//! Cooldowns and benches: their start, their length and their end.

mod bench;
mod burst;
mod credential_bench;
mod doubtful;
mod duration;
mod quota_headers;
mod recovery;

use std::time::Duration;

use steadfast_balance::PoolHandle;

use crate::support::status_of;

const MINUTE: Duration = Duration::from_secs(60);

const DAY: Duration = Duration::from_secs(86_400);

fn cooling(handle: &PoolHandle, name: &str) -> Option<Duration> {
    status_of(handle, name).cooling
}
