//! Quoting and confirming: what a member asks for, checked, priced and handed to the shard.

use hunch_exchange::FeeRule;
use hunch_kernel::{MarketTicker, MemberId, Points, Price, QuoteId, Side, shard_of};
use hunch_ledger::DoorError;
use hunch_safeguards::Denial;
use jiff::SignedDuration;

use crate::quote::{QUOTE_SECONDS, Quote, STAKE_POINTS_MAX, STAKE_POINTS_MIN, size, worst_price};
use crate::stake::{StakeAnswer, StakeRequest};
use crate::{Trading, store};

/// Lapsed quotes are kept this long, for questions.
const QUOTES_KEPT: SignedDuration = SignedDuration::from_hours(24);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuoteRefusal {
    #[error("there is no such market here; look at the list of open markets")]
    UnknownMarket,
    #[error("this market is not open for stakes; look at the list of open markets")]
    MarketClosed,
    #[error("nobody offers this side just now; try the other one, or again in a moment")]
    NoPrice,
    #[error("stake {min} to {max} points; you asked for {asked}", min = STAKE_POINTS_MIN, max = STAKE_POINTS_MAX)]
    Stake { asked: Points },
    #[error("{asked} points are too few at this price; stake a little more")]
    TooSmall { asked: Points },
    #[error(transparent)]
    Denied(Denial),
    #[error("staking is paused for everyone just now; your points are safe")]
    Paused,
    #[error("prices cannot be had just now; try again in a moment")]
    Unavailable,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StakeRefusal {
    #[error("there is no such quote of yours; ask for a new one")]
    UnknownQuote,
    #[error("the quote has expired; ask for a new one")]
    QuoteExpired,
    #[error("the market closed in the meantime; nothing was staked")]
    MarketClosed,
    #[error("the price moved from {quoted} to {now} points a contract; ask for a new quote")]
    PriceMoved { quoted: String, now: String },
    #[error("{available} points are available, this stake needs {needed}")]
    InsufficientPoints { available: Points, needed: Points },
    #[error(transparent)]
    Denied(Denial),
    #[error("staking is paused for everyone just now; your points are safe")]
    Paused,
    #[error("the programme is busy; confirm the same quote again in a moment")]
    Busy,
    #[error("the stake could not be stored; confirm the same quote again in a moment")]
    Unavailable,
    #[error("it is not known yet whether the stake was stored; confirm the same quote again, it counts once")]
    Unknown,
}

impl Trading {
    /// Prices a stake from the live book and freezes it for ten seconds. Whoever may not stake is told so here already.
    ///
    /// # Errors
    /// A refusal with a sentence for the member.
    pub async fn quote(
        &self,
        member: MemberId,
        ticker: &MarketTicker,
        side: Side,
        stake: Points,
    ) -> Result<Quote, QuoteRefusal> {
        let failed = |error: &dyn std::error::Error| {
            tracing::error!(error = error.to_string(), "no quote could be made");
            QuoteRefusal::Unavailable
        };
        if !(STAKE_POINTS_MIN..=STAKE_POINTS_MAX).contains(&stake.0) {
            return Err(QuoteRefusal::Stake { asked: stake });
        }
        let now = self.clocks.business.now();
        let market = self.markets.market(ticker).await.map_err(|e| failed(&e))?;
        let market = market.ok_or(QuoteRefusal::UnknownMarket)?;
        if !market.tradable(now) {
            return Err(QuoteRefusal::MarketClosed);
        }
        let mut conn = self.pool.acquire().await.map_err(|e| failed(&e))?;
        if !store::staking_is_on(&mut conn).await.map_err(|e| failed(&e))? {
            return Err(QuoteRefusal::Paused);
        }
        let rate = store::rate(&mut conn, now).await.map_err(|e| failed(&e))?;
        drop(conn);
        self.safeguards.permit_stake(member, market.kind.as_str()).await.map_err(QuoteRefusal::Denied)?;
        let top = self.tops.of(ticker).await.map_err(|e| failed(&e))?;
        let price = match side {
            Side::Yes => top.yes_ask.map(|(price, _)| price),
            Side::No => top.yes_bid.map(|(price, _)| price.complement()),
        };
        let price = price.filter(|p| p.micros() > 0).ok_or(QuoteRefusal::NoPrice)?;
        let worst = worst_price(price).ok_or(QuoteRefusal::NoPrice)?;
        let FeeRule::Quadratic { millionths } = market.fee else { return Err(QuoteRefusal::MarketClosed) };
        let sized = size(stake, worst, market.fee, rate).ok_or(QuoteRefusal::TooSmall { asked: stake })?;
        let quote = Quote {
            id: QuoteId(self.entropy.uuid()),
            member,
            market: ticker.clone(),
            kind: market.kind,
            side,
            stake,
            count: sized.count,
            price,
            worst_price: worst,
            hold: sized.hold,
            pays: sized.pays,
            fee_millionths: millionths,
            rate,
            exchange_shard: market.exchange_shard,
            made_at: now,
            expires_at: now.saturating_add(SignedDuration::from_secs(QUOTE_SECONDS)).unwrap_or(now).min(market.ends_at),
        };
        store::insert_quote(&self.pool, &quote).await.map_err(|e| failed(&e))?;
        Ok(quote)
    }

    /// Confirms a quote: holds the points and stores the order. The same quote gives the same order however often.
    ///
    /// # Errors
    /// A refusal with a sentence for the member; nothing has happened then, but for `Unknown`.
    pub async fn confirm(&self, member: MemberId, id: QuoteId) -> Result<StakeAnswer, StakeRefusal> {
        let failed = |error: &dyn std::error::Error| {
            tracing::error!(error = error.to_string(), "no stake could be placed");
            StakeRefusal::Unavailable
        };
        let mut conn = self.pool.acquire().await.map_err(|e| failed(&e))?;
        let quote = store::quote(&mut conn, id).await.map_err(|e| failed(&e))?;
        let quote = quote.filter(|q| q.member == member).ok_or(StakeRefusal::UnknownQuote)?;
        if let Some(order) = store::orders(&mut conn, &[quote.order()]).await.map_err(|e| failed(&e))?.pop() {
            return Ok(StakeAnswer { order, first: false });
        }
        drop(conn);
        let now = self.clocks.business.now();
        let market = self.markets.market(&quote.market).await.map_err(|e| failed(&e))?;
        let market = market.ok_or(StakeRefusal::MarketClosed)?;
        if !market.tradable(now) {
            return Err(StakeRefusal::MarketClosed);
        }
        if quote.expires_at <= now {
            return Err(StakeRefusal::QuoteExpired);
        }
        // The list's price may be some seconds old: only one that was read after the quote says that it moved.
        if let Some(ask) =
            market.ask(quote.side).filter(|ask| *ask > quote.worst_price && market.seen_at > quote.made_at)
        {
            let tenths = |price: Price| price.micros() * 10 / quote.rate.micros;
            let points = |price: Price| format!("{}.{}", tenths(price) / 10, tenths(price) % 10);
            return Err(StakeRefusal::PriceMoved { quoted: points(quote.price), now: points(ask) });
        }
        let permit = self.safeguards.permit_stake(member, quote.kind.as_str()).await?;
        let request = StakeRequest { order: quote.order(), quote, permit };
        let answer = self.doors.stakes.submit(shard_of(member, self.shards), request).await;
        let answer = answer.map_err(|e| match e {
            DoorError::Busy => StakeRefusal::Busy,
            DoorError::Storage(_) => StakeRefusal::Unavailable,
            DoorError::Stopped | DoorError::Unknown => StakeRefusal::Unknown,
        })??;
        self.held.notify_one();
        Ok(answer)
    }

    /// Forgets quotes that nobody confirmed.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sweep_quotes_step(&self) -> Result<u64, sqlx::Error> {
        let now = self.clocks.business.now();
        store::delete_quotes(&self.pool, now.saturating_sub(QUOTES_KEPT).unwrap_or(now)).await
    }
}
