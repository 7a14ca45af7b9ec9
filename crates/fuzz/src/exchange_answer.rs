//! What the exchange answers over REST. The first byte chooses the question that was asked.

use hunch_exchange::{OrderReport, SubmitOutcome};
use hunch_kalshi::{ApiError, ErrorBody, classify_submission, fuzzing};
use hunch_kernel::{Count, Dollars, Price, Side};
use jiff::Timestamp;
use uuid::Uuid;

pub fn run(bytes: &[u8]) {
    let Some((question, body)) = bytes.split_first() else { return };
    match question {
        b'a' => fuzzing::created(body, Uuid::nil(), Side::Yes).iter().for_each(order),
        b'b' => fuzzing::created(body, Uuid::nil(), Side::No).iter().for_each(order),
        b'c' => fuzzing::orders(body).iter().for_each(order),
        b'd' => {
            for market in fuzzing::markets(body) {
                assert!(market.volume >= Count::ZERO && market.yes_bid_size >= Count::ZERO);
                assert!((1..=200).contains(&market.ticker.as_str().chars().count()) && !market.title.contains('\0'));
                assert!(market.yes_bid.is_none_or(|price| price > Price::ZERO && price < Price::ONE));
            }
        }
        b'e' => drop(fuzzing::series(body)),
        b'f' => drop(fuzzing::event(body)),
        b'g' => {
            let top = fuzzing::book_top(body).unwrap_or_default();
            assert!(top.yes_bid.is_none_or(|(_, count)| count >= Count::ZERO));
        }
        b'h' => fuzzing::fills(body).iter().for_each(|fill| assert!(fill.count >= Count::ZERO)),
        b'i' => {
            // What is added up over shards stays in range.
            let _: Dollars = fuzzing::cash(body).into_iter().take(1_000).map(|cash| cash.available).sum();
        }
        b'j' => {
            let _: Count = fuzzing::positions(body).into_iter().take(1_000).map(|position| position.net).sum();
        }
        b'k' => fuzzing::settlements(body).iter().for_each(|paid| assert!(paid.revenue >= Dollars::ZERO)),
        b'A' => drop(fuzzing::takes_orders(body)),
        b'B' => {
            // Thursday at three in the night in New York, and the ends of time.
            for second in [1_795_680_000, Timestamp::MIN.as_second(), Timestamp::MAX.as_second()] {
                let at = Timestamp::from_second(second).unwrap_or_default();
                assert!(fuzzing::opens_after(body, at).is_none_or(|opens| opens > at));
            }
        }
        status => refusal(u16::from(*status) + 300, body),
    }
}

fn order(order: &OrderReport) {
    assert!(!order.exchange_order_id.is_empty(), "an order has a name");
    assert!(order.filled >= Count::ZERO && order.resting >= Count::ZERO);
    assert!(
        order.cost >= Dollars::ZERO && order.cost <= Price::ONE.times_up(order.filled),
        "a contract costs $1 at most"
    );
}

/// Only what was certainly not taken is a refusal: any 5xx is unknown.
fn refusal(status: u16, body: &[u8]) {
    let outcome = classify_submission(&ApiError::Status { status, body: ErrorBody::parse(body) });
    assert!(!matches!(outcome, SubmitOutcome::Accepted(_)));
    if !(400..500).contains(&status) {
        assert!(matches!(outcome, SubmitOutcome::Unknown { .. }), "{status} may have been taken");
    }
}
