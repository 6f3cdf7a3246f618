//! Random attempts against a plain model with lists in slot of counters.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use crate::support::{CLOSED, FAILURE, HALF_OPEN, LOST, NEUTRAL, OPEN, SUCCESS};
use proptest::prelude::*;
use steadfast_breaker::{CircuitBreaker, Permit, Window};
use steadfast_core::{BreakerEffect, BreakerState, Class, Verdict};
use tokio::task::LocalSet;
use tokio::time::{Instant, advance, sleep};

#[derive(Clone, Copy, Debug)]
struct Config {
    consecutive: u32,
    failures: u32,
    window: u32,
    /// The number of failures in excess of a percentage.
    excess: Option<(u32, u32)>,
    recovery: u64,
    max_recovery: u64,
    probes: u32,
    successes: u32,
    probe_timeout: u64,
    rate: Option<Rate>,
}

/// Opens at a percentage of failures.
#[derive(Clone, Copy, Debug)]
struct Rate {
    percent: usize,
    min_calls: usize,
    /// The calls of a window, or a tenth of its time in milliseconds.
    span: Span,
}

#[derive(Clone, Copy, Debug)]
enum Span {
    Calls(usize),
    Ticks(u64),
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Acquire,
    Head(usize, Verdict),
    Record(usize, Verdict),
    Drop(usize),
    /// A permit that is never dropped.
    Leak(usize),
    Advance(u64),
}

/// The data of an attempt in the model.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    id: usize,
    /// The number of the step that admitted it.
    admitted: usize,
    /// The number of transitions before.
    generation: usize,
    probe: bool,
    head: Head,
}

#[derive(Clone, Copy, Debug)]
enum Head {
    Waited,
    Succeeded,
    Settled,
}

struct Model {
    config: Config,
    now: u64,
    step: usize,
    state: BreakerState,
    transitions: usize,
    /// The number of transitions at the last opening.
    opened: usize,
    until: u64,
    /// Verdicts on attempts from before the last transition.
    late: u64,
    /// The doublings of the open time.
    reopened: u32,
    /// The time of the last close.
    closed: Option<u64>,
    /// The attempts with a slot, and the time at which it is reclaimed.
    slots: Vec<(usize, u64)>,
    probes_succeeded: u32,
    outcomes: VecDeque<bool>,
    /// The outcomes of attempts. A success becomes a failure if its body breaks.
    history: VecDeque<bool>,
    /// The failures in excess of the share, in hundredths of a call.
    excess: u32,
    /// The failures since the last success, and the step in which they began.
    run: usize,
    run_began: usize,
    /// The time of the last lost attempt that counted for its connection.
    run_lost: Option<u64>,
    /// The end of each call that was not cancelled, and whether it failed.
    calls: Vec<(u64, bool)>,
}

impl Model {
    fn new(config: Config) -> Self {
        Self {
            config,
            now: 0,
            step: 0,
            state: CLOSED,
            transitions: 0,
            opened: 0,
            until: 0,
            late: 0,
            reopened: 0,
            closed: None,
            slots: Vec::new(),
            probes_succeeded: 0,
            outcomes: VecDeque::new(),
            history: VecDeque::new(),
            excess: 0,
            run: 0,
            run_began: 0,
            run_lost: None,
            calls: Vec::new(),
        }
    }

    fn retry_in(&self) -> Option<u64> {
        let live = || self.slots.iter().filter(|slot| slot.1 > self.now);
        match self.state {
            BreakerState::Open if self.until > self.now => Some(self.until - self.now),
            BreakerState::HalfOpen if live().count() >= self.config.probes as usize => live()
                .map(|slot| slot.1 - self.now)
                .min()
                .map(|wait| wait.min(1_000)),
            _ => None,
        }
    }

    fn acquire(&mut self) -> Option<Attempt> {
        if self.retry_in().is_some() {
            return None;
        }
        if self.state == OPEN {
            self.go(HALF_OPEN);
        }
        let probe = self.state == HALF_OPEN;
        if probe {
            self.slots.retain(|slot| slot.1 > self.now);
            self.slots
                .push((self.step, self.now + self.config.probe_timeout));
            assert!(self.slots.len() <= self.config.probes as usize);
        }
        Some(Attempt {
            id: self.step,
            admitted: self.step,
            generation: self.transitions,
            probe,
            head: Head::Waited,
        })
    }

