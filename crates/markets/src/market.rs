//! A market with everything a screen or a quote needs.

use hunch_exchange::{ExchangeShard, FeeRule, MarketReport, MarketResult, MarketStatus, PriceBand};
use hunch_kernel::{Count, EventTicker, MarketTicker, Price, SeriesTicker, Side};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::Kind;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Market {
    pub ticker: MarketTicker,
    pub event: EventTicker,
    pub series: SeriesTicker,
    pub kind: Kind,
    pub event_title: String,
    pub title: String,
    pub yes_label: String,
    pub no_label: String,
    pub rules: String,
    pub status: MarketStatus,
    /// While the status is not final the exchange may still change it.
    pub result: Option<MarketResult>,
    /// What one YES contract pays.
    pub settlement_value: Option<Price>,
    pub yes_bid: Option<Price>,
    pub yes_ask: Option<Price>,
    pub last_price: Option<Price>,
    pub volume: Count,
    pub bands: Vec<PriceBand>,
    pub open_time: Timestamp,
    pub close_time: Timestamp,
    pub expected_end: Option<Timestamp>,
    pub occurs_at: Option<Timestamp>,
    /// When a stake can no longer be placed, as far as is known.
    pub ends_at: Timestamp,
    pub exchange_shard: ExchangeShard,
    pub fee: FeeRule,
    pub seen_at: Timestamp,
}

impl Market {
    /// May be staked on: trading, not yet at its end, with a fee that we can compute.
    pub fn tradable(&self, now: Timestamp) -> bool {
        self.status == MarketStatus::Active
            && self.open_time <= now
            && now < self.ends_at
            && matches!(self.fee, FeeRule::Quadratic { .. })
    }

    /// What one contract of `side` costs now.
    pub fn ask(&self, side: Side) -> Option<Price> {
        match side {
            Side::Yes => self.yes_ask,
            Side::No => self.yes_bid.map(Price::complement),
        }
    }

    /// What one contract of `side` could be sold for now.
    pub fn bid(&self, side: Side) -> Option<Price> {
        match side {
            Side::Yes => self.yes_bid,
            Side::No => self.yes_ask.map(Price::complement),
        }
    }

    /// The words for a side: what must happen for it to pay.
    pub fn label(&self, side: Side) -> String {
        match side {
            Side::Yes => self.yes_label.clone(),
            // The exchange often names the same thing on both sides.
            Side::No if self.no_label.is_empty() || self.no_label == self.yes_label => {
                format!("Not: {}", self.yes_label)
            }
            Side::No => self.no_label.clone(),
        }
    }
}

/// Games close days after their end on paper, temperatures are known hours after trading: the earlier counts.
pub fn ends_at(report: &MarketReport) -> Timestamp {
    report.expected_end.map_or(report.close_time, |expected| expected.min(report.close_time))
}

/// The end of the day that `now` lies in, as `zone` counts days: the first moment of the next. Days on which clocks
/// change are shorter or longer than 24 hours.
pub fn day_ends(now: Timestamp, zone: &TimeZone) -> Timestamp {
    let tomorrow = now.to_zoned(zone.clone()).date().tomorrow();
    // A midnight that clocks skip is the moment at which they do.
    tomorrow.and_then(|day| day.to_zoned(zone.clone())).map_or(Timestamp::MAX, |midnight| midnight.timestamp())
}

/// Whether staking on it ends on the day that `now` lies in, as `zone` counts days.
pub fn ends_today(ends_at: Timestamp, now: Timestamp, zone: &TimeZone) -> bool {
    // Ending at midnight sharp is ending today.
    now < ends_at && ends_at <= day_ends(now, zone)
}

/// The stable word of a status.
pub fn status_word(status: MarketStatus) -> &'static str {
    match status {
        MarketStatus::Initialized => "initialized",
        MarketStatus::Inactive => "inactive",
        MarketStatus::Active => "active",
        MarketStatus::Closed => "closed",
        MarketStatus::Determined => "determined",
        MarketStatus::Disputed => "disputed",
        MarketStatus::Amended => "amended",
        MarketStatus::Finalized => "finalized",
    }
}

pub(crate) fn status_of(word: &str) -> Option<MarketStatus> {
    use MarketStatus::*;
    [Initialized, Inactive, Active, Closed, Determined, Disputed, Amended, Finalized]
        .into_iter()
        .find(|status| status_word(*status) == word)
}

/// The stable word of a result.
pub fn result_word(result: MarketResult) -> &'static str {
    match result {
        MarketResult::Yes => "yes",
        MarketResult::No => "no",
        MarketResult::Scalar => "scalar",
    }
}

pub(crate) fn result_of(word: &str) -> Option<MarketResult> {
    [MarketResult::Yes, MarketResult::No, MarketResult::Scalar].into_iter().find(|r| result_word(*r) == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn today_is_the_members_own() {
        let zone = TimeZone::get("America/New_York").unwrap();
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let noon = at("2026-11-23T17:00:00Z");
        assert!(ends_today(at("2026-11-24T04:59:00Z"), noon, &zone));
        assert!(ends_today(at("2026-11-24T05:00:00Z"), noon, &zone), "midnight sharp ends today");
        assert!(!ends_today(at("2026-11-24T05:00:01Z"), noon, &zone));
        assert!(!ends_today(at("2026-11-23T16:59:59Z"), noon, &zone), "what has ended does not end today");
    }

    /// Around both changes of clocks, leap day and year's end, in zones that change by an hour and by half of one, and at
    /// midnight: the day ends at its last moment, and what ends in it ends today.
    #[test]
    fn a_day_ends_when_its_date_does() {
        let zones = [
            "America/New_York",
            "Europe/London",
            "Pacific/Auckland",
            "Australia/Lord_Howe",
            "America/Havana",
            "America/Santiago",
            "Asia/Kolkata",
            "UTC",
        ];
        let moments = [
            "2026-03-08T07:00:00Z",
            "2026-03-29T01:00:00Z",
            "2026-04-04T15:00:00Z",
            "2026-10-03T15:30:00Z",
            "2026-10-25T01:00:00Z",
            "2026-11-01T06:00:00Z",
            "2027-04-04T04:00:00Z",
            "2027-09-05T04:00:00Z",
            "2028-02-29T12:00:00Z",
            "2026-12-31T23:59:00Z",
        ];
        let second = jiff::SignedDuration::from_secs(1);
        let mut lengths = std::collections::BTreeSet::new();
        for zone in zones.map(|name| TimeZone::get(name).unwrap()) {
            let date = |at: Timestamp| at.to_zoned(zone.clone()).date();
            for moment in moments.map(|text| text.parse::<Timestamp>().unwrap()) {
                for quarter in -48 * 4..48 * 4 {
                    let now = moment + jiff::SignedDuration::from_mins(15 * quarter);
                    let end = day_ends(now, &zone);
                    assert_eq!((date(end - second), date(end)), (date(now), date(now).tomorrow().unwrap()), "{now}");
                    assert!(ends_today(end, now, &zone) && !ends_today(end + second, now, &zone));
                    assert!(!ends_today(now, now, &zone) && ends_today(now + second, now, &zone));
                    lengths.insert(day_ends(end, &zone).duration_since(end).as_mins());
                }
            }
        }
        assert_eq!(lengths.into_iter().collect::<Vec<_>>(), [23 * 60, 23 * 60 + 30, 24 * 60, 24 * 60 + 30, 25 * 60]);
    }
}
