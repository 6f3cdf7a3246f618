//! The budget of retries.

use steadfast_core::RetryBudget;
use steadfast_retry::RetryOn429Layer;
use tokio::time::sleep;

use crate::support::{Answer, answer, layer, limited, request, reset, send};

#[tokio::test(start_paused = true)]
async fn successes_fill_budget_and_failures_empty_it() {
    let budget = RetryBudget::new(20);
    let layer = || layer().budget(budget.clone());

    let answers = vec![Err(reset()), Ok(answer(200))];
    send(layer(), request("GET"), answers).await.0.unwrap();
    assert_eq!(budget.available(), 20, "the retry succeeded");

    let answers = vec![Err(reset()), Err(reset())];
    let (outcome, sent) = send(layer(), request("GET"), answers).await;
    outcome.unwrap_err();
    assert_eq!(sent.len(), 2, "tokens for one retry");
    assert_eq!(budget.available(), 6);

    let (_, sent) = send(layer(), request("GET"), vec![Err(reset())]).await;
    assert_eq!(sent.len(), 1, "no tokens for a retry");

    send(layer(), request("GET"), vec![Ok(answer(200))])
        .await
        .0
        .unwrap();
    assert_eq!(budget.available(), 7, "a first success returns one token");

    let layer = layer().without_budget();
    let answers = vec![Err(reset()), Err(reset()), Err(reset())];
    let (_, sent) = send(layer, request("GET"), answers).await;
    assert_eq!(sent.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn successful_retry_refunds_exactly_its_cost() {
    let budget = RetryBudget::new(100);
    budget.try_withdraw(50).expect("it is full").spend();
    let answers = vec![Ok(limited("1")), Ok(answer(200))];
    let layer = layer().budget(budget.clone());
    send(layer, request("GET"), answers).await.0.unwrap();
    assert_eq!(budget.available(), 50);
}

/// The retries of one caller's failing requests leave tokens to another caller, whose request fails
/// in the same way. Only other failures had a rest, and lost connections and overloads left none.
#[tokio::test(start_paused = true)]
async fn failing_requests_of_one_caller_leave_tokens_to_another() {
    let failures: [fn() -> Answer; 3] = [|| Ok(answer(500)), || Ok(answer(503)), || Err(reset())];
    let of = |key: &str| {
        let mut request = request("GET");
        let headers = request.headers_mut();
        headers.insert("authorization", key.parse().expect("a value"));
        request
    };
    let kind = |path: &str| {
        let mut request = request("GET");
        *request.uri_mut() = path.parse().expect("a path");
        request
    };
    for failure in failures {
        for (bad, good) in [(of("bad"), of("good")), (kind("/bad"), kind("/good"))] {
            let budget = RetryBudget::new(100);
            let layer = || layer().max_attempts(2).budget(budget.clone());
            for _ in 0..20 {
                sleep(2 * RetryBudget::LOST_TOGETHER).await;
                let _ = send(layer(), bad.clone(), vec![failure(), failure()]).await;
            }
            assert_eq!(budget.available(), 30);
            let answers = vec![failure(), Ok(answer(200))];
            let (outcome, _) = send(layer(), good, answers).await;
            assert_eq!(outcome.unwrap().status(), 200, "it is repeated");
        }
    }
}

/// Clones of a layer and all layers with the same budget share its tokens.
#[tokio::test(start_paused = true)]
async fn layers_share_a_budget() {
    let layer = layer().budget(RetryBudget::new(20));
    let other = RetryOn429Layer::new().budget(RetryBudget::new(20));
    for (layer, attempts) in [(layer.clone(), 2), (layer, 1), (other, 2)] {
        let answers = vec![Err(reset()), Err(reset())];
        let (_, sent) = send(layer, request("GET"), answers).await;
        assert_eq!(sent.len(), attempts);
    }
}

/// A legitimate `404` is an answer of an endpoint that serves. Its retries once emptied the budget.
#[tokio::test(start_paused = true)]
async fn retry_with_an_answer_about_the_request_is_refunded() {
    let budget = RetryBudget::new(100);
    budget.try_withdraw(50).expect("it is full").spend();
    let layer = || layer().budget(budget.clone());
    let answers = vec![Ok(answer(500)), Ok(answer(404))];
    let (outcome, _) = send(layer(), request("GET"), answers).await;
    assert_eq!(outcome.unwrap().status(), 404);
    assert_eq!(budget.available(), 50);

    let (outcome, _) = send(layer(), request("GET"), vec![Ok(answer(404))]).await;
    assert_eq!(outcome.unwrap().status(), 404);
    assert_eq!(budget.available(), 51, "a first answer returns one token");

    let (outcome, _) = send(layer(), request("GET"), vec![Ok(answer(401))]).await;
    assert_eq!(outcome.unwrap().status(), 401);
    assert_eq!(budget.available(), 51);
}
