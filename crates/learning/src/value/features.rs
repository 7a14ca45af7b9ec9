//! What is known of customers at a cut-off: features from the log and from the repeat-buying models.
//!
//! Everything here uses purchases up to the cut-off alone, so the same function serves cut-offs in the past, whose
//! outcomes are known, and the present one.

use super::base::Base;
use super::history::{MeanSpend, PurchaseHistory, Seen, Summary};
use super::repeat::ValueError;
use crate::numeric::special::logit;

/// A cut-off and what lies around it, in day numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// First day of the log.
    pub start: i32,
    /// Last day that is known.
    pub cutoff: i32,
    /// Days after the cut-off that are asked about.
    pub horizon: i32,
}

/// Customers with a purchase until the cut-off, as seen there; all fields have one entry for each.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub moment: Moment,
    /// By which the horizon was multiplied in the models.
    pub stretch: f64,
    /// Places in the list that the snapshot was made from.
    pub who: Vec<usize>,
    pub summary: Vec<Summary>,
    pub spend: Vec<MeanSpend>,
    /// Expected purchase days by the repeat-buying models.
    pub days_base: Vec<f64>,
    /// Expected spend by the repeat-buying models.
    pub spend_base: Vec<f64>,
    /// Probability of no purchase by the repeat-buying models.
    pub none_base: Vec<f64>,
    pub alive: Vec<f64>,
    pub features: Vec<Vec<f64>>,
    pub base: Base,
}

/// Days after which a year has gone round on the same weekday.
pub const YEAR: i32 = 364;

/// Expectations below this are taken as this where logarithms are needed.
pub const LEAST: f64 = 1e-4;

impl Snapshot {
    /// Fits the repeat-buying models on what was known at the cut-off, and computes the features.
    ///
    /// `stretch` multiplies the horizon in the models alone: 1, or more if the time ahead is known to be busier.
    ///
    /// # Errors
    /// `Empty` if nobody had bought anything by then; as `Base::fit`.
    pub fn take(customers: &[PurchaseHistory], moment: Moment, stretch: f64) -> Result<Snapshot, ValueError> {
        let known = Known::at(customers, moment.cutoff);
        let base = Base::fit(&known.summary, &known.spend)?;
        Ok(Snapshot::of(customers, moment, stretch, base, known))
    }

    /// The same with repeat-buying models that were fitted before. Nobody's entries depend on who else is there.
    pub fn with(customers: &[PurchaseHistory], moment: Moment, stretch: f64, base: Base) -> Snapshot {
        Snapshot::of(customers, moment, stretch, base, Known::at(customers, moment.cutoff))
    }

    fn of(customers: &[PurchaseHistory], moment: Moment, stretch: f64, base: Base, known: Known) -> Snapshot {
        let Known { who, summary, spend } = known;
        let horizon = f64::from(moment.horizon) / 7.0 * stretch;
        let mut snapshot = Snapshot {
            moment,
            stretch,
            who,
            summary,
            spend,
            days_base: Vec::new(),
            spend_base: Vec::new(),
            none_base: Vec::new(),
            alive: Vec::new(),
            features: Vec::new(),
            base,
        };
        let expected = snapshot.base.expected_all(&snapshot.summary, horizon);
        for (i, place) in snapshot.who.iter().enumerate() {
            let (known, spent, base) = (&snapshot.summary[i], &snapshot.spend[i], &snapshot.base);
            let days = expected.joint[i].max(LEAST);
            let none = base.none(known, horizon).clamp(LEAST, 1.0 - LEAST);
            let alive = base.alive(known);
            let mut features = log_features(customers[*place].until(moment.cutoff), moment);
            let ratio = |model: f64| libm::log(model.max(LEAST) / days);
            features.extend([
                libm::log(days),
                logit(none),
                alive,
                ratio(expected.at_random[i]),
                ratio(expected.regular[i]),
                expected.any_time.as_ref().map_or(f64::NAN, |any_time| ratio(any_time[i])),
            ]);
            snapshot.days_base.push(days);
            snapshot.spend_base.push((days * base.amount(spent)).max(LEAST));
            snapshot.none_base.push(none);
            snapshot.alive.push(alive);
            snapshot.features.push(features);
        }
        snapshot
    }

    /// What came to pass in the horizon, for each customer of the snapshot.
    pub fn outcomes(&self, customers: &[PurchaseHistory]) -> Outcomes {
        let Moment { cutoff, horizon, .. } = self.moment;
        let seen = |place: &usize| customers[*place].between(cutoff, cutoff + horizon);
        Outcomes {
            days: self.who.iter().map(|place| seen(place).days.len() as f64).collect(),
            spend: self.who.iter().map(|place| seen(place).spend_sum()).collect(),
        }
    }
}

