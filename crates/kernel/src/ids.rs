//! Every id has its own type, so a merchant can never be passed where a member is meant.

use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

macro_rules! uuid_ids {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub Uuid);

        impl $name {
            pub fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(s: &str) -> Result<$name, uuid::Error> {
                Uuid::parse_str(s).map($name)
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> $name {
                $name(id)
            }
        }
    )*};
}

uuid_ids!(
    /// A member's token: random, the only name a member has outside the vault.
    MemberId,
    MerchantId,
    TerminalId,
    OperatorId,
    /// One receipt at one terminal.
    PurchaseId,
    QuoteId,
    /// A stake's order. Its client order ids are one per attempt, derived from it.
    OrderId,
    /// A hold is named by the order that placed it.
    HoldId,
    PositionId,
    NoticeId,
    /// A phone or browser that signed in.
    DeviceId,
    /// A push subscription of a device.
    SubscriptionId,
);

macro_rules! tickers {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub String);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(ticker: &str) -> $name {
                $name(ticker.to_owned())
            }
        }
    )*};
}

tickers!(
    /// The exchange's recurring template, such as `KXHIGHNY`.
    SeriesTicker,
    /// One occurrence of a series.
    EventTicker,
    /// One yes/no contract of an event.
    MarketTicker,
);
