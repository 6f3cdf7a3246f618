use std::future::Future;
use std::sync::{Arc, Mutex};

use hyper::rt::Executor;
use tokio::task::JoinSet;

use crate::sync::lock;

/// The tasks of one connection's HTTP/2 streams. They end with the connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Streams(Arc<Mutex<JoinSet<()>>>);

impl<F> Executor<F> for Streams
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let mut tasks = lock(&self.0);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(async move {
            stream.await;
        });
    }
}
