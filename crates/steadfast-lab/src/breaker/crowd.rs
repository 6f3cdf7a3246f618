//! How many of many calls pass in the moment in which a breaker turns half-open.
//!
//! A service that has just recovered is often slow. If all waiting calls pass at once, they break
//! it again.

use super::clock::Clock;
use super::detect::send;
use super::{Detection, End, PACE, Row};

/// The number of simultaneous calls.
pub(crate) const CROWD: usize = 500;

/// Returns the number of calls that pass when the open time of a breaker ends, or `None` if the
/// breaker never opens.
pub(crate) fn crowd(row: &Row) -> Option<usize> {
    Clock::run(|clock| {
        let mut breaker = row.make(1);
        for _ in 0..Detection::LIMIT {
            send(&mut *breaker, clock, End::Failed);
            if !breaker.is_closed() {
                break;
            }
        }
        if breaker.is_closed() {
            return None;
        }
        let first = loop {
            clock.advance(PACE);
            if let Some(ticket) = breaker.admit(clock.now()) {
                break ticket;
            }
        };
        let mut tickets = vec![first];
        tickets.extend((1..CROWD).filter_map(|_| breaker.admit(clock.now())));
        Some(tickets.len())
    })
}
