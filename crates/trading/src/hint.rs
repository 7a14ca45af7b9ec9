//! The settlement webhook's words: a hint, taken once, believed only after the market itself was read.

use hunch_kernel::{MarketTicker, MemberId, Points};
use jiff::SignedDuration;

use crate::{Trading, TradingError, store};

/// Parked hints looked at again at once.
const PARKED_PER_STEP: i64 = 100;
/// A market that has not appeared by then never will.
const PARKED_AT_MOST: SignedDuration = SignedDuration::from_hours(7 * 24);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    /// SHA-256 of the call's body: the same call is taken once.
    pub digest: [u8; 32],
    pub market: MarketTicker,
    pub member: Option<MemberId>,
}

/// What became of a hint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HintTaken {
    /// The market is being read. `credited` is what this member was paid there so far.
    Looking { credited: Points },
    /// The market is final and paid; `credited` as above.
    Paid { credited: Points },
    /// We do not know the market: kept until we do.
    Parked,
}

impl Trading {
    /// Takes a hint. A repeat gets the present state.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn take_hint(&self, hint: &Hint) -> Result<HintTaken, TradingError> {
        let known = self.markets.market(&hint.market).await?;
        let (now, wall) = (self.clocks.business.now(), self.clocks.wall.now());
        store::insert_hint(&self.pool, hint, known.is_none(), now, wall).await?;
        if known.is_none() {
            return Ok(HintTaken::Parked);
        }
        let state = self.state_of(hint).await?;
        if matches!(state, HintTaken::Looking { .. }) {
            self.markets.hint(&hint.market);
        }
        Ok(state)
    }

    /// How far a hint about a known market has come.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn state_of(&self, hint: &Hint) -> Result<HintTaken, TradingError> {
        let credited = match hint.member {
            Some(member) => store::paid_to(&self.pool, member, &hint.market).await?,
            None => Points::ZERO,
        };
        let paid = store::is_paid(&self.pool, &hint.market).await?;
        Ok(if paid { HintTaken::Paid { credited } } else { HintTaken::Looking { credited } })
    }

    /// Looks whether parked hints speak of markets that are known by now.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn parked_hints_step(&self) -> Result<usize, TradingError> {
        let now = self.clocks.business.now();
        store::drop_parked(&self.pool, now.saturating_sub(PARKED_AT_MOST).unwrap_or(now)).await?;
        let parked = store::parked_hints(&self.pool, PARKED_PER_STEP, self.clocks.wall.now()).await?;
        let known = self.markets.by_tickers(&parked).await?;
        for ticker in known.keys() {
            store::unpark(&self.pool, ticker).await?;
            self.markets.hint(ticker);
        }
        Ok(known.len())
    }
}
