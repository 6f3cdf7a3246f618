//! The steps of a body, planned in advance.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use super::stream::{Fault, Stream};
use crate::wire::events::{Events, KEEP_ALIVE};

/// One step of sending a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Drop the connection.
    Cut,
    Send(Bytes),
    /// Wait, without end if `rest` is `None`, and send a comment at each interval.
    Wait {
        rest: Option<Duration>,
        keep_alive: Option<Duration>,
    },
}

/// All the steps of a body.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) steps: VecDeque<Step>,
    /// The length that the head promises. A stream promises none.
    pub(crate) length: Option<u64>,
}

impl Plan {
    /// A body in one piece, which breaks in the middle if it is to break.
    pub(crate) fn whole(body: Bytes, stream: &Stream) -> Self {
        let length = Some(body.len() as u64);
        let half = Step::Send(body.slice(..body.len() / 2));
        let (steps, length) = match &stream.fault {
            None | Some((_, Fault::Error)) => (vec![Step::Send(body)], length),
            Some((_, Fault::Cut)) => (vec![half, Step::Cut], length),
            Some((_, Fault::Stall)) => (vec![half, stream.wait(None)], length),
            Some((_, Fault::Truncate)) => (vec![half], None),
            Some((_, Fault::Raw(bytes))) => (vec![half, Step::Send(bytes.clone())], None),
        };
        Self {
            steps: steps.into(),
            length,
        }
    }

    /// A stream of events, at the pace and with the fault of `stream`.
    pub(crate) fn events(events: Events<'_>, stream: &Stream) -> Self {
        let mut steps: Vec<_> = events.opening().into_iter().map(Step::Send).collect();
        steps.extend((0..stream.comments).map(|_| Step::Send(KEEP_ALIVE)));
        let fault = stream.fault.as_ref();
        for index in 0..=stream.chunks {
            let pause = match index {
                0 => stream.first_token,
                _ => stream.chunk_delay,
            };
            if !pause.is_zero() {
                steps.push(stream.wait(Some(pause)));
            }
            match fault {
                Some((after, fault)) if index == (*after).min(stream.chunks) => {
                    steps.extend(stream.break_with(fault, events));
                    break;
                }
                _ if index == stream.chunks => {
                    steps.extend(events.closing().into_iter().map(Step::Send));
                }
                _ => steps.push(Step::Send(events.content(index))),
            }
        }
        Self {
            steps: steps.into(),
            length: None,
        }
    }
}

impl Stream {
    fn wait(&self, rest: Option<Duration>) -> Step {
        Step::Wait {
            rest,
            keep_alive: self.keep_alive,
        }
    }

    /// Returns the last step of a stream with a fault.
    fn break_with(&self, fault: &Fault, events: Events<'_>) -> Option<Step> {
        match fault {
            Fault::Cut => Some(Step::Cut),
            Fault::Error => Some(Step::Send(events.error())),
            Fault::Raw(bytes) => Some(Step::Send(bytes.clone())),
            Fault::Stall => Some(self.wait(None)),
            Fault::Truncate => None,
        }
    }
}
