//! What can be offered now: markets, offers, and the merchants' names.

use hunch_kernel::MarketTicker;
use hunch_messaging::PromptGate;
use jiff::SignedDuration;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use uuid::Uuid;

use super::Engage;
use crate::EngageError;
use crate::decide::{Candidate, OfferCandidate};
use crate::surroundings::Surroundings;

/// How long it is kept in memory.
const CANDIDATES_FRESH: SignedDuration = SignedDuration::from_secs(1);

#[derive(Default)]
pub(crate) struct Nearby {
    pub candidates: Vec<Candidate>,
    merchants: Arc<HashMap<Uuid, String>>,
}

impl Nearby {
    /// The offer with this id, while it can be had.
    pub(crate) fn offer(&self, id: &str) -> Option<&OfferCandidate> {
        let id: Uuid = id.parse().ok()?;
        self.candidates.iter().find_map(|candidate| match candidate {
            Candidate::Offer(offer) if offer.offer == id => Some(offer),
            Candidate::Offer(_) | Candidate::Market(_) => None,
        })
    }

    pub(super) fn merchant(&self, id: Uuid) -> &str {
        self.merchants.get(&id).map_or("your shop", String::as_str)
    }

    /// Without the offers that the member had already: a purchase would not be credited for them again.
    pub(crate) fn for_member(self: &Arc<Nearby>, used: Option<&HashSet<Uuid>>) -> Arc<Nearby> {
        let Some(used) = used else { return self.clone() };
        let free = |c: &&Candidate| !matches!(c, Candidate::Offer(offer) if used.contains(&offer.offer));
        let candidates = self.candidates.iter().filter(free).cloned().collect();
        Arc::new(Nearby { candidates, merchants: self.merchants.clone() })
    }
}

impl<G: PromptGate, S: Surroundings> Engage<G, S> {
    /// Markets, offers and merchants of the last second; read again at once for a merchant not known,
    /// unless they were read just now.
    pub(crate) async fn nearby(&self, merchant: Option<Uuid>) -> Result<Arc<Nearby>, EngageError> {
        let now = self.clocks.business.now();
        let known = self.nearby.last();
        let missing = merchant.is_some_and(|id| known.is_some_and(|known| !known.merchants.contains_key(&id)));
        let fresh = if missing { CANDIDATES_FRESH / 10 } else { CANDIDATES_FRESH };
        let read = async {
            let markets = self.surroundings.markets(now).await.unwrap_or_else(|error| {
                tracing::warn!(error, "no markets to choose from");
                Vec::new()
            });
            let offers = hunch_loyalty::active_offers(&self.pool, now).await?.into_iter().map(|o| {
                Candidate::Offer(OfferCandidate {
                    limited: o.budget.is_some(),
                    offer: o.id,
                    merchant: o.merchant,
                    merchant_name: o.merchant_name,
                    merchant_category: o.merchant_category,
                    title: o.title,
                    bonus: o.bonus,
                    ends_at: o.valid_to,
                })
            });
            let candidates = markets.into_iter().map(Candidate::Market).chain(offers).collect();
            Ok(Nearby { candidates, merchants: Arc::new(hunch_loyalty::merchant_names(&self.pool).await?) })
        };
        Ok(self.nearby.get(self.clocks.wall.now(), fresh, read).await?)
    }

    pub(crate) async fn market_now(
        &self,
        ticker: &MarketTicker,
    ) -> Result<Option<crate::MarketCandidate>, EngageError> {
        self.surroundings.market(ticker, self.clocks.business.now()).await.map_err(EngageError::Surroundings)
    }
}
