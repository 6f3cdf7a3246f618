use super::*;
use crate::config::PoolConfig;
use crate::pool::handle::PoolHandle;
use crate::pool::services::Services;
use crate::select::strategy::Strategy;
use crate::service::EndpointBalance;
use crate::state::limits::demand::Demand;
use http::{Request, Response};

use std::convert::Infallible;
use std::sync::OnceLock;
use std::task::{Wake, Waker};
use tower::ServiceExt;

/// Returns the context of a pool with a fixed seed.
pub(crate) fn shared(strategy: Strategy) -> PoolContext {
    PoolContext::new(PoolConfig {
        strategy: Arc::new(strategy),
        seed: Some(1),
        ..PoolConfig::default()
    })
}

/// Returns a pool with one endpoint for each of these tiers.
pub(crate) fn pool(tiers: &[u16]) -> Pool {
    let endpoint = |(n, tier): (usize, &u16)| {
        let endpoint = Endpoint::new(&n.to_string(), "http://a.test").unwrap();
        endpoint.tier(*tier)
    };
    Pool::new(
        shared(Strategy::Failover),
        tiers.iter().enumerate().map(endpoint).collect(),
    )
    .unwrap()
}

/// A thread may be suspended between its stores of the new snapshot and of the new version.
/// Requests used to repeat their check of the version meanwhile, until their stack was exhausted.
#[tokio::test]
async fn change_without_its_version_does_not_block_a_request() {
    let pool = Arc::new(pool(&[0]));
    let answer = async |_: Request<()>| Ok::<_, Infallible>(Response::new(String::new()));
    let all = pool.snapshot().all.clone();
    let version = pool.version() + 1;
    pool.snapshot
        .store(Arc::new(PoolSnapshot::new(version, all)));
    let services = Services::new(pool, move |_| tower::service_fn(answer));
    let service = EndpointBalance::new(services);
    assert!(service.oneshot(Request::new(())).await.is_ok());
}

/// Whether the pool could be changed, in each call of code of the user.
#[derive(Default)]
struct Free {
    pool: OnceLock<Arc<Pool>>,
    calls: Mutex<Vec<bool>>,
}

impl Free {
    /// A pool of endpoints whose breakers hold this value.
    fn pool(self: &Arc<Self>) -> Arc<Pool> {
        let pool = Pool::new(shared(Strategy::Failover), vec![self.endpoint("0")]).unwrap();
        let pool = Arc::new(pool);
        assert!(self.pool.set(pool.clone()).is_ok());
        pool
    }

    fn endpoint(self: &Arc<Self>, name: &str) -> Endpoint {
        let dropped = NoteAtDrop(self.clone());
        let observer = steadfast_core::observer_fn(move |_: &steadfast_core::Event| {
            let _ = &dropped;
        });
        let breaker = Endpoint::default_breaker().observer(observer);
        Endpoint::new(name, "http://a.test")
            .unwrap()
            .breaker(breaker)
    }

    fn note(&self) {
        let pool = self.pool.get().expect("it is built");
        let is_free = pool.edit.try_lock().is_ok();
        self.calls.lock().unwrap().push(is_free);
    }
}

impl Wake for Free {
    fn wake(self: Arc<Self>) {
        self.note();
    }
}

struct NoteAtDrop(Arc<Free>);

impl Drop for NoteAtDrop {
    fn drop(&mut self) {
        self.0.note();
    }
}

/// A waker, an iterator or a destructor that changed the pool once waited for itself.
#[tokio::test(start_paused = true)]
async fn code_of_the_user_runs_without_the_lock() {
    let free = Arc::new(Free::default());
    let pool = free.pool();
    let handle = PoolHandle::new(pool.clone());
    let waker = Waker::from(free.clone());
    let queue = &pool.shared.signals.queue;
    queue.join(Instant::now(), &Demand::default(), &waker);

    let iterator = ["1", "2"].into_iter().map(|name| {
        free.note();
        free.endpoint(name)
    });
    handle.replace(iterator).unwrap();
    let calls = std::mem::take(&mut *free.calls.lock().unwrap());
    assert_eq!(
        calls, [true; 4],
        "two steps, the old endpoint, and the waker"
    );
}
