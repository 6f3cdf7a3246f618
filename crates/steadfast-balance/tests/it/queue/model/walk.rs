//! The steps of a walk, and the checks after each of them.

use std::collections::HashMap;
use std::time::Duration;

use fastrand::Rng;
use steadfast_balance::{PoolHandle, WhenExhausted};
use steadfast_core::LimitKey;
use tokio::time::{Instant, advance};
use tower::Service;

use super::super::{Balancer, Waiter};
use super::servers::{CALLERS, MODELS, NAMES, Servers, Wish};
use crate::support::{MS, Net, SECOND, balancer, endpoint, pool, with_deadline};

/// The longest queue.
const MOST: usize = 60;
/// The longest time without a request at an endpoint that a waiter wants, beyond the time of three
/// attempts at the send rate.
const BOUND: Duration = Duration::from_secs(1);
/// A second waiter searches so much later, if the first is not polled.
const GRACE: Duration = Duration::from_millis(100);

/// A request of the walk that has not ended.
struct Waiting {
    number: usize,
    wish: Wish,
    waiter: Waiter,
    deadline: Option<Instant>,
    /// Whether its task is not polled, although it is woken.
    lazy: bool,
    /// Whether a server has received it.
    sent: bool,
    /// The changes of the endpoints that it knows. It learns of a change at its next poll.
    knows: usize,
}

/// The end of a request, or its present state.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Waiting,
    Sent,
    Rejected,
    Cancelled,
}

/// The requests of one walk, and their pool.
pub(super) struct Walk {
    seed: u64,
    rng: Rng,
    service: Balancer,
    handle: PoolHandle,
    servers: Servers,
    passes: [bool; 3],
    enabled: [bool; 3],
    /// The number of changes of the endpoints.
    changes: usize,
    waiting: Vec<Waiting>,
    /// The end of each request, by its number.
    ends: Vec<End>,
    /// The number of requests that reached a server.
    received: usize,
    /// The number of requests that were cancelled with an attempt in flight, and of late ones.
    late: usize,
    /// When an endpoint last got a request with a model, or had no waiter for it.
    progress: HashMap<(usize, usize), Instant>,
}

