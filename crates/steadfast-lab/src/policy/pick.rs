//! The choices that several policies make in the same way.

use fastrand::Rng;

use crate::policy::rules::Progress;

/// Returns the endpoints without an attempt of the request, or all endpoints if each has had one.
pub(crate) fn untried(request: &Progress, endpoints: usize) -> Vec<usize> {
    let left: Vec<_> = (0..endpoints)
        .filter(|endpoint| !request.tried.contains(endpoint))
        .collect();
    if left.is_empty() {
        (0..endpoints).collect()
    } else {
        left
    }
}

/// Returns the candidate with the least score, at random among equals.
pub(crate) fn least<S: PartialOrd>(
    candidates: &[usize],
    score: impl Fn(usize) -> S,
    rng: &mut Rng,
) -> Option<usize> {
    let mut best: Vec<usize> = Vec::new();
    for &candidate in candidates {
        let others = best.first().map(|&other| score(other));
        if others.as_ref().is_some_and(|best| score(candidate) > *best) {
            continue;
        }
        if others.is_some_and(|best| score(candidate) < best) {
            best.clear();
        }
        best.push(candidate);
    }
    rng.choice(best)
}

/// Draws a candidate in proportion to its weight.
pub(crate) fn weighted(candidates: &[usize], weights: &[f64], rng: &mut Rng) -> Option<usize> {
    let total: f64 = candidates.iter().map(|&candidate| weights[candidate]).sum();
    let mut left = rng.f64() * total;
    let drawn = candidates.iter().find(|&&candidate| {
        left -= weights[candidate];
        left < 0.0
    });
    drawn.or(candidates.last()).copied()
}

/// Smooth weighted round robin, as in nginx.
///
/// Each endpoint gets its share by weight, at distances as even as possible. Each choice adds the
/// weight to the credit of all candidates, and the chosen one pays the sum.
pub(crate) struct Turns {
    /// The shares of the endpoints.
    weights: Vec<f64>,
    /// The credit of each endpoint. The sum is constant.
    credit: Vec<f64>,
}

impl Turns {
    /// Creates a round in which no endpoint has credit.
    pub(crate) fn new(weights: &[f64]) -> Self {
        Self {
            weights: weights.to_vec(),
            credit: vec![0.0; weights.len()],
        }
    }

    /// Returns the next endpoint among the candidates.
    pub(crate) fn next_of(&mut self, candidates: &[usize]) -> Option<usize> {
        let mut paid = 0.0;
        for &candidate in candidates {
            self.credit[candidate] += self.weights[candidate];
            paid += self.weights[candidate];
        }
        // On a tie the first wins, so that the order follows the configuration.
        let richest = candidates.iter().copied().reduce(|best, other| {
            let richer = self.credit[other] > self.credit[best];
            if richer { other } else { best }
        })?;
        self.credit[richest] -= paid;
        Some(richest)
    }

    /// Returns the next endpoint.
    pub(crate) fn next_of_all(&mut self) -> Option<usize> {
        let all: Vec<_> = (0..self.weights.len()).collect();
        self.next_of(&all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(tried: &[usize]) -> Progress {
        Progress {
            tried: tried.to_vec(),
            ..Progress::default()
        }
    }

    #[test]
    fn untried_endpoints_precede_all_endpoints() {
        assert_eq!(untried(&tried(&[2, 0]), 4), [1, 3]);
        assert_eq!(untried(&tried(&[2, 0, 1]), 3), [0, 1, 2]);
    }

    #[test]
    fn least_score_wins_and_ties_are_random() {
        let mut rng = Rng::with_seed(1);
        let scores = [3, 1, 2, 1];
        let mut wins = [0u32; 4];
        for _ in 0..10_000 {
            let winner = least(&[0, 1, 2, 3], |n| scores[n], &mut rng);
            wins[winner.expect("one of four")] += 1;
        }
        assert_eq!((wins[0], wins[2]), (0, 0));
        // Half of them, give or take four standard deviations.
        assert!(wins[1].abs_diff(5_000) < 200, "{wins:?}");
        assert_eq!(least(&[], |n| scores[n], &mut rng), None);
    }

    #[test]
    fn weighted_draws_are_in_proportion() {
        let mut rng = Rng::with_seed(1);
        let mut wins = [0u32; 3];
        for _ in 0..10_000 {
            let winner = weighted(&[0, 2], &[0.2, 0.7, 0.1], &mut rng);
            wins[winner.expect("one of two")] += 1;
        }
        assert_eq!(wins[1], 0);
        // Two thirds, give or take four standard deviations.
        assert!(wins[0].abs_diff(6_667) < 189, "{wins:?}");
    }

    /// nginx: the weights 5, 1, 1 make `a a b a c a a`, not `a a a a a b c`.
    #[test]
    fn weighted_round_robin_is_smooth() {
        let mut turns = Turns::new(&[5.0, 1.0, 1.0]);
        let picks: Vec<_> = (0..7).filter_map(|_| turns.next_of_all()).collect();
        assert_eq!(picks, [0, 0, 1, 0, 2, 0, 0]);
    }

    #[test]
    fn excluded_endpoint_earns_no_credit() {
        let mut turns = Turns::new(&[5.0, 1.0, 1.0]);
        let picks: Vec<_> = (0..4).filter_map(|_| turns.next_of(&[1, 2])).collect();
        assert_eq!(picks, [1, 2, 1, 2]);
        assert_eq!(turns.next_of(&[]), None);
    }
}
