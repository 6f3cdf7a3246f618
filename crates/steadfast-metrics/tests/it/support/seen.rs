use metrics::LocalRecorderGuard;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};

/// The values that a recorder has received since the last look.
pub(crate) struct Seen(Snapshotter);

/// Records the metrics of this thread, as long as the guard lives.
pub(crate) fn record() -> (Seen, LocalRecorderGuard<'static>) {
    let recorder: &'static _ = Box::leak(Box::new(DebuggingRecorder::new()));
    (
        Seen(recorder.snapshotter()),
        metrics::set_default_local_recorder(recorder),
    )
}

impl Seen {
    /// Takes everything new, sorted, such as `requests_total{outcome=success} 1`.
    ///
    /// A gauge is shown by its change. Unchanged values are omitted, so a comparison of the whole
    /// list also detects unexpected values.
    pub(crate) fn take(&self) -> Vec<String> {
        let mut lines: Vec<_> = self
            .0
            .snapshot()
            .into_vec()
            .into_iter()
            .filter_map(|(key, _, _, value)| {
                let value = match value {
                    DebugValue::Counter(0) => return None,
                    DebugValue::Counter(n) => n.to_string(),
                    DebugValue::Gauge(n) if n.0 == 0.0 => return None,
                    DebugValue::Gauge(n) => format!("{:+}", n.0),
                    DebugValue::Histogram(values) if values.is_empty() => return None,
                    DebugValue::Histogram(values) => {
                        format!("{:?}", values.iter().map(|n| n.0).collect::<Vec<_>>())
                    }
                };
                Some(format!("{} {value}", series(key.key())))
            })
            .collect();
        lines.sort();
        lines
    }

    /// The names and labels of all series so far, sorted. Forgets the values.
    pub(crate) fn series(&self) -> Vec<String> {
        let snapshot = self.0.snapshot().into_vec();
        let mut names: Vec<_> = snapshot.iter().map(|(key, ..)| series(key.key())).collect();
        names.sort();
        names
    }
}

fn series(key: &metrics::Key) -> String {
    let name = key.name().strip_prefix("steadfast_").expect("our prefix");
    let labels: Vec<_> = key
        .labels()
        .map(|label| format!("{}={}", label.key(), label.value()))
        .collect();
    if labels.is_empty() {
        name.to_owned()
    } else {
        format!("{name}{{{}}}", labels.join(","))
    }
}