    fn head(&mut self, attempt: &mut Attempt, verdict: Verdict) {
        if let Head::Waited = attempt.head {
            attempt.head = self.settle(attempt, verdict);
        }
    }

    fn record(&mut self, attempt: Attempt, verdict: Verdict) {
        let is_failure = verdict.breaker() == BreakerEffect::Failure;
        match attempt.head {
            Head::Waited => {
                self.settle(&attempt, verdict);
            }
            Head::Succeeded if is_failure && self.opened > attempt.generation => {
                self.late += 1;
            }
            Head::Succeeded if is_failure => self.fail(&attempt, verdict.class()),
            _ => {}
        }
    }

    fn drop(&mut self, attempt: Attempt) {
        self.slots.retain(|slot| slot.0 != attempt.id);
    }

    fn settle(&mut self, attempt: &Attempt, verdict: Verdict) -> Head {
        self.slots.retain(|slot| slot.0 != attempt.id);
        if attempt.generation != self.transitions {
            self.late += 1;
            let is_good = verdict.breaker() == BreakerEffect::Success;
            return match is_good && attempt.probe {
                true => Head::Succeeded,
                false => Head::Settled,
            };
        }
        match verdict.breaker() {
            BreakerEffect::Success => return self.succeed(),
            BreakerEffect::Failure => self.fail(attempt, verdict.class()),
            _ => {}
        }
        Head::Settled
    }

    fn succeed(&mut self) -> Head {
        if self.state == CLOSED {
            let share = self.config.excess.map_or(0, |(_, percent)| percent);
            self.run = 0;
            self.excess = self.excess.saturating_sub(share);
            self.push(false);
            self.push_history(false);
            self.calls.push((self.now, false));
            return Head::Succeeded;
        }
        self.probes_succeeded += 1;
        if self.probes_succeeded == self.config.successes {
            self.go(CLOSED);
            self.closed = Some(self.now);
            self.run = 0;
            self.outcomes.clear();
            self.history.clear();
            self.excess = 0;
            self.calls.clear();
        }
        Head::Succeeded
    }

    /// The calls that a rate is taken from.
    fn live(&self) -> impl DoubleEndedIterator<Item = usize> + use<> {
        let rate = self.config.rate;
        let (calls, now) = (self.calls.clone(), self.now);
        (0..calls.len()).filter(move |&at| match rate.map(|rate| rate.span) {
            Some(Span::Calls(size)) => at + size >= calls.len(),
            Some(Span::Ticks(tick)) => now / tick - calls[at].0 / tick < 10,
            None => false,
        })
    }

    fn is_rate_reached(&self) -> bool {
        let Some(rate) = self.config.rate else {
            return false;
        };
        let live: Vec<_> = self.live().collect();
        let failed = live.iter().filter(|&&at| self.calls[at].1).count();
        live.len() >= rate.min_calls && failed * 100 >= rate.percent * live.len()
    }

    fn fail(&mut self, attempt: &Attempt, class: Class) {
        if self.state == HALF_OPEN {
            if self.reopened == 0 || self.open_time() < self.config.max_recovery {
                self.reopened += 1;
            }
            self.open();
            return;
        }
        // The success of a probe was cleared when the breaker closed.
        let has_succeeded = matches!(attempt.head, Head::Succeeded) && !attempt.probe;
        let lost = class == Class::Transport;
        if self.run == 0 {
            self.run_began = self.step;
            self.run_lost = lost.then_some(self.now);
        } else if lost && attempt.admitted < self.run_began {
            if self.run_lost.is_some_and(|at| self.now - at < 1_000) {
                return;
            }
            self.run_lost = Some(self.now);
        }
        self.run += 1;
        let share = self.config.excess.map_or(0, |(_, percent)| percent);
        let limit = self.config.excess.map_or(0, |(failures, _)| 100 * failures);
        self.excess = (self.excess + 100 - share).min(limit);
        self.push(true);
        self.calls.push((self.now, true));
        if has_succeeded {
            self.take_success_back();
        } else {
            self.push_history(true);
        }
        let failures = self.outcomes.iter().filter(|&&failed| failed).count();
        if self.run >= self.config.consecutive as usize
            || failures >= self.config.failures as usize
            || limit > 0 && self.excess >= limit
            || self.is_rate_reached()
        {
            let healthy = self.closed.map_or(u64::MAX, |closed| self.now - closed);
            let steps = u32::try_from(healthy / self.config.recovery).unwrap_or(u32::MAX);
            self.reopened = self.reopened.saturating_sub(steps);
            self.open();
        }
    }

