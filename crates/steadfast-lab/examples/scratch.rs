//! scratch
use std::time::Duration;
use steadfast_lab::{Endpoint, Latency, Quota, Scenario, policies};
fn main() {
    let load: f64 = std::env::args().nth(1).unwrap().parse().unwrap();
    let rate: u32 = std::env::args().nth(2).unwrap().parse().unwrap();
    let n: usize = std::env::args().nth(3).unwrap().parse().unwrap();
    let second = Duration::from_secs(1);
    let mut s = Scenario::new("mine");
    for name in ["a", "b", "c", "d"].into_iter().take(n) {
        s = s.endpoint(
            Endpoint::new(name)
                .requests(Quota::new(rate, second))
                .latency(Latency::LogNormal(second, 0.5)),
        );
    }
    let s = s.load(load).lasting(600 * second);
    for policy in policies()
        .iter()
        .filter(|p| p.name().contains("least-loaded") || p.name() == "envoy")
    {
        let r = s.run(&**policy, 1);
        let util = r.success * r.requests as f64 / (f64::from(rate) * n as f64 * 600.0);
        println!(
            "util {util:.4} {:24} {:6.2} %  att {:.4} 429 {:.4} p50 {:.2?} p99 {:.2?}",
            r.policy,
            100.0 * r.success,
            r.attempts_per_request,
            r.rate_limited_per_request,
            r.p50_s,
            r.p99_s
        );
    }
}
