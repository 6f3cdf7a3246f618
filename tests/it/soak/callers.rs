//! Callers, and the sums of their outcomes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::Response;
use stack_tests::{SECOND, chat, read};
use steadfast::crates::core::Classified;
use steadfast::{AiStack, BoxError, Class, Exhausted, ResponseBody, Trail};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{interval, timeout};

use super::servers::Weather;

/// The time for which a server must have been healthy, so that a request should be served.
const SURELY: Duration = Duration::from_secs(2);

/// The outcomes of all requests.
#[derive(Debug, Default)]
pub(super) struct Sums {
    pub(super) sent: u64,
    /// Successes, also with a dropped body.
    pub(super) served: u64,
    /// Other answers, broken bodies and errors.
    pub(super) failed: u64,
    /// Requests with a caller that left before the head.
    pub(super) left: u64,
    /// The attempts of all requests with a caller that stayed.
    pub(super) attempts: u64,
    /// Attempts that may have received an answer that was not read.
    unfinished: u64,
    /// The answers to attempts, by status.
    pub(super) answers: BTreeMap<u16, u64>,
    /// The requests that were sent while a server had been healthy for a while, and how many of
    /// them were served. Requests of callers that left do not count.
    pub(super) healthy: u64,
    pub(super) healthy_served: u64,
}

/// The end of one request.
#[derive(Default)]
struct Ended {
    served: bool,
    left: bool,
    healthy: bool,
    /// The status and the class of each attempt.
    attempts: Vec<(Option<u16>, Class)>,
}

/// Callers that send 100 requests per second until they are stopped.
pub(super) struct Callers {
    stop: Arc<AtomicBool>,
    task: JoinHandle<Sums>,
}

impl Callers {
    pub(super) fn start(ai: &AiStack, weather: &Weather) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(run(ai.clone(), weather.clone(), stop.clone()));
        Self { stop, task }
    }

    pub(super) async fn end(self) -> Sums {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.expect("no panic")
    }
}

impl Sums {
    pub(super) fn ended(&self) -> u64 {
        self.served + self.failed + self.left
    }

    /// Returns the number of answers that no caller may have read: of attempts that were dropped,
    /// that timed out or that lost their connection.
    pub(super) fn unread(&self) -> u64 {
        // A caller that left may have had several attempts.
        3 * self.left + self.unfinished
    }

    fn add(&mut self, ended: Ended) {
        if ended.left {
            self.left += 1;
            return;
        }
        self.served += u64::from(ended.served);
        self.failed += u64::from(!ended.served);
        self.healthy += u64::from(ended.healthy);
        self.healthy_served += u64::from(ended.healthy && ended.served);
        self.attempts += ended.attempts.len() as u64;
        for (status, class) in ended.attempts {
            match status {
                Some(status) => *self.answers.entry(status).or_default() += 1,
                None if class == Class::Connect => {}
                None => self.unfinished += 1,
            }
        }
    }
}

async fn run(ai: AiStack, weather: Weather, stop: Arc<AtomicBool>) -> Sums {
    let (mut sums, mut requests) = (Sums::default(), JoinSet::new());
    let mut ticks = interval(SECOND / 100);
    while !stop.load(Ordering::Relaxed) {
        ticks.tick().await;
        sums.sent += 1;
        let healthy = weather.healthy_for() >= SURELY;
        requests.spawn(request(ai.clone(), sums.sent, healthy));
    }
    while let Some(ended) = requests.join_next().await {
        sums.add(ended.expect("no panic"));
    }
    sums
}

/// Sends request `n`. Every third is streamed, every tenth caller leaves soon, and every seventh
/// drops its body.
async fn request(ai: AiStack, n: u64, healthy: bool) -> Ended {
    let patience = if n % 10 == 0 {
        SECOND / 50
    } else {
        60 * SECOND
    };
    let request = chat(n % 3 == 0);
    let Ok(outcome) = timeout(patience, ai.send(request)).await else {
        return Ended {
            left: true,
            ..Ended::default()
        };
    };
    let (mut attempts, status) = attempts_of(&outcome);
    let is_success = status.is_some_and(|status| status < 300);
    let is_whole = match outcome {
        // The body is dropped.
        Ok(_) if n % 7 == 0 => true,
        Ok(response) => read(response).await.is_ok(),
        Err(_) => false,
    };
    let served = is_success && is_whole;
    // A part of a broken stream has reached the caller, so no other server can help.
    let healthy = healthy && (is_whole || !is_success);
    if attempts.is_empty() {
        let class = if served {
            Class::Success
        } else {
            Class::Transport
        };
        attempts.extend(status.map(|status| (Some(status), class)));
    }
    Ended {
        served,
        healthy,
        left: false,
        attempts,
    }
}

/// Returns the attempts of a request by its trail, and the status of its answer.
fn attempts_of(
    outcome: &Result<Response<ResponseBody>, BoxError>,
) -> (Vec<(Option<u16>, Class)>, Option<u16>) {
    let trail = match outcome {
        Ok(response) => Trail::of(response.extensions()).cloned(),
        Err(error) => Exhausted::find(&**error).map(|error| error.trail().clone()),
    };
    let of_trail = trail.map(|trail| {
        let attempts = trail.attempts().into_iter();
        attempts
            .map(|it| (it.status.map(|status| status.as_u16()), it.verdict.class()))
            .collect()
    });
    let lone = outcome.as_ref().err().and_then(|error| {
        let verdict = Classified::find(&**error)?.verdict();
        Some(vec![(None, verdict.class())])
    });
    let status = outcome.as_ref().ok().map(|it| it.status().as_u16());
    (of_trail.or(lone).unwrap_or_default(), status)
}
