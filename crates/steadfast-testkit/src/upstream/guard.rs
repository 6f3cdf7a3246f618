//! Guards that count the ends of connections and streams.

use std::sync::Arc;

use super::door::Door;
use super::link::Link;
use super::state::State;
use crate::reply::Settle;

/// Counts a connection as live until it is dropped.
#[derive(Debug)]
pub(crate) struct Presence {
    door: Arc<Door>,
    link: Arc<Link>,
}

impl Presence {
    pub(crate) fn new(door: Arc<Door>, link: Arc<Link>) -> Self {
        Self { door, link }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.door.leave(&self.link);
    }
}

/// Counts the end of a stream once: completed, cut by the upstream, or aborted by the client.
#[derive(Debug)]
pub(crate) struct StreamGuard {
    link: Arc<Link>,
    /// `None` once the end is counted, and for answers in one piece, which are not counted.
    state: Option<Arc<State>>,
}

impl StreamGuard {
    /// Guards a stream, which ends in exactly one count.
    pub(crate) fn counted(link: Arc<Link>, state: Arc<State>) -> Self {
        state.count(|counts| counts.streams_started += 1);
        Self {
            link,
            state: Some(state),
        }
    }

    /// Guards a whole answer, which is no stream.
    pub(crate) fn uncounted(link: Arc<Link>) -> Self {
        Self { link, state: None }
    }
}

impl Settle for StreamGuard {
    fn completed(&mut self) {
        if let Some(state) = self.state.take() {
            state.count(|counts| counts.streams_completed += 1);
        }
    }

    fn cut(&mut self) {
        self.link.cut();
    }
}

impl Drop for StreamGuard {
    fn drop(&mut self) {
        if let Some(state) = self.state.take() {
            state.count(|counts| match self.link.is_severed() {
                true => counts.streams_cut += 1,
                false => counts.streams_aborted += 1,
            });
        }
    }
}
