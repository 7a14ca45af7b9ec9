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
    bug("payout-rounds-up", "a position's worth is rounded up to whole points", 2_000),
    bug("capture-rounds-down", "what filled is captured rounded down", 2_000),
    bug("release-forgotten", "what did not fill keeps being held", 2_000),
    bug("fee-not-booked", "the exchange's fee is not posted", 2_000),
    bug("settlement-pays-twice", "a chunk of payouts pays its positions twice", 2_000),
    bug("paid-while-determined", "a result is paid before it is final", 4_000),
    bug("limit-forgets-earlier-stakes", "limits look at each stake alone", 4_000),
    bug("unfilled-not-restored", "the unfilled part of a stake stays on the limits", 2_000),
    bug("order-outlives-standing", "the dispatcher does not look at the standing again", 6_000),
    bug("gate-forgets-protection", "the gate does not look at breaks and exclusions", 6_000),
    bug("age-by-year", "who turns 18 this year counts as 18", 4_000),
    bug("break-shortened", "a second, shorter break ends the first one earlier", 2_000),
    bug(
        "exclusion-ends-by-itself",
        "an exclusion is over when its term is, whether the member asked to return or not",
        8_000,
    ),
    bug("return-at-once", "who asks to return after an exclusion may stake at once", 8_000),
    bug("raise-at-once", "a higher limit counts at once", 2_000),
    bug("unknown-is-not-placed", "an order whose answer was lost counts as not placed", 2_000),
    bug(
        "not-placed-too-early",
        "an order that is not to be found counts as not placed before it had time to arrive",
        2_000,
    ),
    bug("new-id-for-unknown", "an order whose answer was lost is sent again under a new id", 4_000),
    bug("debt-forgiven", "what a return cannot take back is not owed", 4_000),
    bug("message-lost", "some purchases are not announced", 2_000),
    bug("returns-not-remembered", "the features do not hear of returns", 2_000),
    bug("chain-skips-entries", "the log's chain does not cover the entries", 2_000),
    bug("reversal-as-stake", "a reversed payout counts as one more stake, of whatever points come first", 4_000),
    bug("return-leaves-no-claim", "what a stake pays after its receipt came back stays with the member", 4_000),
    bug("pot-keeps-winnings", "a correction leaves in the community pot what a return had taken in vain", 6_000),
    bug("provisional-in-the-stream", "points that wait for a decision are lots of the stream already", 6_000),
    bug("entry-unlinked", "an account does not remember its newest entry, so that statements lose it", 2_000),
];