    /// Makes a failure of the newest success, and resumes the streak around it.
    fn take_success_back(&mut self) {
        match self.history.iter().rposition(|failed| !failed) {
            Some(newest) => self.history[newest] = true,
            // An unknown outcome counts as a success.
            None if self.history.len() < self.config.window as usize => {
                self.history.push_front(true);
            }
            None => {}
        }
        let streak = self.history.iter().rev().take_while(|failed| **failed);
        self.run = self.run.max(streak.count());
    }

    fn open_time(&self) -> u64 {
        let time = self.config.recovery << self.reopened.min(20);
        time.min(self.config.max_recovery)
    }

    fn push_history(&mut self, failed: bool) {
        self.history.push_back(failed);
        if self.history.len() > self.config.window as usize {
            self.history.pop_front();
        }
    }

    fn push(&mut self, failed: bool) {
        self.outcomes.push_back(failed);
        if self.outcomes.len() > self.config.window as usize {
            self.outcomes.pop_front();
        }
    }

    fn open(&mut self) {
        self.until = self.now + self.open_time();
        self.go(OPEN);
        self.opened = self.transitions;
    }

    fn go(&mut self, state: BreakerState) {
        self.state = state;
        self.transitions += 1;
        self.slots.clear();
        self.probes_succeeded = 0;
    }

    fn health(&self) -> f64 {
        let failures = self.outcomes.iter().filter(|&&failed| failed).count();
        1.0 - failures as f64 / f64::from(self.config.window)
    }
}

/// The breaker and the model, and the attempts that run in both.
struct Pair {
    breaker: CircuitBreaker,
    model: Model,
    running: Vec<(Permit, Attempt)>,
    leaked: usize,
}

impl Pair {
    fn new(config: Config) -> Self {
        let millis = Duration::from_millis;
        let mut builder = CircuitBreaker::builder();
        if let Some(rate) = config.rate {
            let window = match rate.span {
                Span::Calls(size) => Window::calls(size as u32),
                Span::Ticks(tick) => Window::time(millis(tick * 10)),
            };
            let window = window.min_calls(rate.min_calls as u32);
            builder = builder.failure_rate(rate.percent as f64 / 100.0, window);
        }
        if let Some((failures, percent)) = config.excess {
            builder = builder.excess_failures(failures, f64::from(percent) / 100.0);
        }
        let breaker = builder
            .consecutive_failures(config.consecutive)
            .failures_of_last(config.failures, config.window)
            .recovery_timeout(millis(config.recovery))
            .max_recovery_timeout(millis(config.max_recovery))
            .probes(config.probes)
            .success_threshold(config.successes)
            .probe_timeout(millis(config.probe_timeout))
            .jitter(0.0)
            .build()
            .expect("all configs are good");
        Self {
            breaker,
            model: Model::new(config),
            running: Vec::new(),
            leaked: 0,
        }
    }

    fn take(&mut self, at: usize) -> Option<(Permit, Attempt)> {
        let len = self.running.len();
        (len > 0).then(|| self.running.swap_remove(at % len))
    }

