use tokio::time::Instant;

use crate::endpoint::EndpointName;

#[derive(Debug, Default)]
pub(super) struct SentAttempts {
    /// The first attempt, once it is sent. A field of its own, so that a request without hedges
    /// allocates nothing.
    first: Option<Sent>,
    /// The hedges that were sent.
    further: Vec<Sent>,
    pub(super) first_sent: Option<Instant>,
    pub(super) last_sent: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct Sent {
    pub(super) number: u32,
    pub(super) to: EndpointName,
    pub(super) in_flight: bool,
}

impl SentAttempts {
    /// Records an attempt. A layer in between may send it several times in sequence.
    pub(super) fn put(&mut self, sent: Sent) {
        match self.sent(sent.number) {
            Some(known) => *known = sent,
            None if sent.number == 0 => self.first = Some(sent),
            None => self.further.push(sent),
        }
    }

    pub(super) fn sent(&mut self, number: u32) -> Option<&mut Sent> {
        let mut all = self.first.iter_mut().chain(&mut self.further);
        all.find(|sent| sent.number == number)
    }

    pub(super) fn contains_hedge(&self, number: u32) -> bool {
        self.further.iter().any(|sent| sent.number == number)
    }

    /// Removes an attempt.
    pub(super) fn forget(&mut self, number: u32) {
        self.first.take_if(|sent| sent.number == number);
        self.further.retain(|sent| sent.number != number);
    }

    /// Returns the attempts in the order of sending.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Sent> {
        self.first.iter().chain(&self.further)
    }
}
