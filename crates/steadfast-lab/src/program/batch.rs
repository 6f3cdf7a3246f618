//! Runs many simulations on all cores.
//!
//! A run is single-threaded and deterministic, so the threads share only a queue of jobs. The
//! results do not depend on the number of cores.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use crate::policy::Policy;
use crate::program::progress::Progress;
use crate::program::study::{Outcome, Study};
use crate::report::Report;

/// One run. The order of jobs is the order of the reports.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Job {
    /// The index of the study.
    study: usize,
    /// The index of the policy.
    policy: usize,
    /// The seed, counted from 1.
    seed: u64,
}

/// A message of a thread to the main thread.
enum Event {
    /// A job has started.
    Began(Job),
    /// The job with this index has ended.
    Ended(usize, Box<Report>),
}

/// Runs all studies with all policies. The order of the outcomes is the order of the studies.
pub(super) fn run(
    studies: &[Study],
    policies: &[Box<dyn Policy>],
    progress: &mut Progress,
) -> Vec<Outcome> {
    let batch = Batch {
        studies,
        policies,
        jobs: jobs(studies, policies.len()),
    };
    let queue = Mutex::new(longest_first(&batch.jobs, studies).into_iter());
    let reports = thread::scope(|scope| {
        let (events, inbox) = channel();
        for _ in 0..threads() {
            let (batch, queue, events) = (&batch, &queue, events.clone());
            scope.spawn(move || batch.work(queue, &events));
        }
        drop(events);
        batch.follow(&inbox, progress)
    });
    collect(studies, policies.len(), reports)
}

/// The jobs of a call of [`run`].
struct Batch<'a> {
    /// The studies.
    studies: &'a [Study],
    /// The policies, in the order of the rows.
    policies: &'a [Box<dyn Policy>],
    /// All runs.
    jobs: Vec<Job>,
}

impl Batch<'_> {
    /// Takes jobs until the queue is empty, or until the receiver is dropped.
    fn work(&self, queue: &Mutex<impl Iterator<Item = usize>>, events: &Sender<Event>) {
        let next = || queue.lock().ok()?.next();
        while let Some(number) = next() {
            let job = self.jobs[number];
            if events.send(Event::Began(job)).is_err() {
                return;
            }
            let scenario = &self.studies[job.study].scenario;
            let report = scenario.run(&*self.policies[job.policy], job.seed);
            if events.send(Event::Ended(number, Box::new(report))).is_err() {
                return;
            }
        }
    }

    /// Shows the progress, and returns the reports in the order of the jobs.
    fn follow(&self, inbox: &Receiver<Event>, progress: &mut Progress) -> Vec<Report> {
        let mut reports = vec![None; self.jobs.len()];
        progress.start(self.jobs.len());
        loop {
            match inbox.recv_timeout(Duration::from_millis(200)) {
                Ok(Event::Began(job)) => progress.began(self.name(job)),
                Ok(Event::Ended(number, report)) => {
                    reports[number] = Some(*report);
                    progress.ended();
                }
                Err(RecvTimeoutError::Timeout) => progress.show(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        progress.finish();
        reports.into_iter().flatten().collect()
    }

    /// Returns the description of a job in the progress.
    fn name(&self, job: Job) -> String {
        let Study { entry, load, .. } = self.studies[job.study];
        let policy = self.policies[job.policy].name();
        format!("{} {load} {policy} {}", entry.name(), job.seed)
    }
}

/// Returns the number of threads: one per core.
fn threads() -> usize {
    thread::available_parallelism().map_or(2, usize::from)
}

/// Returns the jobs in the order of the reports.
fn jobs(studies: &[Study], policies: usize) -> Vec<Job> {
    let mut jobs = Vec::new();
    for (study, Study { seeds, .. }) in studies.iter().enumerate() {
        for policy in 0..policies {
            jobs.extend((1..=*seeds).map(|seed| Job {
                study,
                policy,
                seed,
            }));
        }
    }
    jobs
}

/// Returns the indices of the jobs, longest first. A long job at the end would keep one core busy
/// and the others idle.
fn longest_first(jobs: &[Job], studies: &[Study]) -> Vec<usize> {
    let mut order: Vec<_> = (0..jobs.len()).collect();
    let expected: Vec<_> = studies.iter().map(Study::expected).collect();
    order.sort_by(|a, b| expected[jobs[*b].study].total_cmp(&expected[jobs[*a].study]));
    order
}

/// Groups the reports by study and policy.
fn collect(studies: &[Study], policies: usize, reports: Vec<Report>) -> Vec<Outcome> {
    let mut reports = reports.into_iter();
    let outcome = |study: &Study| Outcome {
        study: study.clone(),
        rows: (0..policies)
            .map(|_| reports.by_ref().take(study.seeds as usize).collect())
            .collect(),
    };
    studies.iter().map(outcome).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::catalog;
    use crate::policy::policies;

    fn study(name: &str, load: f64, seeds: u64, seconds: u64) -> Study {
        let entry = catalog().iter().find(|entry| entry.name() == name);
        let mut study = Study::new(entry.expect("a scenario"), load, seeds);
        study.scenario = study.scenario.lasting(Duration::from_secs(seconds));
        study
    }

    #[test]
    fn reports_are_ordered_by_study_policy_and_seed() {
        let studies = [study("quota", 0.1, 2, 5), study("outage", 0.2, 1, 20)];
        let mut policies = policies();
        policies.truncate(2);
        let outcomes = run(&studies, &policies, &mut Progress::new());
        let found: Vec<_> = outcomes
            .iter()
            .flat_map(|outcome| outcome.rows.iter().flatten())
            .map(|report| {
                (
                    report.scenario.as_str(),
                    report.policy.as_str(),
                    report.seed,
                )
            })
            .collect();
        let (first, second) = (policies[0].name(), policies[1].name());
        assert_eq!(
            found,
            [
                ("quota", first, 1),
                ("quota", first, 2),
                ("quota", second, 1),
                ("quota", second, 2),
                ("outage", first, 1),
                ("outage", second, 1),
            ]
        );
    }

    #[test]
    fn longest_runs_start_first() {
        let studies = [study("quota", 0.5, 1, 10), study("quota", 0.5, 1, 20)];
        assert_eq!(longest_first(&jobs(&studies, 2), &studies), [2, 3, 0, 1]);
    }
}
