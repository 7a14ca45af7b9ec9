//! Quoting and confirming: what a member asks for, checked, priced and handed to the shard.

use futures_util::future::join;
use hunch_exchange::FeeRule;
use hunch_kernel::{MarketTicker, MemberId, PointRate, Points, QuoteId, Side, shard_of};
use hunch_ledger::DoorError;
use hunch_safeguards::Denial;
use jiff::{SignedDuration, Timestamp};

use crate::opening::Openness;
use crate::quote::{QUOTE_SECONDS, Quote, STAKE_POINTS_MAX, STAKE_POINTS_MIN, Terms, points_text};
use crate::stake::{StakeAnswer, StakeRequest};
use crate::{Trading, TradingError, store};

/// Lapsed quotes are kept this long, for questions.
const QUOTES_KEPT: SignedDuration = SignedDuration::from_hours(24);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuoteRefusal {
    #[error("There is no such market here. Look at the list of open markets.")]
    UnknownMarket,
    #[error("This market takes no more stakes. Look at the list of open markets.")]
    MarketClosed,
    #[error("Nobody offers this side just now. Try the other side, or try again in a moment.")]
    NoPrice,
    #[error("You can stake from 10 to 1,000,000 points at a time. You asked for {asked}.")]
    Stake { asked: Points },
    #[error("{}", cannot_win(*asked, *least))]
    CannotWin {
        asked: Points,
        /// The smallest stake that can win at this price, if any can.
        least: Option<Points>,
    },
    #[error(transparent)]
    Denied(Denial),
    #[error("Staking is paused for everyone just now. Your points are safe.")]
    Paused,
    /// `until` is when the exchange expects to go on, if that is known.
    #[error("The exchange is closed just now, so no stakes are taken. Your points are safe.")]
    ExchangeClosed { until: Option<Timestamp> },
    #[error(
        "We cannot see just now whether the exchange is open, so no stakes are taken. Your points are safe. Try again in a moment."
    )]
    ExchangeUnknown,
    #[error("We cannot read prices just now. Try again in a moment.")]
    Unavailable,
}

fn cannot_win(asked: Points, least: Option<Points>) -> String {
    let so = format!("{asked} points on this side pay back no more than they cost, even if you are right.");
    match least {
        Some(least) => format!("{so} Stake at least {least} points, or choose the other side."),
        None => format!("{so} No stake on this side can win just now. Choose the other side or another market."),
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StakeRefusal {
    #[error("You have no such quote. Ask for a new one.")]
    UnknownQuote,
    #[error("This quote has expired. Ask for a new one.")]
    QuoteExpired,
    #[error("The market closed in the meantime. Nothing was staked.")]
    MarketClosed,
    #[error("The price moved from {quoted} to {now} points a contract. Nothing was staked. Ask for a new quote.")]
    PriceMoved { quoted: String, now: String },
    #[error("You have {available} points available. This stake needs {needed}.")]
    InsufficientPoints { available: Points, needed: Points },
    #[error(transparent)]
    Denied(Denial),
    #[error("Staking is paused for everyone just now. Your points are safe.")]
    Paused,
    /// `until` is when the exchange expects to go on, if that is known.
    #[error("The exchange is closed just now, so no stakes are taken. Your points are safe.")]
    ExchangeClosed { until: Option<Timestamp> },
    #[error(
        "We cannot see just now whether the exchange is open, so no stakes are taken. Your points are safe. Try again in a moment."
    )]
    ExchangeUnknown,
    #[error("We are busy just now. Confirm the same quote again in a moment: it counts once.")]
    Busy,
    #[error("Your stake could not be stored. Confirm the same quote again in a moment: it counts once.")]
    Unavailable,
    #[error("This stake cannot be stored, and confirming it again changes nothing. Your points are safe.")]
    Impossible,
    #[error("It is not known yet whether your stake was stored. Confirm the same quote again: it counts once.")]
    Unknown,
}

impl Trading {
    /// What a point is worth now. Lists and quotes ask here, so that they say the same.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn rate(&self) -> Result<PointRate, TradingError> {
        Ok(store::rate(&self.pool, self.clocks.business.now()).await?)
    }

    /// Prices a stake from the best prices of the exchange's book and freezes it for ten seconds. Whoever may not stake is
    /// told so here already.
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
        drop(conn);
        let rate = self.rate().await.map_err(|e| failed(&e))?;
        self.safeguards.permit_stake(member, market.kind.as_str()).await.map_err(QuoteRefusal::Denied)?;
        // Both are read at the exchange, at the same time.
        let (openness, top) = join(self.openness_now(market.exchange_shard), self.tops.of(ticker)).await;
        match openness {
            Openness::Open => {}
            Openness::Closed { until } => return Err(QuoteRefusal::ExchangeClosed { until }),
            Openness::Unknown => return Err(QuoteRefusal::ExchangeUnknown),
        }
        let top = top.map_err(|e| failed(&e))?;
        let price = match side {
            Side::Yes => top.yes_ask.map(|(price, _)| price),
            Side::No => top.yes_bid.map(|(price, _)| price.complement()),
        };
        let price = price.filter(|p| p.micros() > 0).ok_or(QuoteRefusal::NoPrice)?;
        let FeeRule::Quadratic { millionths } = market.fee else { return Err(QuoteRefusal::MarketClosed) };
        let terms = Terms { side, price, bands: &market.bands, fee: market.fee, rate };
        let refused = || QuoteRefusal::CannotWin { asked: stake, least: terms.smallest_winning() };
        let sized = terms.size(stake).ok_or_else(refused)?;
        let quote = Quote {
            id: QuoteId(self.entropy.uuid()),
            member,
            market: ticker.clone(),
            kind: market.kind,
            side,
            stake,
            count: sized.count,
            price,
            worst_price: sized.worst_price,
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
        let failed = |error: &(dyn std::error::Error + 'static)| {
            tracing::error!(error = error.to_string(), "no stake could be placed");
            match hunch_db::has_permanent_cause(error) {
                true => StakeRefusal::Impossible,
                false => StakeRefusal::Unavailable,
            }
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
        match self.openness_as_told(quote.exchange_shard).await {
            Openness::Open => {}
            Openness::Closed { until } => return Err(StakeRefusal::ExchangeClosed { until }),
            Openness::Unknown => return Err(StakeRefusal::ExchangeUnknown),
        }
        // The list's price may be some seconds old: only one that was read after the quote says that it moved.
        if let Some(ask) =
            market.ask(quote.side).filter(|ask| *ask > quote.worst_price && market.seen_at > quote.made_at)
        {
            let (quoted, now) = (points_text(quote.price, quote.rate), points_text(ask, quote.rate));
            return Err(StakeRefusal::PriceMoved { quoted, now });
        }
        let permit = self.safeguards.permit_stake(member, quote.kind.as_str()).await?;
        let request = StakeRequest { order: quote.order(), quote, permit };
        let answer = self.doors.stakes.submit(shard_of(member, self.shards), request).await;
        let answer = answer.map_err(|e| match e {
            DoorError::Busy => StakeRefusal::Busy,
            DoorError::Storage(_) => StakeRefusal::Unavailable,
            DoorError::Impossible(_) => StakeRefusal::Impossible,
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
