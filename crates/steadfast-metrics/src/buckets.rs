/// Buckets for the histograms with names that end in `_seconds`.
///
/// The numbers up to 81.92 are the recommendation of the OpenTelemetry conventions for
/// `gen_ai.client.operation.duration`. Three further doublings cover long completions, which take
/// minutes. The default timeout for a completion is ten minutes.
pub const SECONDS_BUCKETS: [f64; 17] = [
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84,
    327.68, 655.36,
];

/// Buckets for [`REQUEST_ATTEMPTS`](crate::names::REQUEST_ATTEMPTS).
///
/// Zero is a request without an admissible endpoint. Up to three, the usual limit of attempts, each
/// number has its own bucket.
pub const ATTEMPTS_BUCKETS: [f64; 6] = [0.0, 1.0, 2.0, 3.0, 5.0, 8.0];
