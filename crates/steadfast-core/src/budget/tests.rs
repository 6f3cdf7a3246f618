use super::*;
use proptest::prelude::*;

#[test]
fn withdrawal_beyond_the_balance_is_refused() {
    let budget = RetryBudget::default();
    let taken: Vec<_> = std::iter::from_fn(|| budget.try_withdraw(14)).collect();
    assert_eq!(taken.len(), 35, "500 / 14");
    assert_eq!(budget.available(), 10);
    assert!(
        budget.try_withdraw(0).is_some(),
        "a free withdrawal is never refused"
    );
}

#[test]
fn spent_withdrawal_is_not_returned() {
    let budget = RetryBudget::new(10);
    budget.try_withdraw(4).expect("ten are there").spend();
    drop(budget.try_withdraw(4));
    assert_eq!(budget.available(), 6);
    budget.deposit(100);
    assert_eq!(
        budget.available(),
        10,
        "a bucket holds no more than its capacity"
    );
}

#[test]
fn joined_withdrawals_keep_all_tokens() {
    let budget = RetryBudget::new(20);
    let take = |tokens| budget.try_withdraw(tokens).expect("it is there");
    let both = take(2).join(take(12));
    assert_eq!((both.tokens(), budget.available()), (14, 6));
    let other = RetryBudget::new(5);
    let both = both.join(other.try_withdraw(5).expect("it is full"));
    assert_eq!((both.tokens(), other.available()), (14, 5));
    both.spend();
    assert_eq!((budget.available(), other.available()), (6, 5));
}

#[test]
fn withdrawal_leaves_the_rest() {
    let budget = RetryBudget::new(20);
    assert!(budget.try_withdraw_leaving(7, 14).is_none());
    assert_eq!(budget.available(), 20);
    budget
        .try_withdraw_leaving(6, 14)
        .expect("6 are left")
        .spend();
    assert!(
        budget.try_withdraw_leaving(20, 0).is_some(),
        "a free withdrawal leaves all"
    );
}

/// One HTTP/2 connection with 100 streams was lost, and 65 of them failed, since each was billed.
#[tokio::test(start_paused = true)]
async fn attempts_of_one_lost_connection_are_billed_once() {
    let budget = RetryBudget::new(100);
    let lost = |started, now| {
        let withdrawal = budget.try_withdraw_lost((0, 0), 14, (started, now));
        withdrawal.map(|withdrawal| {
            let tokens = withdrawal.tokens();
            withdrawal.spend();
            tokens
        })
    };
    let second = RetryBudget::LOST_TOGETHER;
    let (start, millis) = (Instant::now(), Duration::from_millis(1));
    let at = start + second;
    assert_eq!(lost(start, at), Some(14));
    for n in 0..999 {
        assert_eq!(lost(start, at + n * millis), Some(0), "{n}");
    }
    assert_eq!(lost(at, at + millis), Some(0), "it started in time");
    assert_eq!(
        lost(at + millis, at + 2 * millis),
        Some(14),
        "it started too late"
    );
    assert_eq!(
        lost(at + millis, at + 3 * millis),
        Some(14),
        "and so did each other"
    );
    assert_eq!(lost(start, at + second), Some(14), "it is lost too late");
    assert_eq!(lost(start, at + second), Some(0), "it belongs to that loss");
    assert_eq!(budget.available(), 100 - 4 * 14);
    budget.try_withdraw(40).expect("it is there").spend();
    assert_eq!(
        lost(at + 5 * second, at + 5 * second),
        None,
        "too few tokens"
    );
    assert_eq!(lost(at, at + 5 * second), None, "no loss was billed");
}

/// 500 refused streams of one lost connection emptied the bucket.
#[tokio::test(start_paused = true)]
async fn refused_streams_of_one_lost_connection_are_billed_once() {
    let budget = RetryBudget::new(100);
    let (start, millis) = (Instant::now(), Duration::from_millis(1));
    let at = start + 5 * millis;
    let refused = |started, now| {
        let withdrawal = budget.try_withdraw_refused(1, (started, now))?;
        let tokens = withdrawal.tokens();
        withdrawal.spend();
        Some(tokens)
    };
    assert_eq!(refused(start, at), Some(1));
    for n in 0..999 {
        assert_eq!(refused(start, at + n * millis), Some(0), "{n}");
    }
    assert_eq!(
        refused(at + millis, at + 2 * millis),
        Some(1),
        "of another one"
    );
    // It costs too little to pay for attempts that may have been processed. They pay for it.
    let lost = budget.try_withdraw_lost((0, 0), 14, (start, at + millis));
    assert_eq!(lost.map(|lost| lost.tokens()), Some(14));
    let later = at + 5 * RetryBudget::LOST_TOGETHER;
    drop(budget.try_withdraw_lost((0, 0), 14, (start, later)));
    assert_eq!(refused(start, later + millis), Some(0), "it was billed");
}

