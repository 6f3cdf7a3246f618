use super::*;
use crate::world::{Arrivals, Endpoint, Trouble};
use steadfast_testkit::Quota;

const SECOND: Duration = Duration::from_secs(1);

fn served(caller: usize, arrived: u32) -> Record {
    Record {
        arrived: arrived * SECOND,
        took: SECOND,
        caller,
        served_by: Some(0),
        attempts: 1,
        ..Record::default()
    }
}

fn rejected(arrived: u32, hint: Option<u32>) -> Record {
    Record {
        served_by: None,
        hint: hint.map(|seconds| seconds * SECOND),
        ..served(0, arrived)
    }
}

fn cancelled(arrived: u32) -> Record {
    Record {
        served_by: None,
        cancelled: true,
        ..served(1, arrived)
    }
}

/// The first caller may send 2/s and the other one as much as it wants.
fn two_callers() -> Scenario {
    let caller = |name| Caller::new(name, Arrivals::Constant(1.0));
    Scenario::new("two")
        .endpoint(Endpoint::new("a").requests_of("limited", Quota::new(1, SECOND)))
        .endpoint(Endpoint::new("b").requests_of("limited", Quota::new(1, SECOND)))
        .caller(caller("limited"))
        .caller(caller("free"))
        .lasting(2 * SECOND)
}

#[test]
fn fair_share_is_quota_or_less_if_less_is_sent() {
    let few = [served(0, 0), served(0, 0), rejected(0, None)];
    let more = [few.as_slice(), &[served(0, 1); 3]].concat();
    let fair = |records: &[Record]| of_callers(&two_callers(), records)[0].of_fair_share;
    assert_eq!(fair(&few), 2.0 / 3.0);
    assert_eq!(fair(&more), 1.0);
    assert_eq!(fair(&[served(0, 0); 9]), 1.0, "more than its quota");
    assert_eq!(fair(&[rejected(0, None); 9]), 0.0);
}

#[test]
fn requests_count_at_their_caller() {
    let late = Record {
        attempts: 3,
        waited: 2 * SECOND,
        ..served(1, 1)
    };
    let reports = of_callers(&two_callers(), &[served(0, 0), late, cancelled(1)]);
    let counts = |n: usize| (reports[n].requests, reports[n].failed);
    assert_eq!((counts(0), counts(1)), ((1, 0), (2, 1)));
    assert_eq!(reports[0].waited_max_s, 0.0);
    assert_eq!(reports[1].waited_max_s, 2.0);
    assert_eq!(reports[1].attempts_per_request, 2.0);
    assert_eq!(reports[1].of_fair_share, 0.5);
}

#[test]
fn hint_holds_if_request_is_served_within_second_after_it() {
    let holds = |hint, other: Record| {
        let records = [rejected(0, hint), other, served(0, 9)];
        Rejections::new(&records).hints_hold
    };
    // It is answered after 1 s, so it comes back at 4 s.
    assert_eq!(holds(Some(3), served(0, 4)), Some(1.0));
    assert_eq!(holds(Some(3), served(0, 5)), Some(1.0));
    assert_eq!(holds(Some(3), served(0, 6)), Some(0.0));
    assert_eq!(holds(Some(3), served(0, 3)), Some(0.0));
    assert_eq!(holds(Some(3), cancelled(4)), Some(0.0));
    assert_eq!(holds(None, served(0, 4)), Some(0.0));
    assert_eq!(
        holds(Some(20), served(0, 4)),
        None,
        "after the last arrival"
    );
}

/// A hint holds for one of many requests, and a caller that returns is only one of them.
#[test]
fn returning_caller_is_served_if_next_request_is_served() {
    let share = |hint, others: [Record; 2]| {
        let [first, second] = others;
        Rejections::new(&[served(0, 3), rejected(0, hint), second, first]).returns_served
    };
    // Its own hint is later than the last arrival.
    let lost = |at| rejected(at, Some(9));
    assert_eq!(share(Some(3), [served(0, 4), lost(5)]), Some(1.0));
    assert_eq!(share(Some(3), [lost(4), served(0, 5)]), Some(0.0));
    assert_eq!(share(Some(3), [cancelled(4), served(0, 5)]), Some(0.0));
    assert_eq!(share(None, [served(0, 4), served(0, 5)]), Some(0.0));
    assert_eq!(share(Some(20), [served(0, 4), served(0, 5)]), None);
}

#[test]
fn cancelled_request_is_no_rejection() {
    let found = Rejections::new(&[served(0, 0), cancelled(1), rejected(2, Some(4))]);
    assert_eq!(found.share, 1.0 / 3.0);
    assert_eq!((found.p99_s, found.hint_s), (Some(1.0), Some(4.0)));
    assert_eq!(Rejections::new(&[cancelled(1)]).p99_s, None);
}

#[test]
fn request_counts_once_endpoint_is_healthy_for_two_seconds() {
    let scenario = Scenario::new("a")
        .endpoint(Endpoint::new("a").trouble(0..10, Trouble::Hangs))
        .endpoint(Endpoint::new("b").trouble(0..20, Trouble::Refuses));
    let share = |records: &[Record]| with_healthy_endpoint(&scenario, records);
    assert_eq!(share(&[rejected(11, None)]), None);
    assert_eq!(share(&[rejected(12, None)]), Some(0.0));
    assert_eq!(share(&[rejected(11, None), served(0, 12)]), Some(1.0));
    let sound = Scenario::new("a").endpoint(Endpoint::new("a"));
    assert_eq!(with_healthy_endpoint(&sound, &[served(0, 5)]), None);
}

#[test]
fn share_of_quota_needs_limits() {
    let scenario = two_callers();
    assert_eq!(of_quota(&scenario, 3), Some(0.75));
    assert_eq!(
        of_quota(&Scenario::new("a").endpoint(Endpoint::new("a")), 3),
        None
    );
}