    async fn make(&mut self, step: Step) {
        self.model.step += 1;
        match step {
            Step::Acquire => self.acquire(),
            Step::Advance(millis) => {
                self.model.now += millis;
                advance(Duration::from_millis(millis)).await;
            }
            Step::Head(at, verdict) => {
                if let Some((mut permit, mut attempt)) = self.take(at) {
                    permit.head(verdict);
                    self.model.head(&mut attempt, verdict);
                    self.running.push((permit, attempt));
                }
            }
            Step::Record(at, verdict) => {
                if let Some((permit, attempt)) = self.take(at) {
                    permit.record(verdict);
                    self.model.record(attempt, verdict);
                }
            }
            Step::Drop(at) => {
                if let Some((permit, attempt)) = self.take(at) {
                    drop(permit);
                    self.model.drop(attempt);
                }
            }
            Step::Leak(at) => {
                if let Some((permit, _)) = self.take(at) {
                    std::mem::forget(permit);
                    self.leaked += 1;
                }
            }
        }
        self.check();
    }

    fn acquire(&mut self) {
        let admitted = self.admit();
        self.running.extend(admitted);
    }

    fn admit(&mut self) -> Option<(Permit, Attempt)> {
        let expected = self.model.acquire();
        match self.breaker.try_acquire() {
            Ok(permit) => {
                let attempt = expected.expect("the model rejects");
                assert_eq!(permit.is_probe(), attempt.probe);
                Some((permit, attempt))
            }
            Err(open) => {
                assert!(expected.is_none(), "the model admits");
                let expected = self.model.retry_in().map(Duration::from_millis);
                assert_eq!(open.retry_in(), expected);
                None
            }
        }
    }

    fn check(&self) {
        let (breaker, model) = (&self.breaker, &self.model);
        assert_eq!(breaker.state(), model.state);
        let retry_in = model.retry_in();
        assert_eq!(breaker.retry_in(), retry_in.map(Duration::from_millis));
        assert_eq!(breaker.would_admit(), retry_in.is_none());
        assert_eq!(breaker.health(), model.health());
        assert_eq!(breaker.late_verdicts(), model.late);
    }

    /// The breaker closes with time, even with held or leaked permits.
    async fn is_not_stuck(&mut self) {
        let config = self.model.config;
        advance(Duration::from_millis(
            config.max_recovery + config.probe_timeout,
        ))
        .await;
        for _ in 0..config.successes {
            let permit = self.breaker.try_acquire().expect("time is over");
            permit.record(SUCCESS);
        }
        assert_eq!(self.breaker.state(), CLOSED);
    }
}

fn config() -> impl Strategy<Value = Config> {
    let numbers = (1..6u32, 1..9u32, 1..5u32, 1..5u32);
    let times = (1..50u64, 0..300u64, 1..200u64);
    let span = prop_oneof![
        (3..100usize).prop_map(Span::Calls),
        (1..30u64).prop_map(Span::Ticks),
    ];
    let rate = (1..=100usize, 1..=3usize, span).prop_map(|(percent, min_calls, span)| Rate {
        percent,
        min_calls,
        span,
    });
    // With a rate, half of the breakers have no other rule.
    let rate = prop::option::of((rate, any::<bool>()));
    let excess = prop::option::of((1..6u32, 1..100u32));
    (numbers, 0..9u32, times, rate, excess).prop_map(|(numbers, more, times, rate, excess)| {
        Config {
            excess,
            consecutive: match rate {
                Some((_, true)) => 1000,
                _ => numbers.0,
            },
            failures: match rate {
                Some((_, true)) => 64,
                _ => numbers.1,
            },
            window: match rate {
                Some((_, true)) => 64,
                _ => numbers.1 + more,
            },
            rate: rate.map(|(rate, _)| rate),
            recovery: times.0,
            max_recovery: times.0 + times.1,
            probes: numbers.2,
            successes: numbers.3,
            probe_timeout: times.2,
        }
    })
}

fn verdict() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        4 => Just(SUCCESS),
        2 => Just(FAILURE),
        3 => Just(LOST),
        1 => Just(NEUTRAL),
        1 => Just(Verdict::new(Class::CallerFault)),
        1 => Just(Verdict::new(Class::Timeout)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let at = any::<usize>;
    prop_oneof![
        12 => Just(Step::Acquire),
        3 => (at(), verdict()).prop_map(|(at, verdict)| Step::Head(at, verdict)),
        7 => (at(), verdict()).prop_map(|(at, verdict)| Step::Record(at, verdict)),
        2 => at().prop_map(Step::Drop),
        1 => at().prop_map(Step::Leak),
        4 => (1..80u64).prop_map(Step::Advance),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// 512 runs of 100 to 400 steps, about 128,000 in total.
    #[test]
    fn breaker_matches_model(
        config in config(),
        steps in prop::collection::vec(step(), 100..400),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let start = Instant::now();
            let mut pair = Pair::new(config);
            for &step in &steps {
                pair.make(step).await;
            }
            assert_eq!(start.elapsed(), Duration::from_millis(pair.model.now));
            pair.is_not_stuck().await;
        });
    }
}