/// Customers with a purchase until a cut-off.
struct Known {
    who: Vec<usize>,
    summary: Vec<Summary>,
    spend: Vec<MeanSpend>,
}

impl Known {
    fn at(customers: &[PurchaseHistory], cutoff: i32) -> Known {
        let mut known = Known { who: Vec::new(), summary: Vec::new(), spend: Vec::new() };
        for (place, customer) in customers.iter().enumerate() {
            let seen = customer.until(cutoff);
            if let Some(summary) = seen.summary(cutoff) {
                known.who.push(place);
                known.summary.push(summary);
                known.spend.push(seen.mean_spend());
            }
        }
        known
    }
}

/// Purchase days and spend, one entry for each customer of a snapshot.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcomes {
    pub days: Vec<f64>,
    pub spend: Vec<f64>,
}

const DAY_WINDOWS: [i32; 6] = [14, 28, 56, 91, 182, 364];
const SPEND_WINDOWS: [i32; 3] = [28, 91, 182];

/// Features that need nothing but the log; NaN where the past is too short to tell.
fn log_features(seen: Seen<'_>, moment: Moment) -> Vec<f64> {
    let (first, last) = match (seen.days.first(), seen.days.last()) {
        (Some(first), Some(last)) => (*first, *last),
        _ => (moment.cutoff, moment.cutoff),
    };
    let (many, age) = (seen.days.len() as f64, f64::from(moment.cutoff - first));
    let idle = f64::from(moment.cutoff - last);
    let gaps: Vec<f64> = seen.days.windows(2).map(|pair| f64::from(pair[1] - pair[0])).collect();
    let gap = mean(&gaps);
    let spread = mean(&gaps.iter().map(|g| (g - gap) * (g - gap)).collect::<Vec<f64>>()).sqrt();
    let own_gap_ratio = libm::log((idle + 1.0) / (gap + 1.0));
    let mut features = vec![
        libm::log(many),
        libm::log1p(idle),
        libm::log1p(idle) * libm::log1p(idle),
        libm::log1p(age),
        own_gap_ratio,
        if gaps.len() > 1 { spread / gap } else { f64::NAN },
        f64::from(u8::from(first - moment.start < 28)),
    ];
    let known_days = moment.cutoff - moment.start + 1;
    let recent = |window: i32| seen.days.len() - seen.days.partition_point(|day| *day <= moment.cutoff - window);
    let expected = |total: f64, window: i32| total * f64::from(window).min(age + 1.0) / (age + 1.0);
    for window in DAY_WINDOWS {
        let ratio = (recent(window) as f64 + 0.5) / (expected(many, window) + 0.5);
        features.push(if known_days >= window { libm::log(ratio) } else { f64::NAN });
    }
    let (total, day_spend) = (seen.spend_sum(), seen.spend_sum() / many);
    for window in SPEND_WINDOWS {
        let spent: f64 = seen.spend[seen.spend.len() - recent(window)..].iter().sum();
        let ratio = (spent + 0.5 * day_spend + 1e-9) / (expected(total, window) + 0.5 * day_spend + 1e-9);
        features.push(if known_days >= window { libm::log(ratio) } else { f64::NAN });
    }
    let latest = |places: usize| mean(&seen.spend[seen.spend.len().saturating_sub(places)..]);
    let against_mean = |spend: f64| libm::log((spend + 0.1 * day_spend + 1e-9) / (1.1 * day_spend + 1e-9));
    features.extend([
        libm::log1p(day_spend),
        libm::log1p(total),
        against_mean(latest(1)),
        against_mean(latest(3)),
        same_season(seen, moment, first),
    ]);
    features
}

/// Purchase days in the same days a year before those asked about, if the log knows them all.
fn same_season(seen: Seen<'_>, moment: Moment, first: i32) -> f64 {
    let from = moment.cutoff - YEAR;
    if from < moment.start || moment.horizon > YEAR {
        return f64::NAN;
    }
    let (low, high) =
        (seen.days.partition_point(|day| *day <= from), seen.days.partition_point(|day| *day <= from + moment.horizon));
    if first > from + moment.horizon { f64::NAN } else { libm::log1p((high - low) as f64) }
}

fn mean(values: &[f64]) -> f64 {
    if values.is_empty() { f64::NAN } else { values.iter().sum::<f64>() / values.len() as f64 }
}
