//! The exchange that the settings name.

use anyhow::{Context, ensure};
use hunch_exchange::{Exchange, MarketQuery};
use hunch_kalshi::{Kalshi, KalshiConfig};
use hunch_kernel::SharedClock;

use crate::settings::Settings;

/// A client of the exchange in the section `[exchange]`.
///
/// # Errors
/// One sentence about the setting that is missing or wrong.
pub fn open(settings: &Settings, wall: SharedClock) -> anyhow::Result<Kalshi> {
    settings.check()?;
    ensure!(
        settings.text("exchange.kind") == "kalshi",
        "no exchange is named; set exchange.kind = kalshi with rest_url, ws_url, key_id and private_key_file \
         (`hunch exchange-sim` serves one for trying)"
    );
    let file = settings.path("exchange.private_key_file").context("exchange.private_key_file")?;
    let pem = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let config = KalshiConfig {
        rest_url: settings.text("exchange.rest_url").to_owned(),
        ws_url: settings.text("exchange.ws_url").to_owned(),
        key_id: settings.text("exchange.key_id").to_owned(),
        private_key_pem: pem.into(),
    };
    Ok(Kalshi::new(&config, wall)?)
}

/// `hunch exchange-status`: can we reach it, are we known there, what could be traded?
///
/// # Errors
/// What the exchange or the settings say.
pub async fn status(settings: &Settings, wall: SharedClock) -> anyhow::Result<()> {
    let exchange = open(settings, wall)?;
    let state = exchange.status().await?;
    let yes_no = |yes| if yes { "yes" } else { "no" };
    println!("exchange active   {}", yes_no(state.exchange_active));
    println!("trading active    {}", yes_no(state.trading_active));
    for cash in exchange.cash().await? {
        println!("cash on shard {}   ${}", cash.shard.0, cash.available);
    }
    let (mut markets, mut cursor) = (0, None);
    loop {
        let page = exchange.markets(&MarketQuery::Open, cursor.as_deref()).await?;
        markets += page.items.len();
        // A cursor that does not move would never end.
        match page.next.filter(|next| Some(next) != cursor.as_ref()) {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    println!("open markets      {markets}");
    Ok(())
}
