//! The next best action: what to say to a member after a purchase, or on the app's card.
//!
//! Invariants
//! - Pure: features, candidates, learner and seed give the same choice and propensity on every machine. All numbers here
//!   are whole; floating point stays inside the learner, which gives shares in millionths.
//! - Hard rules come first: what they or the gate exclude has no chance at all, whatever it scores. The gate is asked before
//!   anything is drawn, so a member who may not be prompted to stake has the offers of shops to draw from.
//! - Nothing here counts stakes: how often or how much somebody staked makes no choice likelier.
//! - Everything they leave keeps a chance above a floor, so another policy can be judged on our decisions.
//! - *Nothing* is always a candidate. The propensity is the share that the choice was drawn with.
//!
//! A learner decides where there is one; the rule decides otherwise. The rule's choice is two draws: first the kind
//! (nothing, market, offer), weighed by the best score of each kind, then one of that kind. So fifty markets do not
//! drown *nothing*. Weights double with every `DOUBLING` points of score, straight lines between the powers of two.

use hunch_kernel::{MarketTicker, MemberId, MerchantId, Points, Price, derived_uuid};
use hunch_markets::day_ends;
use hunch_messaging::PromptSitting;
use jiff::{SignedDuration, Timestamp};
use ring::digest::{Context, SHA256};
use std::collections::BTreeMap;
use uuid::Uuid;

use crate::features::Features;
use crate::learn::Learner;
use crate::told::{Choice, Seen, Told, fits, is_usual, open};

/// The rule's version: raised with every change of weights or rules.
pub const POLICY_VERSION: i16 = 2;
/// The version of what surrounds a learner: raised with every change of what it is told or how its shares are drawn.
pub const LEARNED_VERSION: i16 = 3;
/// A market must leave at least this long to be acted on.
pub const ACT_MINUTES_MIN: i64 = 10;

const MILLION: u64 = 1_000_000;
/// Points of score that double a weight.
const DOUBLING: i64 = 100;
/// Chance that is spread evenly over all kinds, in millionths; and then over all of one kind.
const KIND_FLOOR_PPM: u64 = 60_000;
const ITEM_FLOOR_PPM: u64 = 200_000;

/// A market that may be offered today.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarketCandidate {
    pub ticker: MarketTicker,
    pub title: String,
    /// sports, events, weather or local.
    pub category: String,
    /// What YES costs now, if there is a price.
    pub yes_price: Option<Price>,
    /// When trading is expected to end.
    pub ends_at: Timestamp,
}

/// An offer of a shop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfferCandidate {
    /// It lasts until a budget is spent.
    pub limited: bool,
    pub offer: Uuid,
    pub merchant: MerchantId,
    pub merchant_name: String,
    pub merchant_category: String,
    pub title: String,
    pub bonus: Points,
    pub ends_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Candidate {
    Market(MarketCandidate),
    Offer(OfferCandidate),
}

/// When and where the question arises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Situation {
    pub now: Timestamp,
    /// Where the member has just bought, if anywhere.
    pub merchant: Option<MerchantId>,
    pub merchant_category: Option<String>,
    /// Prompts to stake that the member had, in the last 24 hours and seven days.
    pub prompts_24h: u32,
    pub prompts_7d: u32,
}

/// What the gate lets be said, asked before anything is drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// By category of market, with why not. A category that was not asked about is denied.
    pub prompts: BTreeMap<String, Result<(), &'static str>>,
    pub offers: Result<(), &'static str>,
    /// The end of the member's own day: a market that ends later is not one of today.
    pub day_ends: Timestamp,
}

