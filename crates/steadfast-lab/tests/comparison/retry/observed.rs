//! What a case has shown about a contestant.

use std::time::Duration;

use tokio::time::Instant;

use super::ask::Outcome;
use crate::server::{Attempt, REQUEST};

#[derive(Clone, Debug)]
pub(crate) struct Observed {
    pub(crate) started: Instant,
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) outcomes: Vec<Outcome>,
    /// When the caller lost its patience.
    pub(crate) cancelled: Option<Instant>,
    /// The remainder and the capacity of the budget, if the contestant exposes them.
    pub(crate) budget: Option<(u32, u32)>,
    /// The retries that the budget allows by its documentation.
    pub(crate) promised: Option<usize>,
}

impl Observed {
    /// The status that the first caller was given.
    pub(crate) fn status(&self) -> Option<u16> {
        let outcome = self.outcomes.first()?.result.as_ref().ok()?;
        Some(outcome.status.as_u16())
    }

    pub(crate) fn succeeded(&self) -> usize {
        let well = |outcome: &&Outcome| {
            let result = outcome.result.as_ref();
            result.is_ok_and(|answer| answer.status == 200 && answer.body.is_ok())
        };
        self.outcomes.iter().filter(well).count()
    }

    /// The time until the last caller got its result.
    pub(crate) fn took(&self) -> Duration {
        let last = self.outcomes.last();
        last.map_or(Duration::ZERO, |last| {
            last.at.saturating_duration_since(self.started)
        })
    }

    /// The time between the first two attempts.
    pub(crate) fn gap(&self) -> Option<Duration> {
        gaps(&self.attempts.iter().collect::<Vec<_>>())
            .first()
            .copied()
    }

    /// The times between the attempts of each request.
    pub(crate) fn waits_of_each(&self) -> Vec<Vec<Duration>> {
        let of = |number| gaps(&self.attempts_of(number));
        (0..self.outcomes.len()).map(of).collect()
    }

    pub(crate) fn attempts_of(&self, number: usize) -> Vec<&Attempt> {
        let id = number.to_string();
        let is_mine = |attempt: &&Attempt| {
            let of = attempt.headers.get(REQUEST);
            of.is_some_and(|of| *of == *id)
        };
        self.attempts.iter().filter(is_mine).collect()
    }

    /// Describes the observation, in words that are the same on every run.
    pub(crate) fn story(&self) -> String {
        let attempts = match self.attempts.len() {
            0 => "nothing sent".to_owned(),
            1 => "1 attempt".to_owned(),
            n => format!("{n} attempts"),
        };
        if self.outcomes.len() > 1 {
            let (well, all) = (self.succeeded(), self.outcomes.len());
            return format!("{attempts}, {well} of {all} succeed");
        }
        let end = match self.outcomes.first().map(|first| &first.result) {
            None => "no answer".to_owned(),
            Some(Ok(answer)) if answer.body.is_err() => {
                format!("{}, broken", answer.status.as_u16())
            }
            Some(Ok(answer)) => answer.status.as_u16().to_string(),
            Some(Err(error)) => error.clone(),
        };
        let took = self.took();
        let long = match took.as_secs() / 3600 {
            0 => String::new(),
            hours if hours < 48 => format!(" after {hours} h"),
            hours => format!(" after {} days", hours / 24),
        };
        format!("{attempts}, {end}{long}")
    }
}

fn gaps(attempts: &[&Attempt]) -> Vec<Duration> {
    attempts
        .windows(2)
        .map(|two| two[1].at.saturating_duration_since(two[0].at))
        .collect()
}
