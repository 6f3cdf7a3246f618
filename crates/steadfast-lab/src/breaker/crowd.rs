//! How many of many calls pass in the moment in which a breaker turns half-open.

use super::clock::Clock;
use super::detect::send;
use super::{Detection, End, PACE, Row};

/// The calls that come at once.
pub(crate) const CROWD: usize = 500;

/// Returns how many pass. None if the breaker has not opened before.
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