impl Allowed {
    /// Asks about everything that could be chosen.
    pub fn by(
        sitting: &impl PromptSitting,
        member: MemberId,
        cause: Uuid,
        candidates: &[Candidate],
        now: Timestamp,
    ) -> Allowed {
        let mut prompts = BTreeMap::new();
        for candidate in candidates {
            if let Candidate::Market(market) = candidate
                && !prompts.contains_key(&market.category)
            {
                let answer = sitting.allows_prompt(member, cause, &market.category).map_err(|refusal| refusal.code);
                prompts.insert(market.category.clone(), answer);
            }
        }
        let offers = sitting.offer(member, None).map(drop).map_err(|refusal| refusal.code);
        let day_ends = sitting.zone(member).map_or(Timestamp::MIN, |zone| day_ends(now, &zone));
        Allowed { prompts, offers, day_ends }
    }

    /// The same without any market.
    #[must_use]
    pub fn without_prompts(mut self, why: &'static str) -> Allowed {
        self.prompts.values_mut().for_each(|answer| *answer = Err(why));
        self
    }

    fn prompt(&self, category: &str) -> Result<(), &'static str> {
        self.prompts.get(category).copied().unwrap_or(Err("unavailable"))
    }
}

/// What was chosen, and with what chance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Index into the candidates; None is *nothing*.
    pub chosen: Option<usize>,
    /// Millionths; at least 1.
    pub propensity_ppm: u32,
    pub policy: i16,
    pub seed: u64,
    pub candidates_hash: [u8; 16],
    /// How many could be chosen, nothing included.
    pub eligible: usize,
    /// Stable code: why this.
    pub reason: &'static str,
    /// What a model is told of this question, in the order of what could be chosen.
    pub told: Told,
    /// Place of the choice in `told`.
    pub told_at: Option<usize>,
}

/// The seed that belongs to this member and cause for ever.
pub fn seed_of(member: Uuid, cause: Uuid) -> u64 {
    derived_uuid(&[b"engage", &POLICY_VERSION.to_be_bytes(), member.as_bytes(), cause.as_bytes()]).as_u64_pair().0
}

/// Chooses. Candidates that the hard rules exclude or the gate denies are never chosen. Without a learner the rule decides.
pub fn decide(
    features: &Features,
    situation: &Situation,
    candidates: &[Candidate],
    allowed: &Allowed,
    learner: Option<&Learner>,
    seed: u64,
) -> Decision {
    let Possible { choices: possible, denied } = possible(features, situation, candidates, allowed);
    let told_of = |scored: &Scored| Choice::of(&candidates[scored.index], features, situation);
    let told = Told { seen: Seen::of(features, situation), choices: possible.iter().map(told_of).collect() };
    let learned = learner.and_then(|learner| draw_learned(learner, &told, seed));
    let policy = if learned.is_some() { LEARNED_VERSION } else { POLICY_VERSION };
    let drawn = learned.unwrap_or_else(|| draw_by_rule(score_nothing(situation), &possible, seed));
    let reason = match drawn.at {
        None if possible.is_empty() => denied.unwrap_or("nothing_to_say"),
        None => denied.unwrap_or("nothing_better"),
        Some(_) if drawn.best => "best",
        Some(_) => "explored",
    };
    Decision {
        chosen: drawn.at.map(|at| possible[at].index),
        propensity_ppm: drawn.ppm,
        policy,
        seed,
        candidates_hash: hash(candidates, &possible),
        eligible: 1 + possible.len(),
        reason,
        told,
        told_at: drawn.at,
    }
}

/// What hard rules and gate leave, markets first.
struct Possible {
    choices: Vec<Scored>,
    /// Why there is no market among them though there could be, or else no offer: a code of the gate.
    denied: Option<&'static str>,
}

