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

#[derive(Clone, Copy, Debug)]
enum Step {
    Take(u32),
    Deposit(u32),
    Spend(usize),
    GiveBack(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..30u32).prop_map(Step::Take),
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
