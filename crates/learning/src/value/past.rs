//! Cut-offs in the past of one log, from whose outcomes a supervised model learns.

use super::features::{Moment, Outcomes, Snapshot, YEAR};
use super::history::PurchaseHistory;
use super::repeat::ValueError;
use crate::numeric::parallel;

/// A cut-off in the past with what came after it.
#[derive(Clone, Debug)]
pub struct Lesson {
    pub snapshot: Snapshot,
    pub outcomes: Outcomes,
    /// Whether the horizon lay in the season, a year earlier, that is asked about now.
    pub same_season: bool,
}

impl Lesson {
    /// How much each of its rows counts.
    pub fn weight(&self) -> f64 {
        if self.same_season { 2.0 } else { 1.0 }
    }
}

/// What is known now, and what the past teaches about such moments, latest first. `threads` change how long it takes,
/// nothing else.
///
/// # Errors
/// As `Snapshot::take`.
pub fn now_and_past(
    customers: &[PurchaseHistory],
    now: Moment,
    threads: usize,
) -> Result<(Snapshot, Vec<Lesson>), ValueError> {
    let past = cutoffs(customers, now);
    let has_season = past.iter().any(|(_, same_season)| *same_season);
    let stretch = if has_season { 1.0 } else { season_ahead(customers, now) };
    let moments: Vec<(Moment, f64)> = past.iter().map(|(moment, _)| (*moment, 1.0)).chain([(now, stretch)]).collect();
    let snapshots = parallel::map(&moments, threads, |(moment, stretch)| Snapshot::take(customers, *moment, *stretch));
    let mut snapshots = snapshots.into_iter().collect::<Result<Vec<Snapshot>, ValueError>>()?;
    let snapshot = snapshots.pop().ok_or(ValueError::Empty)?;
    let lesson = |(snapshot, (_, same_season)): (Snapshot, (Moment, bool))| Lesson {
        outcomes: snapshot.outcomes(customers),
        snapshot,
        same_season,
    };
    Ok((snapshot, snapshots.into_iter().zip(past).map(lesson).collect()))
}

/// The level to expect now, from what the lessons' levels were: that of the same season if there was one, else
/// `trusted` times the mean of what was seen lately.
pub fn level_now(lessons: &[Lesson], levels: &[f64], trusted: f64) -> f64 {
    if let Some((_, level)) = lessons.iter().zip(levels).find(|(lesson, _)| lesson.same_season) {
        return *level;
    }
    let (mut sum, mut weight, mut share) = (0.0, 0.0, 1.0);
    for level in levels {
        (sum, weight, share) = (sum + share * level, weight + share, share * 0.7);
    }
    if weight > 0.0 { trusted * sum / weight } else { 0.0 }
}

/// Days of past that a cut-off needs before it teaches anything.
const PAST_MIN: i32 = 56;
/// Days between two cut-offs.
const STEP: i32 = 28;
const LESSONS_MAX: i32 = 8;
/// Customers below which a cut-off teaches nothing.
const CUSTOMERS_MIN: usize = 50;

/// The cut-offs in the past of `now`, latest first, and whether each has the season that is asked about: with the same
/// horizon where the log reaches far enough, otherwise with a third of the log as horizon, from which relations are
/// learned but no levels. Those with too few customers are left out.
fn cutoffs(customers: &[PurchaseHistory], now: Moment) -> Vec<(Moment, bool)> {
    let known = now.cutoff - now.start;
    let horizon = if known >= now.horizon + PAST_MIN { now.horizon } else { known / 3 };
    if horizon < 14 {
        return Vec::new();
    }
    let enough = |cutoff: i32| cutoff - now.start >= PAST_MIN && cutoff + horizon <= now.cutoff;
    let recent = (0..LESSONS_MAX).map(|i| now.cutoff - horizon - i * STEP).filter(|cutoff| enough(*cutoff));
    let mut found: Vec<i32> = recent.collect();
    let year_ago = now.cutoff - YEAR;
    if horizon == now.horizon && enough(year_ago) {
        found.retain(|cutoff| (cutoff - year_ago).abs() >= STEP / 2);
        found.push(year_ago);
    }
    found.retain(|cutoff| customers.iter().filter(|c| !c.until(*cutoff).days.is_empty()).count() >= CUSTOMERS_MIN);
    found.into_iter().map(|cutoff| (Moment { cutoff, horizon, ..now }, cutoff == year_ago)).collect()
}

/// How busy the horizon ahead is against the time just past, as far as the same days a year ago tell; 1 if they do not.
///
/// Only for a log that reaches back to a part of those days, too short to have a cut-off among its lessons: the level
/// of the days that are visible stands at their place, today's level at the cut-off, and a line between them. Fewer
/// customers were known a year ago than now, so that level is too low rather than too high: only a busier time is
/// believed, and no more than half as busy again. A log whose new customers have dried up is a closed group, whose
/// activity a year ago says nothing of seasons. The fewer of the days are visible, the less their level is believed.
fn season_ahead(customers: &[PurchaseHistory], now: Moment) -> f64 {
    let (from, to) = (now.cutoff + 1 - YEAR, now.cutoff + now.horizon - YEAR);
    if from >= now.start || to - now.start < 6 || now.cutoff - now.start < 182 || now.horizon > 182 {
        return 1.0;
    }
    let days = |first: i32, last: i32| {
        let sum: usize = customers.iter().map(|c| c.between(first - 1, last).days.len()).sum();
        sum as f64 / f64::from(last - first + 1)
    };
    let is_new =
        |c: &&PurchaseHistory| c.days().first().is_some_and(|day| *day > now.cutoff - 91 && *day <= now.cutoff);
    let new = customers.iter().filter(is_new).count() as f64;
    let (then, lately) = (days(now.start, to), days(now.cutoff - 90, now.cutoff));
    let many = customers.iter().filter(|c| !c.until(now.cutoff).days.is_empty()).count() as f64;
    if lately <= 0.0 || new < 0.02 * many {
        return 1.0;
    }
    let visible = f64::from(to - now.start + 1) / f64::from(now.horizon);
    let believed = visible / (visible + 0.1);
    let level = (then / lately).clamp(1.0, 2.25).powf(believed);
    (visible * level + (1.0 - visible) * 0.5 * (1.0 + level)).clamp(1.0, 1.5)
}