fn possible(features: &Features, situation: &Situation, candidates: &[Candidate], allowed: &Allowed) -> Possible {
    let (mut markets, mut offers) = (Vec::new(), Vec::new());
    let (mut no_market, mut no_offer) = (None, None);
    for (index, candidate) in candidates.iter().enumerate() {
        match candidate {
            Candidate::Market(m) if can_act(m.ends_at, situation.now) && m.ends_at <= allowed.day_ends => {
                match allowed.prompt(&m.category) {
                    Ok(()) => markets.push(Scored { index, kind: Kind::Market, score: score_market(situation, m) }),
                    Err(code) => no_market = no_market.or(Some(code)),
                }
            }
            Candidate::Offer(o) if can_act(o.ends_at, situation.now) => match allowed.offers {
                Ok(()) => offers.push(Scored { index, kind: Kind::Offer, score: score_offer(features, situation, o) }),
                Err(code) => no_offer = no_offer.or(Some(code)),
            },
            Candidate::Market(_) | Candidate::Offer(_) => {}
        }
    }
    let denied = no_market.filter(|_| markets.is_empty()).or(no_offer.filter(|_| markets.is_empty()));
    markets.append(&mut offers);
    Possible { choices: markets, denied }
}

/// What a draw gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Drawn {
    /// Among what was possible; None is *nothing*.
    pub at: Option<usize>,
    /// Its share in millionths.
    pub ppm: u32,
    /// Whether nothing had a larger one (of its kind, when the rule drew).
    pub best: bool,
}

/// One draw from the learner's shares, if it has any.
pub(crate) fn draw_learned(learner: &Learner, told: &Told, seed: u64) -> Option<Drawn> {
    let shares = learner.shares(told)?;
    let (at, ppm) = draw(shares.iter().map(|share| u64::from(*share)), seed, 0);
    let best = shares.iter().all(|share| u64::from(*share) <= ppm);
    Some(Drawn { at: at.checked_sub(1), ppm: ppm.max(1) as u32, best })
}

