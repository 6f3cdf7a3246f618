use super::*;
use crate::pool::tests::pool;
use steadfast_core::{Attempt, Verdict};

/// The time of a failed attempt is no wait for a slot, so it shows no overload.
#[tokio::test(start_paused = true)]
async fn only_refused_attempts_count_as_a_wait_for_a_slot() {
    let (limited, failed) = (Class::RateLimited, Class::ServerError);
    for (classes, counts) in [
        (vec![], true),
        (vec![limited], true),
        (vec![limited, limited], true),
        (vec![failed], false),
        (vec![limited, failed], false),
        (vec![failed, limited], false),
    ] {
        let (pool, context) = (pool(&[0]), RequestContext::default());
        let (snapshot, now) = (pool.snapshot(), Instant::now());
        let came = now - Duration::from_secs(1);
        let attempt = |class: &Class| Attempt::new(came, Verdict::new(*class));
        let eligibility = Eligibility {
            tried: classes.iter().map(attempt).collect(),
            ..context.eligibility(&pool.shared, &snapshot)
        };
        let view = View {
            pool: &pool,
            shared: &pool.shared,
            snapshot: &snapshot,
            context: &context,
            eligibility: &eligibility,
            epoch: 0,
            now,
        };
        let expected = if counts { came } else { now };
        assert_eq!(view.waits_since(came), expected, "{classes:?}");
    }
}
