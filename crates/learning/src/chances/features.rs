//! One row of numbers for a forecast: what its author says, what the crowd says, how right they were, and the clock.

use super::crowd::Others;
use super::people::Person;
use super::{log_odds, sigmoid};

/// Forecasts at 0 and 1 are taken for this and its mirror.
pub(super) const LEAST: f64 = 0.005;

/// What a row is made of.
pub(super) struct View<'a> {
    pub p: f64,
    pub logit: f64,
    pub author: &'a Person,
    /// Who opened the question, and with what log-odds.
    pub opener: &'a Person,
    pub author_is_opener: bool,
    pub first: f64,
    pub others: Option<Others>,
    /// The author's log-odds before this one, if there are any.
    pub before: Option<f64>,
    /// How often it was YES over all people who said about this.
    pub common_rate: f64,
    /// Running mean of outcomes.
    pub yes_rate: f64,
    pub age_days: f64,
    /// From now to the announced close, negative after it, and from opening to close; None if it is not announced.
    pub left_days: Option<f64>,
    pub span_days: Option<f64>,
    /// Forecasts on the question so far.
    pub said: f64,
    /// Questions that the opener opened in one sitting with this one: how many, how many before it, the sum of first
    /// probabilities, how many of them were resolved and how many of those YES.
    pub sitting: Sitting,
    pub sitting_before: f64,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sitting {
    pub last_at: f64,
    pub count: f64,
    pub first_sum: f64,
    pub resolved: f64,
    pub yes: f64,
}

/// Columns that a plain model looks at; they come first.
pub(super) const PLAIN: usize = 51;
/// All columns: the plain ones and their products.
pub(super) const ALL: usize = PLAIN + 20 + 3 * 11 + 6;
/// Where some plain columns stand, for priors.
pub(super) const OWN_CALIBRATED: usize = 4;
pub(super) const CROWD: usize = 31;

fn signed_log(x: f64) -> f64 {
    libm::copysign(libm::log1p(x.abs()), x)
}

fn flag(x: bool) -> f64 {
    f64::from(u8::from(x))
}

/// The columns of `view`, always [`ALL`] of them and finite.
pub(super) fn columns(view: &View<'_>) -> Vec<f64> {
    let mut out = Vec::with_capacity(ALL);
    let (own, history) = own_columns(view);
    out.extend(own);
    out.extend(history);
    let crowd = crowd_columns(view);
    out.extend(crowd);
    out.extend(clock_columns(view));
    debug_assert_eq!(out.len(), PLAIN);
    products(&mut out, view);
    debug_assert_eq!(out.len(), ALL);
    out
}

fn own_columns(view: &View<'_>) -> ([f64; 12], [f64; 6]) {
    let (author, opener) = (view.author, view.opener);
    let rate = author.rate_when_saying(view.p, view.common_rate);
    let base = (author.resolved_yes + 10.0 * view.yes_rate) / (author.resolved + 10.0);
    let opener_base = (opener.own_yes + 6.0 * view.yes_rate) / (opener.own_resolved + 6.0);
    let own = [
        view.logit,
        view.p,
        log_odds(view.common_rate, LEAST),
        log_odds(rate, LEAST),
        author.calibrated(view.logit),
        author.shift,
        author.stretch,
        log_odds(base, LEAST),
        libm::log1p(author.resolved),
        libm::log1p(author.made as f64),
        author.skill(),
        author.mean_error(),
    ];
    let history = [
        flag(view.author_is_opener),
        log_odds(opener_base, LEAST),
        libm::log1p(opener.own_resolved),
        opener.own_surprise,
        view.first,
        opener.calibrated(view.first),
    ];
    (own, history)
}

fn crowd_columns(view: &View<'_>) -> [f64; 17] {
    let others = view.others.unwrap_or_default();
    let count = others.count;
    let crowd = crowd_mean(view);
    [
        libm::log1p(count),
        others.mean,
        others.recent,
        others.skilled,
        others.deviation,
        others.latest,
        others.calibrated,
        signed_log(others.latest_age_days),
        flag(view.others.is_some()),
        if view.others.is_some() { others.probability } else { 0.5 },
        flag(view.before.is_some()),
        view.before.unwrap_or(view.logit),
        view.before.map_or(0.0, |before| view.logit - before),
        crowd,
        crowd * (count + 1.0).sqrt(),
        libm::log1p(view.said),
        flag((view.p * 10.0 - (view.p * 10.0).round()).abs() < 1e-6),
    ]
}

/// Mean log-odds of everybody, the author included.
fn crowd_mean(view: &View<'_>) -> f64 {
    let others = view.others.unwrap_or_default();
    (others.mean * others.count + view.logit) / (others.count + 1.0)
}

fn clock_columns(view: &View<'_>) -> [f64; 16] {
    let (left, span) = (view.left_days.unwrap_or(0.0), view.span_days.unwrap_or(0.0));
    let sitting = &view.sitting;
    let opener_rate = (view.opener.own_yes + 6.0 * view.yes_rate) / (view.opener.own_resolved + 6.0);
    [
        signed_log(left),
        signed_log(view.age_days),
        signed_log(span),
        flag(left < 0.0),
        if span > 0.0 { (view.age_days / span.max(1e-3)).min(2.0) } else { 1.0 },
        signed_log(left) * view.logit * 0.3,
        signed_log(span) * view.logit * 0.3,
        libm::log(sitting.count.max(1.0)),
        sitting.resolved.min(10.0),
        (sitting.yes + 2.0 * opener_rate) / (sitting.resolved + 2.0),
        sitting.first_sum.min(20.0),
        view.sitting_before.min(20.0),
        view.yes_rate,
        view.opener.shift,
        flag(view.p <= 0.011),
        flag(view.p >= 0.989),
    ]
}

/// Products and bends that let a linear model trust opinions more or less with the circumstances.
fn products(out: &mut Vec<f64>, view: &View<'_>) {
    let (logit, rate, calibrated) = (out[0], out[3], out[OWN_CALIBRATED]);
    let crowd = crowd_mean(view);
    let left = signed_log(view.left_days.unwrap_or(0.0));
    let (age, span) = (signed_log(view.age_days), signed_log(view.span_days.unwrap_or(0.0)));
    let others = view.others.unwrap_or_default();
    let extreme = flag(view.p <= 0.011 || view.p >= 0.989);
    let late = flag(view.left_days.is_some_and(|left| left < 0.0));
    for a in [flag(view.author_is_opener), flag(view.others.is_some()), late, flag(view.before.is_some()), extreme] {
        out.extend([logit, rate, calibrated, crowd].map(|b| a * b));
    }
    let (resolved, error, skill) = (out[8], view.author.mean_error(), view.author.skill());
    let sitting = libm::log(view.sitting.count.max(1.0));
    for b in [logit, crowd, calibrated] {
        out.push(b.max(0.0));
        out.push(libm::copysign((b.abs() - 2.0).max(0.0), b));
        let scales = [left, age, span, libm::log1p(others.count), resolved, error, skill, others.deviation, sitting];
        out.extend(scales.map(|a| a * b));
    }
    for clock in [left, span, age] {
        out.extend([(clock - 3.0).max(0.0), (clock - 5.0).max(0.0)]);
    }
}

/// The crowd's probability before this forecast, or the common rate if nobody said anything.
pub(super) fn crowd_before(view: &View<'_>) -> f64 {
    view.others.map_or(view.common_rate, |others| sigmoid(others.mean))
}