fn draw_by_rule(nothing: i64, possible: &[Scored], seed: u64) -> Drawn {
    let of = |kind| possible.iter().enumerate().filter(move |(_, s)| s.kind == kind);
    let best = |kind| of(kind).map(|(_, s)| s.score).max();
    let kinds: Vec<(Option<Kind>, i64)> = std::iter::once((None, nothing))
        .chain([Kind::Market, Kind::Offer].into_iter().filter_map(|kind| Some((Some(kind), best(kind)?))))
        .collect();
    let (kind_at, kind_ppm) = draw(chances(kinds.iter().map(|(_, score)| *score), KIND_FLOOR_PPM), seed, 0);
    let (Some(kind), best) = kinds[kind_at] else {
        let ppm = if kinds.len() == 1 { MILLION } else { kind_ppm.max(1) };
        return Drawn { at: None, ppm: ppm as u32, best: true };
    };
    let (item_at, item_ppm) = draw(chances(of(kind).map(|(_, s)| s.score), ITEM_FLOOR_PPM), seed, 1);
    let at = of(kind).nth(item_at);
    Drawn {
        at: at.map(|(at, _)| at),
        ppm: (kind_ppm * item_ppm / MILLION).max(1) as u32,
        best: at.is_some_and(|(_, s)| s.score == best),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Market,
    Offer,
}

struct Scored {
    /// Among the candidates.
    index: usize,
    kind: Kind,
    score: i64,
}

fn can_act(ends_at: Timestamp, now: Timestamp) -> bool {
    ends_at.duration_since(now) >= SignedDuration::from_mins(ACT_MINUTES_MIN)
}

/// The more we have said this week, the better is silence.
fn score_nothing(situation: &Situation) -> i64 {
    i64::from(situation.prompts_24h) * 90 + i64::from(situation.prompts_7d) * 15
}

fn score_market(situation: &Situation, market: &MarketCandidate) -> i64 {
    let hours = market.ends_at.duration_since(situation.now).as_hours();
    100 + (12 - hours).clamp(0, 12) * 8 + open(market.yes_price) + fits(situation, &market.category)
}

fn score_offer(features: &Features, situation: &Situation, offer: &OfferCandidate) -> i64 {
    // Someone who has just left the shop need not hear of it; its kind elsewhere is welcome.
    let same_shop = if situation.merchant == Some(offer.merchant) { -150 } else { 0 };
    let usual = if is_usual(features, offer) { 60 } else { 0 };
    let away = features.days_since_last.map_or(0, |days| i64::from(days.clamp(0, 14)) * 4);
    40 + same_shop + usual + away + offer.bonus.0.clamp(0, 100)
}

/// Chances in millionths that sum to exactly a million: the floor spread evenly, the rest by weight.
fn chances(scores: impl Iterator<Item = i64> + Clone, floor_ppm: u64) -> Vec<u64> {
    let best = scores.clone().max().unwrap_or(0);
    let weights: Vec<u64> = scores.map(|score| weight(best - score)).collect();
    let (n, total) = (weights.len() as u64, weights.iter().sum::<u64>().max(1));
    let mut shares: Vec<u64> = weights.iter().map(|w| floor_ppm / n + (MILLION - floor_ppm) * w / total).collect();
    let rest = MILLION - shares.iter().sum::<u64>();
    if let Some(first) = shares.first_mut() {
        *first += rest;
    }
    shares
}

/// 2^20 at the best score, halved by every `DOUBLING` below it, straight between; never 0.
fn weight(below: i64) -> u64 {
    let (halvings, part) = (below / DOUBLING, below % DOUBLING);
    let whole = (1u64 << 20) >> halvings.min(20);
    (whole - whole * part as u64 / (2 * DOUBLING as u64)).max(1)
}

/// Draw number `nth` of this seed.
fn draw(chances: impl IntoIterator<Item = u64>, seed: u64, nth: u64) -> (usize, u64) {
    let random = derived_uuid(&[b"draw", &seed.to_be_bytes(), &nth.to_be_bytes()]).as_u64_pair().1;
    // The low half of a version 8 UUID has two fixed bits on top; the shift drops them.
    let point = ((u128::from(random << 2) * u128::from(MILLION)) >> 64) as u64;
    let (mut sum, mut last) = (0, (0, 0));
    for (index, chance) in chances.into_iter().enumerate() {
        sum += chance;
        last = (index, chance);
        if point < sum {
            break;
        }
    }
    last
}

/// Names and scores of what could be chosen, in order.
fn hash(candidates: &[Candidate], possible: &[Scored]) -> [u8; 16] {
    let mut context = Context::new(&SHA256);
    for scored in possible {
        match &candidates[scored.index] {
            Candidate::Market(m) => {
                context.update(b"m");
                context.update(m.ticker.as_str().as_bytes());
            }
            Candidate::Offer(o) => {
                context.update(b"o");
                context.update(o.offer.as_bytes());
            }
        }
        context.update(&[0]);
        context.update(&scored.score.to_be_bytes());
    }
    let mut short = [0u8; 16];
    short.copy_from_slice(&context.finish().as_ref()[..16]);
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn now() -> Timestamp {
        "2026-11-23T15:00:00Z".parse().unwrap()
    }

    fn situation() -> Situation {
        Situation {
            now: now(),
            merchant: Some(MerchantId(Uuid::from_u128(1))),
            merchant_category: Some("cafe".to_owned()),
            prompts_24h: 0,
            prompts_7d: 0,
        }
    }

    /// Candidates are the same for a whole shard; today is each member's own.
    #[test]
    fn a_market_that_ends_after_the_members_day_is_not_chosen() {
        let until = |minutes| Allowed { day_ends: now() + SignedDuration::from_mins(minutes), ..everything() };
        for seed in 0..50 {
            let choose = |allowed| decide(&Features::default(), &situation(), &[market(1, 60)], &allowed, None, seed);
            assert_eq!((choose(until(59)).chosen, choose(until(59)).eligible), (None, 1));
            assert_eq!(choose(until(60)).eligible, 2, "ending with the day is ending today");
        }
    }

    const CATEGORIES: [&str; 4] = ["sports", "events", "weather", "local"];

    fn everything() -> Allowed {
        let prompts = CATEGORIES.map(|category| (category.to_owned(), Ok(()))).into();
        Allowed { prompts, offers: Ok(()), day_ends: Timestamp::MAX }
    }

    fn decided(features: &Features, candidates: &[Candidate], seed: u64) -> Decision {
        decide(features, &situation(), candidates, &everything(), None, seed)
    }

    fn market(n: usize, minutes: i64) -> Candidate {
        Candidate::Market(MarketCandidate {
            ticker: MarketTicker(format!("M-{n}")),
            title: "Will it rain?".to_owned(),
            category: CATEGORIES[n % 4].to_owned(),
            yes_price: Price::from_micros((n as i64 * 37_000) % 1_000_000).ok(),
            ends_at: now() + SignedDuration::from_mins(minutes),
        })
    }

    fn offer(n: u128, minutes: i64) -> Candidate {
        Candidate::Offer(OfferCandidate {
            limited: false,
            offer: Uuid::from_u128(n),
            merchant: MerchantId(Uuid::from_u128(n)),
            merchant_name: "Rosa's".to_owned(),
            merchant_category: "bakery".to_owned(),
            title: "Warm rolls".to_owned(),
            bonus: Points(20),
            ends_at: now() + SignedDuration::from_mins(minutes),
        })
    }

    #[test]
    fn without_candidates_there_is_nothing_to_say() {
        let d = decided(&Features::default(), &[], 1);
        assert_eq!((d.chosen, d.propensity_ppm, d.reason, d.eligible), (None, 1_000_000, "nothing_to_say", 1));
    }

    /// The gate is asked before the draw: who may not be prompted draws from the offers, and nothing else.
    #[test]
    fn hard_rules_come_first() {
        let everything_open = [market(1, 60), market(2, 60), offer(5, 60)];
        let denied = everything().without_prompts("after_loss");
        let neither = Allowed { offers: Err("offers_off"), ..denied.clone() };
        let (mut offers, mut silent) = (0, 0);
        for seed in 0..500 {
            let d = decide(&Features::default(), &situation(), &everything_open, &denied, None, seed);
            match d.chosen {
                Some(2) => offers += 1,
                None => {
                    silent += 1;
                    assert_eq!(d.reason, "after_loss");
                }
                other => panic!("{other:?}"),
            }
            assert_eq!(d.told.choices.len(), 1, "a model is not even told of what is denied");
            let d = decide(&Features::default(), &situation(), &everything_open, &neither, None, seed);
            assert_eq!((d.chosen, d.reason, d.propensity_ppm), (None, "after_loss", 1_000_000));
            assert_eq!(decided(&Features::default(), &[market(1, 9), offer(5, 9)], seed).chosen, None);
        }
        assert!(offers > 50 && silent > 50, "{offers} {silent}");
        let shops_only = Allowed { prompts: BTreeMap::new(), offers: Err("offers_off"), day_ends: Timestamp::MAX };
        let d = decide(&Features::default(), &situation(), &[offer(5, 60)], &shops_only, None, 1);
        assert_eq!((d.chosen, d.reason), (None, "offers_off"));
        let d = decide(&Features::default(), &situation(), &[market(1, 60)], &shops_only, None, 1);
        assert_eq!((d.chosen, d.reason), (None, "unavailable"), "a category that nobody asked about is denied");
    }

    #[test]
    fn one_category_may_be_denied_and_another_not() {
        let mut allowed = everything();
        allowed.prompts.insert("events".to_owned(), Err("place_not_allowed"));
        for seed in 0..200 {
            let d = decide(&Features::default(), &situation(), &[market(1, 60), market(2, 60)], &allowed, None, seed);
            assert_ne!(d.chosen, Some(0), "market 1 is an event");
            assert!(d.reason != "place_not_allowed");
        }
    }

    /// Over many seeds every candidate comes as often as its propensity says.
    #[test]
    fn propensities_are_what_happens() {
        let candidates: Vec<Candidate> = (0..6).map(|n| market(n, 60 + 60 * n as i64)).chain([offer(5, 90)]).collect();
        let runs = 200_000u64;
        let mut seen: BTreeMap<Option<usize>, (u64, u32)> = BTreeMap::new();
        for seed in 0..runs {
            let d = decided(&Features::default(), &candidates, seed_of(Uuid::nil(), Uuid::from_u128(seed.into())));
            let entry = seen.entry(d.chosen).or_insert((0, d.propensity_ppm));
            assert_eq!(entry.1, d.propensity_ppm, "one candidate, one propensity");
            entry.0 += 1;
        }
        assert_eq!(seen.len(), 8, "everything allowed has a chance");
        let total: u32 = seen.values().map(|(_, ppm)| ppm).sum();
        assert!((999_900..=1_000_000).contains(&total), "{total}");
        for (chosen, (count, ppm)) in seen {
            let expected = runs * u64::from(ppm) / 1_000_000;
            let slack = 5 * (expected as f64).sqrt() as u64 + 5;
            assert!(count.abs_diff(expected) <= slack, "{chosen:?}: {count} of {expected}");
        }
    }

    #[test]
    fn the_more_was_said_the_better_is_silence() {
        let silent = |prompts_24h, prompts_7d| {
            let situation = Situation { prompts_24h, prompts_7d, ..situation() };
            let quiet = |seed: &u64| {
                let d = decide(&Features::default(), &situation, &[market(2, 90)], &everything(), None, *seed);
                d.chosen.is_none()
            };
            (0..2_000u64).filter(quiet).count()
        };
        assert!(silent(0, 0) * 2 < silent(2, 9));
    }

    proptest! {
        /// The same question has the same answer; what cannot be acted on is never chosen.
        #[test]
        fn replay_is_exact(seed in any::<u64>(), minutes in prop::collection::vec(-60i64..600, 0..50), offers in 0u128..5, prompts in 0u32..4, denied in any::<bool>()) {
            let mut candidates: Vec<Candidate> = minutes.iter().enumerate().map(|(n, m)| market(n, *m)).collect();
            candidates.extend((0..offers).map(|n| offer(n, 30)));
            let situation = Situation { prompts_24h: prompts, ..situation() };
            let allowed = if denied { everything().without_prompts("excluded") } else { everything() };
            let again = || decide(&Features::default(), &situation, &candidates, &allowed, None, seed);
            let first = again();
            prop_assert_eq!(&first, &again());
            prop_assert!(first.propensity_ppm >= 1);
            match first.chosen.map(|index| &candidates[index]) {
                Some(Candidate::Market(m)) => prop_assert!(can_act(m.ends_at, now()) && !denied),
                Some(Candidate::Offer(o)) => prop_assert!(can_act(o.ends_at, now())),
                None => {}
            }
        }

        #[test]
        fn chances_sum_to_one(scores in prop::collection::vec(-5_000i64..5_000, 1..200)) {
            let shares = chances(scores.iter().copied(), ITEM_FLOOR_PPM);
            prop_assert_eq!(shares.iter().sum::<u64>(), MILLION);
            prop_assert!(shares.iter().all(|share| *share > 0));
        }
    }

    /// A recorded decision: whoever changes the policy raises its version and this line.
    #[test]
    fn version_two_is_frozen() {
        let candidates: Vec<Candidate> = (0..50).map(|n| market(n, 60)).collect();
        let d = decided(&Features::default(), &candidates, 42);
        let line = format!("{:?} {} {} {}", d.chosen, d.propensity_ppm, d.reason, hex::encode(d.candidates_hash));
        assert_eq!(line, "Some(47) 16231 explored 952ebd57f60f93fc7c7397a10a1c0a7d");
    }
}
