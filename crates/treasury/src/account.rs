//! The accounts of the dollar ledger, and why money moved.

/// An account's code, as the database keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(i16)]
pub enum Account {
    /// Our money at the exchange, per exchange shard.
    ExchangeCash = 1,
    /// What members' points stand for, as far as it was turned into dollars: captures in, payouts out.
    Points = 2,
    /// One per market: paid for contracts, received from captures, revenue and pairs. Zero when it is over.
    Market = 3,
    /// Fractions of points that nobody can be given: a named pot for the town.
    CommunityPot = 4,
    /// What the exchange's rounding down of settlements cost us.
    SettlementRounding = 5,
    /// What corrections could not take back.
    CorrectionLoss = 6,
    /// Contracts beyond a member's hold belong to the house, per market.
    House = 7,
    /// The operator's money for losses.
    Reserve = 8,
    /// The operator's money that was put in.
    Funding = 9,
}

impl Account {
    /// In the order of their codes.
    pub const ALL: [Account; 9] = [
        Account::ExchangeCash,
        Account::Points,
        Account::Market,
        Account::CommunityPot,
        Account::SettlementRounding,
        Account::CorrectionLoss,
        Account::House,
        Account::Reserve,
        Account::Funding,
    ];

    /// As people call it.
    pub fn name(self) -> &'static str {
        match self {
            Account::ExchangeCash => "exchange cash",
            Account::Points => "points",
            Account::Market => "markets",
            Account::CommunityPot => "community pot",
            Account::SettlementRounding => "settlement rounding",
            Account::CorrectionLoss => "correction loss",
            Account::House => "house",
            Account::Reserve => "reserve",
            Account::Funding => "funding",
        }
    }

    pub fn code(self) -> i16 {
        self as i16
    }
}

/// Why an amount moved. Numbers never change their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i16)]
pub enum EntryKind {
    Funded = 1,
    /// Points of a stake became dollars at the order's rate.
    Captured = 2,
    /// Paid for contracts.
    Bought = 3,
    Fee = 4,
    /// The captured points are worth a little more than was paid.
    CaptureRounding = 5,
    /// A yes and a no contract cancelled out: a dollar came back.
    Paired = 6,
    /// The exchange paid our net position.
    Revenue = 7,
    /// What the exchange's floor kept of it.
    RevenueRounding = 8,
    /// Winnings became points.
    PaidOut = 9,
    /// Winnings are worth a little more than the whole points paid.
    PayoutRounding = 10,
    /// What a house position cost or brought.
    HouseBought = 11,
    HousePaid = 12,
    /// A payout was taken back.
    Reversed = 13,
    /// What could not be taken back.
    CorrectionLost = 14,
    /// A loss account was made whole from the reserve.
    LossCovered = 15,
}

impl EntryKind {
    pub fn code(self) -> i16 {
        self as i16
    }
}
