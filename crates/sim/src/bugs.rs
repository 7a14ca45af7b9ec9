//! Mistakes that are planted, one at a time, to prove that the simulation finds them. Each is a line in the real code
//! that asks [`hunch_kernel::seeded_bug`]; without the feature `seeded-bugs` none of them exists.

/// A mistake, and within how many operations it must be found.
#[derive(Clone, Copy, Debug)]
pub struct Bug {
    pub name: &'static str,
    pub what: &'static str,
    pub within: usize,
}

const fn bug(name: &'static str, what: &'static str, within: usize) -> Bug {
    Bug { name, what, within }
}

/// All of them. The table in the README is checked against this list.
pub const BUGS: &[Bug] = &[
    bug("payout-rounds-up", "a position's worth is rounded up to whole points", 1_500),
    bug("capture-rounds-down", "what filled is captured rounded down", 1_500),
    bug("release-forgotten", "an order that was not taken keeps its hold", 1_500),
    bug("fee-not-booked", "the exchange's fee is not posted", 1_500),
    bug("settlement-pays-twice", "a second settlement does not know what the first had paid", 4_000),
    bug("paid-while-determined", "a result is paid before it is final", 4_000),
    bug("limit-forgets-in-flight", "limits count only stakes that were filled", 3_000),
    bug("unfilled-not-restored", "the unfilled part of a stake stays on the limits", 1_500),
    bug("order-outlives-standing", "the dispatcher does not look at the standing again", 6_000),
    bug("prompt-outlives-standing", "the sender does not ask the gate again", 8_000),
    bug("break-shortened", "a second, shorter break ends the first one earlier", 12_000),
    bug("raise-at-once", "a higher limit counts at once", 4_000),
    bug("unknown-is-not-placed", "an order whose answer was lost counts as not placed", 1_500),
    bug("new-id-for-unknown", "an order whose answer was lost is sent again under a new id", 1_500),
    bug("late-winnings-kept", "a return leaves the winnings that its points brought", 3_000),
    bug("debt-forgiven", "what a return cannot take back is not owed", 3_000),
    bug("batch-forgets-twins", "a receipt twice in one batch is taken twice", 1_500),
    bug("message-lost", "a purchase is not announced", 1_500),
    bug("returns-not-remembered", "the features do not hear of returns", 3_000),
    bug("chain-skips-entries", "the log's chain does not cover the entries", 1_500),
];
