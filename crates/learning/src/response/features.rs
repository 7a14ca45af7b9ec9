//! What was known of an offer at its start.

use std::collections::HashMap;

use super::{KINDS_MAX, Offer, Past};

/// Offers and redemptions by household, and sizes of campaigns.
pub(super) struct Known<'a> {
    past: Past<'a>,
    offers: HashMap<usize, Vec<Offer>>,
    /// Day and campaign.
    redemptions: HashMap<usize, Vec<(i32, usize)>>,
    sizes: HashMap<usize, f64>,
    width: usize,
    /// Share of offers taken up, by kind.
    rates: [f64; KINDS_MAX],
}

impl<'a> Known<'a> {
    pub(super) fn new(past: Past<'a>, asked: &[Offer], rates: [f64; KINDS_MAX]) -> Known<'a> {
        let mut known = Known {
            past,
            offers: HashMap::new(),
            redemptions: HashMap::new(),
            sizes: HashMap::new(),
            width: past.households.iter().flat_map(|h| h.extras.first()).map(Vec::len).max().unwrap_or(0),
            rates,
        };
        for offer in past.offers.iter().chain(asked) {
            known.offers.entry(offer.household).or_default().push(*offer);
            *known.sizes.entry(offer.campaign).or_default() += 1.0;
        }
        for r in past.redemptions {
            known.redemptions.entry(r.household).or_default().push((r.day, r.campaign));
        }
        known
    }
}

/// Features of an offer; NaN where nothing is known.
pub(super) fn features(known: &Known<'_>, offer: &Offer) -> Vec<f64> {
    let mut features: Vec<f64> = (0..KINDS_MAX).map(|k| flag(offer.kind.min(KINDS_MAX - 1) == k)).collect();
    let days = f64::from((offer.end - offer.start).max(1));
    features.push(libm::log(days));
    features.push(libm::log(known.sizes.get(&offer.campaign).copied().unwrap_or(1.0)));
    history(known, offer, &mut features);
    purchases(known, offer, days, &mut features);
    features
}

/// What the household did with offers that had started before.
fn history(known: &Known<'_>, offer: &Offer, features: &mut Vec<f64>) {
    let before = |other: &&Offer| other.start < offer.start;
    let sent: Vec<&Offer> = known.offers.get(&offer.household).into_iter().flatten().filter(before).collect();
    let redemptions = known.redemptions.get(&offer.household).map_or(&[][..], Vec::as_slice);
    let made: Vec<&(i32, usize)> = redemptions.iter().filter(|(day, _)| *day < offer.start).collect();
    let taken = |other: &&&Offer| made.iter().any(|(_, campaign)| *campaign == other.campaign);
    let (many, used) = (sent.len() as f64, sent.iter().filter(taken).count() as f64);
    let same: Vec<&&Offer> = sent.iter().filter(|other| other.kind == offer.kind).collect();
    let used_same = same.iter().filter(|other| taken(other)).count() as f64;
    let last = made.iter().map(|(day, _)| *day).max();
    let running = sent.iter().filter(|other| other.end >= offer.start).count() as f64;
    features.extend([
        libm::log1p(many),
        libm::log1p(used),
        inclination(known, offer),
        libm::log1p(made.len() as f64),
        last.map_or(0.0, |day| 1.0 / (1.0 + f64::from(offer.start - day) / 30.0)),
        flag(used > 0.0),
        libm::log((used_same + 0.3) / (same.len() as f64 - used_same + 2.7)),
        libm::log1p(same.len() as f64),
        libm::log1p(running),
    ]);
}

/// Offers taken up before any is known of a household, in the sense of a gamma prior; a small number, since most take up
/// nothing ever and some nearly everything.
const PRIOR: f64 = 0.4;

/// Logarithm of how much more the household took up of earlier offers than others do of offers of those kinds; an offer
/// still running counts for the part of its time that has passed.
pub(super) fn inclination(known: &Known<'_>, offer: &Offer) -> f64 {
    let (mut used, mut expected) = (0.0, 0.0);
    let redemptions = known.redemptions.get(&offer.household).map_or(&[][..], Vec::as_slice);
    for other in known.offers.get(&offer.household).into_iter().flatten().filter(|other| other.start < offer.start) {
        let passed = f64::from(offer.start - other.start) / f64::from((other.end - other.start + 1).max(1));
        expected += known.rates[other.kind.min(KINDS_MAX - 1)] * passed.min(1.0);
        used += flag(redemptions.iter().any(|(day, campaign)| *campaign == other.campaign && *day < offer.start));
    }
    libm::log((used + PRIOR) / (expected + PRIOR))
}

/// What the household bought before; NaN throughout if its purchases are not known.
fn purchases(known: &Known<'_>, offer: &Offer, days: f64, features: &mut Vec<f64>) {
    let household = &known.past.households[offer.household];
    let seen = household.purchases.until(offer.start - 1);
    features.push(flag(!household.purchases.days().is_empty()));
    let (Some(first), Some(last)) = (seen.days.first(), seen.days.last()) else {
        features.extend(std::iter::repeat_n(f64::NAN, 9 + 2 * known.width));
        return;
    };
    let many = seen.days.len() as f64;
    let age = f64::from(offer.start - known.past.log_start.min(*first)).max(1.0);
    let idle = f64::from(offer.start - last);
    let from = |window: i32| seen.days.partition_point(|day| *day < offer.start - window);
    let rate = |window: i32| (seen.days.len() - from(window)) as f64 / f64::from(window).min(age);
    let spend = |window: i32| seen.spend[from(window)..].iter().sum::<f64>() / f64::from(window).min(age);
    features.extend([
        libm::log(rate(28) + 0.01),
        libm::log(rate(91) + 0.01),
        libm::log(many / age + 0.01),
        libm::log1p(idle),
        libm::log((idle + 1.0) / (age / many + 1.0)),
        libm::log(spend(91) + 0.1),
        libm::log(seen.spend_sum() / many + 0.1),
        libm::log((rate(28) + 0.01) / (many / age + 0.01)),
        libm::log1p(many / age * days),
    ]);
    let recent = &household.extras[from(182).min(household.extras.len())..seen.days.len().min(household.extras.len())];
    for column in 0..known.width {
        let values: Vec<f64> = recent.iter().filter_map(|row| row.get(column)).copied().collect();
        let many = values.len() as f64;
        if values.is_empty() {
            features.extend([f64::NAN; 2]);
            continue;
        }
        let above = values.iter().filter(|x| **x > 0.0).count() as f64;
        let mean = values.iter().map(|x| x.abs()).sum::<f64>() / many;
        features.extend([libm::log((above + 0.5) / (many - above + 2.0)), libm::log1p(mean)]);
    }
}

fn flag(is: bool) -> f64 {
    f64::from(u8::from(is))
}