impl Walk {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let net = Net::new();
        let passes = [false, rng.bool(), false];
        let quota = [3.0, 5.0, 10.0][rng.usize(..3)];
        let servers = Servers::start(&net, quota, passes);
        let count = 2 + rng.usize(..2);
        let endpoints = (0..count).map(|n| endpoint(NAMES[n]).pass_credentials(passes[n]));
        let when_exhausted = [WhenExhausted::Fail, WhenExhausted::Wait][rng.usize(..2)];
        let builder = pool(&[])
            .endpoints(endpoints)
            .when_exhausted(when_exhausted);
        let (service, handle) = balancer(builder.seed(seed), &net);
        Self {
            seed,
            rng,
            service,
            handle,
            servers,
            passes,
            enabled: [true, true, count > 2],
            changes: 0,
            waiting: Vec::new(),
            ends: Vec::new(),
            received: 0,
            late: 0,
            progress: HashMap::new(),
        }
    }

    /// The number of requests without an end.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.iter().filter(|it| !it.sent).count()
    }

    pub(super) fn sent(&self) -> usize {
        self.received
    }

    /// The number of requests that were sent, rejected, cancelled, and cancelled in flight.
    pub(super) fn ends(&self) -> [usize; 4] {
        let count = |end| self.ends.iter().filter(|it| **it == end).count();
        let (sent, rejected) = (count(End::Sent), count(End::Rejected));
        [sent, rejected, count(End::Cancelled), self.late]
    }

    /// A request arrives, its caller cancels it, an operator changes an endpoint, or time passes.
    pub(super) async fn step(&mut self) {
        match self.rng.u32(..100) {
            0..55 if self.waiting.len() < MOST => self.arrive(),
            55..65 if !self.waiting.is_empty() => {
                let at = self.rng.usize(..self.waiting.len());
                self.cancel(at);
            }
            65..67 => self.operate(),
            _ => {
                let hundredths = self.rng.u32(1..6);
                self.pass(hundredths).await;
            }
        }
        self.look();
    }

    fn arrive(&mut self) {
        let number = self.ends.len();
        let only = (self.rng.u32(..4) == 0).then(|| self.rng.usize(..2));
        let wish = Wish {
            // Most requests are for one model.
            model: self
                .rng
                .usize(..MODELS.len())
                .min(self.rng.usize(..MODELS.len())),
            caller: self.rng.usize(..CALLERS.len()),
            only,
        };
        let mut request = wish.request(number, self.knows_callers());
        let mut deadline = None;
        if self.rng.u32(..4) == 0 {
            let time = 100 * MS * self.rng.u32(1..50);
            deadline = Some(Instant::now() + time);
            request = with_deadline(request, time);
        }
        self.ends.push(End::Waiting);
        self.waiting.push(Waiting {
            number,
            wish,
            waiter: tokio_test::task::spawn(self.service.clone().call(request)),
            deadline,
            lazy: self.rng.u32(..50) == 0,
            sent: false,
            knows: self.changes,
        });
        self.poll(self.waiting.len() - 1);
    }

    fn cancel(&mut self, at: usize) {
        let cancelled = self.waiting.remove(at);
        match cancelled.sent {
            true => self.late += 1,
            false => self.ends[cancelled.number] = End::Cancelled,
        }
    }

    fn operate(&mut self) {
        let n = self.rng.usize(..2);
        let (name, model) = (NAMES[n], MODELS[self.rng.usize(..MODELS.len())]);
        let known = "the endpoint exists";
        self.changes += 1;
        match self.rng.u32(..6) {
            0 => {
                let wait = 100 * MS * self.rng.u32(1..12);
                let key = LimitKey::new(model);
                self.handle.cool_key(name, &key, wait).expect(known);
            }
            1 => self.handle.restore(name).expect(known),
            2 => {
                self.handle.disable(name).expect(known);
                self.enabled[n] = false;
            }
            _ => {
                self.handle.enable(name).expect(known);
                self.enabled[n] = true;
            }
        }
    }

    /// Polls a request, and checks what follows.
    fn poll(&mut self, at: usize) {
        let waiting = &mut self.waiting[at];
        waiting.knows = self.changes;
        let answer = waiting.waiter.poll();
        self.note_sent();
        if let std::task::Poll::Ready(answer) = answer {
            let ended = self.waiting.remove(at);
            assert_eq!(answer.is_ok(), ended.sent, "{}: {answer:?}", ended.number);
            if !ended.sent {
                self.ends[ended.number] = End::Rejected;
            }
        }
        self.look();
    }

    /// Polls the requests that are woken, in random order.
    fn poll_woken(&mut self) {
        loop {
            let woken: Vec<_> = (0..self.waiting.len())
                .filter(|at| self.waiting[*at].waiter.is_woken() && !self.waiting[*at].lazy)
                .collect();
            match self.rng.choice(woken) {
                Some(at) => self.poll(at),
                None => return,
            }
        }
    }

    /// Returns whether requests have the credentials of their callers. A caller may then test a
    /// limit that follows from the refusals of another one, before its waiters.
    fn knows_callers(&self) -> bool {
        self.passes.contains(&true)
    }

    /// Lets some hundredths of a second pass. A woken waiter is polled soon, or it would lose its
    /// turn.
    async fn pass(&mut self, hundredths: u32) {
        for _ in 0..hundredths {
            self.poll_woken();
            advance(10 * MS).await;
            self.poll_woken();
        }
        self.check_progress();
    }

    /// Checks the requests that reached a server, and the number of waiters.
    fn look(&mut self) {
        self.note_sent();
        assert_eq!(self.handle.waiting(), self.waiting(), "seed {}", self.seed);
    }

    /// Checks the requests that reached a server since the last call.
    fn note_sent(&mut self) {
        for (endpoint, number) in self.servers.since(self.received) {
            self.received += 1;
            let seed = self.seed;
            let end = std::mem::replace(&mut self.ends[number], End::Sent);
            assert_eq!(end, End::Waiting, "seed {seed}: {number} was sent");
            let at = self.waiting.iter().position(|it| it.number == number);
            let at = at.expect("its future was polled");
            self.waiting[at].sent = true;
            let wish = self.waiting[at].wish;
            self.progress.insert((endpoint, wish.model), Instant::now());
            let passed_over = self.waiting[..at].iter().find(|earlier| {
                let competes = earlier.wish.model == wish.model
                    && match self.passes[endpoint] {
                        true => earlier.wish.caller == wish.caller,
                        false => !self.knows_callers(),
                    };
                let waits = !earlier.lazy && !earlier.sent && earlier.knows == self.changes;
                competes && earlier.wish.wants(endpoint) && waits
            });
            if let Some(earlier) = passed_over {
                let other = (earlier.wish, earlier.waiter.is_woken());
                let earlier = earlier.number;
                panic!(
                    "seed {seed}: {number} got a slot of {earlier} at {endpoint}: {wish:?} {other:?}"
                );
            }
        }
    }

    /// Checks that each endpoint gets requests as long as a waiter wants it, and that no waiter
    /// outlives its deadline.
    fn check_progress(&mut self) {
        let (now, seed) = (Instant::now(), self.seed);
        let lazy = self.waiting.iter().filter(|it| it.lazy).count() as u32;
        let mut wanted = [[false; 3]; 3];
        for it in self.waiting.iter().filter(|it| !it.lazy && !it.sent) {
            let late = it.deadline.filter(|deadline| *deadline < now);
            assert_eq!(late, None, "seed {seed}: {} outlives it", it.number);
            for (endpoint, models) in wanted.iter_mut().enumerate() {
                // The send rates of credentials are not in the status of the key.
                models[it.wish.model] |=
                    it.wish.wants(endpoint) && self.enabled[endpoint] && !self.passes[endpoint];
            }
        }
        let status = self.handle.status();
        for (endpoint, status) in status.iter().enumerate() {
            for (model, name) in MODELS.into_iter().enumerate() {
                let key = Some(LimitKey::new(name));
                let key = status.keys.iter().find(|status| status.key == key);
                let cools = key.is_some_and(|key| key.cooling.is_some());
                let since = self.progress.entry((endpoint, model)).or_insert(now);
                if !wanted[endpoint][model] || cools {
                    *since = now;
                }
                let rate = key.and_then(|key| key.rate).unwrap_or(1_000.0);
                let bound = BOUND + Duration::from_secs_f64(3.0 / rate) + GRACE * lazy;
                let waited = now - *since;
                assert!(
                    waited < bound,
                    "seed {seed}: {name} waited {waited:?} for {endpoint}: {status:?}"
                );
            }
        }
    }

    /// Passes time without an arrival, whose search would wake the other waiters. Only the first
    /// waiters have timers, and their callers cancel them.
    pub(super) async fn be_quiet(&mut self) {
        for _ in 0..12 {
            for _ in 0..2.min(self.waiting.len()) {
                self.cancel(0);
            }
            self.look();
            self.pass(30).await;
        }
    }

    /// Ends all requests but the lazy ones. The servers serve each request meanwhile.
    pub(super) async fn drain(&mut self) {
        for (n, name) in NAMES.into_iter().enumerate().take(2) {
            self.handle.enable(name).expect("the endpoint exists");
            self.enabled[n] = true;
        }
        self.changes += 1;
        *self.servers.unlimited.lock().unwrap() = true;
        let start = Instant::now();
        while self.waiting.iter().any(|it| !it.lazy) {
            let left = self.waiting.len();
            assert!(
                start.elapsed() < 20 * SECOND,
                "seed {}: {left} left",
                self.seed
            );
            self.pass(1).await;
        }
        for lazy in std::mem::take(&mut self.waiting) {
            self.ends[lazy.number] = match lazy.sent {
                true => End::Sent,
                false => End::Cancelled,
            };
        }
        assert_eq!(self.handle.waiting(), 0, "seed {}", self.seed);
        *self.servers.unlimited.lock().unwrap() = false;
    }
}
