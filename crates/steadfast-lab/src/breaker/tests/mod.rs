//! What our breaker has to reach, and the crates beside the rules that restate them.

mod goals;
mod peers;
