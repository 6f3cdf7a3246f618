//! scratch
use std::time::Duration;
use steadfast_lab::*;
fn main() {
    let second = Duration::from_secs(1);
    let e = |name, q, median| {
        Endpoint::new(name)
            .requests(Quota::new(q, second))
            .latency(Latency::LogNormal(second.mul_f64(median), 0.5))
    };
    for load in [0.8, 0.95, 1.1] {
        let s = Scenario::new("quota")
            .endpoint(e("a", 20, 1.0))
            .endpoint(e("b", 10, 1.5))
            .endpoint(e("c", 5, 2.0))
            .endpoint(e("d", 5, 4.0))
            .load(load)
            .lasting(if load > 1.0 {
                3600 * second
            } else {
                240 * second
            });
        for p in policies() {
            let t = std::time::SystemTime::now();
            let mut r = s.run(&*p, 1);
            r.details.attempts.clear();
            r.details.arrivals.clear();
            r.details.successes.clear();
            println!(
                "{} {:?} waited {:?} {:?}",
                serde_json::to_string(&r).unwrap(),
                t.elapsed().unwrap(),
                r.details.waited_s,
                r.details.served
            );
        }
    }
}