/// Takes `tokens` until the budget refuses. Returns their number.
fn drain(budget: &RetryBudget, caller: (u64, u64), tokens: u32) -> u32 {
    let take = || budget.try_withdraw_for(caller, 0, tokens);
    let all = std::iter::from_fn(take).map(|taken| {
        let tokens = taken.tokens();
        taken.spend();
        tokens
    });
    all.sum()
}

#[test]
fn each_caller_leaves_tokens_to_others() {
    let budget = RetryBudget::default();
    assert_eq!(drain(&budget, (1, 1), 14), 26 * 14, "a quarter is left");
    assert_eq!(drain(&budget, (2, 1), 14), 7 * 14, "and of that again");
    assert!(drain(&budget, (3, 1), 14) >= 14);
    assert!(drain(&budget, (4, 1), 2) >= 2, "a move");
}

/// A caller can change its requests, but not its credential.
#[test]
fn caller_with_many_kinds_of_requests_leaves_an_eighth() {
    let budget = RetryBudget::default();
    let all: u32 = (0..1000).map(|kind| drain(&budget, (1, kind), 14)).sum();
    assert!((375..=437).contains(&all), "{all}");
    assert!(drain(&budget, (2, 1), 14) >= 14);
}

#[test]
fn returned_and_deposited_tokens_leave_accounts() {
    let budget = RetryBudget::new(100);
    for _ in 0..100 {
        let taken = budget.try_withdraw_for((1, 1), 0, 14);
        drop(taken.expect("all were returned"));
    }
    assert_eq!(drain(&budget, (1, 1), 14), 70);
    assert_eq!(drain(&budget, (1, 1), 14), 0);
    budget.deposit(28);
    assert_eq!(drain(&budget, (1, 1), 14), 28);
    budget.deposit(100);
    assert_eq!(drain(&budget, (1, 1), 14), 70, "successes have cleared it");
    for _ in 0..50 {
        drop(budget.try_withdraw_for((2, 1), 0, 14));
    }
    assert_eq!(
        drain(&budget, (1, 1), 14),
        0,
        "only the other account was used"
    );
    let half = budget.capacity() / 2;
    assert!(budget.try_withdraw_for((2, 1), half, 2).is_none());
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Take(u32),
    /// Leaves some tokens, and takes others.
    TakeLeaving(u32, u32),
    Deposit(u32),
    Spend(usize),
    GiveBack(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..30u32).prop_map(Step::Take),
        (0..60u32, 0..30u32).prop_map(|(rest, n)| Step::TakeLeaving(rest, n)),
        (0..5u32).prop_map(Step::Deposit),
        any::<usize>().prop_map(Step::Spend),
        any::<usize>().prop_map(Step::GiveBack),
    ]
}

proptest! {
    /// The balance equals a plain sum, so no token appears or gets lost.
    #[test]
    fn balance_is_exact(steps in prop::collection::vec(step(), 0..200)) {
        let budget = RetryBudget::new(50);
        let mut sum = 50u32;
        let mut held = Vec::new();
        for step in steps {
            match step {
                Step::Take(n) => match budget.try_withdraw(n) {
                    Some(withdrawal) => {
                        sum -= n;
                        held.push((withdrawal, n));
                    }
                    None => prop_assert!(sum < n),
                },
                Step::TakeLeaving(rest, n) => match budget.try_withdraw_leaving(rest, n) {
                    Some(withdrawal) => {
                        sum -= n;
                        prop_assert!(n == 0 || sum >= rest);
                        held.push((withdrawal, n));
                    }
                    None => prop_assert!(sum < n + rest),
                },
                Step::Deposit(n) => {
                    budget.deposit(n);
                    sum = (sum + n).min(50);
                }
                Step::Spend(at) if !held.is_empty() => {
                    held.swap_remove(at % held.len()).0.spend();
                }
                Step::GiveBack(at) if !held.is_empty() => {
                    sum = (sum + held.swap_remove(at % held.len()).1).min(50);
                }
                Step::Spend(_) | Step::GiveBack(_) => {}
            }
            prop_assert_eq!(budget.available(), sum);
        }
    }
}
