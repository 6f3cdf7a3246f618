//! Several threads at once, in real time. No test sleeps.

mod pool_changes;
mod queue;
mod requests;