const TASKS: u64 = 64;
const CALLS: usize = 1_600;

/// The state that all tasks share.
struct Stage {
    pair: Pair,
    start: Instant,
    admitted: usize,
    rejected: usize,
}

impl Stage {
    /// Makes a step of a task at the current time.
    fn step<T>(stage: &RefCell<Self>, step: impl FnOnce(&mut Pair) -> T) -> T {
        let mut stage = stage.borrow_mut();
        stage.pair.model.step += 1;
        let now = stage.start.elapsed().as_millis();
        stage.pair.model.now = now.try_into().expect("some minutes");
        let result = step(&mut stage.pair);
        stage.pair.check();
        result
    }
}

/// Makes [`CALLS`] calls. Some are slow, and some are dropped.
async fn call(stage: Rc<RefCell<Stage>>, mut random: impl FnMut(u64) -> u64) {
    const VERDICTS: [Verdict; 2] = [FAILURE, LOST];
    for _ in 0..CALLS {
        sleep(Duration::from_millis(random(40))).await;
        let Some((mut permit, mut attempt)) = Stage::step(&stage, Pair::admit) else {
            stage.borrow_mut().rejected += 1;
            continue;
        };
        stage.borrow_mut().admitted += 1;
        sleep(Duration::from_millis(random(30))).await;
        // A tenth fails for three seconds, then most calls fail for one second.
        let is_out = stage.borrow().start.elapsed().as_millis() / 1_000 % 4 == 3;
        let verdict = match random(10) {
            draw if draw < if is_out { 7 } else { 1 } => VERDICTS[random(2) as usize],
            9 => NEUTRAL,
            _ => SUCCESS,
        };
        if random(4) == 0 {
            Stage::step(&stage, |pair| {
                permit.head(verdict);
                pair.model.head(&mut attempt, verdict);
            });
            sleep(Duration::from_millis(random(60))).await;
        }
        if random(5) == 0 {
            Stage::step(&stage, |pair| {
                drop(permit);
                pair.model.drop(attempt);
            });
        } else {
            Stage::step(&stage, |pair| {
                permit.record(verdict);
                pair.model.record(attempt, verdict);
            });
        }
    }
}

/// Tasks with attempts of their own share one breaker, in more than 100,000 steps. The clock jumps
/// to the next timer.
#[tokio::test(start_paused = true)]
async fn breaker_matches_model_with_many_tasks() {
    let config = Config {
        consecutive: 6,
        failures: 20,
        window: 40,
        excess: Some((10, 40)),
        recovery: 20,
        max_recovery: 160,
        probes: 3,
        successes: 4,
        probe_timeout: 50,
        rate: Some(Rate {
            percent: 70,
            min_calls: 20,
            span: Span::Calls(30),
        }),
    };
    let stage = Rc::new(RefCell::new(Stage {
        pair: Pair::new(config),
        start: Instant::now(),
        admitted: 0,
        rejected: 0,
    }));
    let tasks = LocalSet::new();
    for task in 0..TASKS {
        let mut seed = task + 1;
        let random = move |below: u64| {
            // Knuth's generator. Its upper bits are good.
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) % below
        };
        tasks.spawn_local(call(stage.clone(), random));
    }
    tasks.await;
    let stage = stage.borrow();
    let (model, breaker) = (&stage.pair.model, &stage.pair.breaker);
    assert!(model.step > 100_000, "{}", model.step);
    assert!(stage.rejected > 5_000 && stage.admitted > 20_000);
    assert!(model.transitions > 200 && breaker.late_verdicts() > 200);
}
