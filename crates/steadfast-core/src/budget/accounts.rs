//! What callers have spent, and the losses that were billed.

use std::time::Duration;

use tokio::time::Instant;

/// The number of accounts of callers, and of kinds of requests in each. Callers with the same
/// account share it, and so do kinds.
const CALLERS: usize = 32;
const KINDS: usize = 8;
/// The part of its spent tokens that a kind of request leaves to others: one of this number.
const KIND_PART: u32 = 3;
/// The same for all requests of a caller.
const CALLER_PART: u32 = 7;

/// The time within which the attempts of one lost connection fail.
pub(super) const LOST_TOGETHER: Duration = Duration::from_secs(1);

/// The accounts of a budget.
///
/// A bound that depends on what is left needs no number of callers: with one caller it is the
/// greatest, and each further one gets as much as the others (a dynamic threshold, as in the shared
/// memory of switches).
#[derive(Debug, Default)]
pub(super) struct Accounts {
    /// The tokens that are withdrawn and not put back.
    spent: [[u32; KINDS]; CALLERS],
    /// When a loss was last billed, by kind.
    billed: [Option<Instant>; 2],
}

/// The account of a kind of requests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Account {
    caller: usize,
    kind: usize,
}

/// The attempts that a lost connection ends.
#[derive(Clone, Copy, Debug)]
pub(super) enum Loss {
    /// They may have been processed.
    Lost,
    /// They were not processed.
    Refused,
}

impl Accounts {
    /// Returns the account of a caller, and the tokens that it must leave if it spends `tokens`.
    /// `withdrawn` is the number of tokens that are missing in the bucket.
    pub(super) fn bill(
        &mut self,
        (caller, kind): (u64, u64),
        tokens: u32,
        withdrawn: u32,
    ) -> (Account, u32) {
        self.put_back(withdrawn);
        let account = Account {
            caller: slot(caller, CALLERS),
            kind: slot(kind, KINDS),
        };
        let kinds = &self.spent[account.caller];
        let of = |spent: u32, part: u32| spent.saturating_add(tokens).div_ceil(part);
        let all = kinds
            .iter()
            .fold(0, |sum: u32, spent| sum.saturating_add(*spent));
        let left = of(kinds[account.kind], KIND_PART).max(of(all, CALLER_PART));
        (account, left)
    }

    /// Reduces all accounts in proportion, because successes have filled the bucket.
    fn put_back(&mut self, withdrawn: u32) {
        let spent = self.spent.iter().flatten().map(|spent| u64::from(*spent));
        let (spent, withdrawn) = (spent.sum::<u64>(), u64::from(withdrawn));
        if spent <= withdrawn {
            return;
        }
        for account in self.spent.iter_mut().flatten() {
            let rest = u64::from(*account) * withdrawn / spent;
            *account = u32::try_from(rest).unwrap_or(u32::MAX);
        }
    }

    /// Adds withdrawn tokens.
    pub(super) fn add(&mut self, account: Account, tokens: u32) {
        let spent = &mut self.spent[account.caller][account.kind];
        *spent = spent.saturating_add(tokens);
    }

    /// Removes tokens that were returned.
    pub(super) fn remove(&mut self, account: Account, tokens: u32) {
        let spent = &mut self.spent[account.caller][account.kind];
        *spent = spent.saturating_sub(tokens);
    }

    /// Returns whether an attempt that ends `now` belongs to a loss that was billed.
    pub(super) fn is_billed(&self, kind: Loss, started: Instant, now: Instant) -> bool {
        let recent = self.recent(kind, now);
        recent.is_some_and(|at| started <= at)
    }

    /// Records that a loss is billed `now`.
    ///
    /// Later losses within the time are billed one by one. A server that ends each connection would
    /// otherwise get most retries for free.
    pub(super) fn billed(&mut self, kind: Loss, now: Instant) {
        self.billed[kind as usize] = self.recent(kind, now).or(Some(now));
    }

    fn recent(&self, kind: Loss, now: Instant) -> Option<Instant> {
        let is_recent = |at: &Instant| now.saturating_duration_since(*at) < LOST_TOGETHER;
        self.billed[kind as usize].filter(is_recent)
    }
}

fn slot(hash: u64, slots: usize) -> usize {
    usize::try_from(hash % slots as u64).unwrap_or_default()
}
