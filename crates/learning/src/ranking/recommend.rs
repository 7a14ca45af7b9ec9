//! What to show a person: questions that suit them and on which their points are well placed, not sure things.

use crate::chances::Estimate;

/// A question that could be shown.
#[derive(Clone, Debug)]
pub struct Open {
    pub question: u64,
    /// From [`Ranker::scores`](super::Ranker::scores): the higher, the likelier they choose it.
    pub fit: f64,
    /// Chance of YES.
    pub chance: Estimate,
    /// What a claim on 1 point costs if it is on YES, between 0 and 1; a claim on NO costs the rest.
    pub price: f64,
    /// What it is about; empty if nobody knows.
    pub about: Vec<f64>,
}

#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How many to show.
    pub count: usize,
    /// Choices that the fit must have been learned from, and resolved questions that each chance must rest on.
    pub choices_min: u64,
    pub resolved_min: u64,
    /// A side that costs more than this is a sure thing: it pays next to nothing, and is not recommended.
    pub price_max: f64,
    /// What a point gained for each point staked weighs beside a step of fit; a step of 1 is 2.7 times the appeal.
    pub gain_weight: f64,
    /// What being about the same as one shown already costs, in steps of fit.
    pub diversity_weight: f64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            count: 10,
            choices_min: 200,
            resolved_min: 100,
            price_max: 0.9,
            gain_weight: 1.0,
            diversity_weight: 1.0,
        }
    }
}

/// A question to show, with the side on which points are better placed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recommended {
    pub question: u64,
    pub yes: bool,
    /// Chance that this side wins.
    pub chance: Estimate,
    /// Points expected to be gained for each point staked, at the chance's own estimate; below 0 is a loss.
    pub gain: f64,
    pub fit: f64,
}

/// Nothing is recommended on thin data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("{made} choices are known, {needed} are needed")]
    Choices { made: u64, needed: u64 },
    #[error("no open question has a chance that rests on {needed} resolved ones")]
    Resolved { needed: u64 },
}

/// Gains above this count as this much: beyond it a model's error is likelier than a market's.
const GAIN_MAX: f64 = 0.5;

/// The best of `open`, best first, at most `settings.count`; `choices` is what the fit was learned from.
///
/// Worth is fit plus the weighted gain at the cautious end of the chance's interval, so a large gain that rests on
/// little counts for little. After each pick, what is about the same loses worth. Questions with a price or fit that
/// is not finite, or a price outside 0 to 1, are left out; equal worth goes to the lower question.
///
/// # Errors
/// `Choices`, `Resolved`: the caller shows what is newest instead, and says that it does.
pub fn recommend(open: &[Open], choices: u64, settings: &Settings) -> Result<Vec<Recommended>, Refusal> {
    if choices < settings.choices_min {
        return Err(Refusal::Choices { made: choices, needed: settings.choices_min });
    }
    let sound: Vec<&Open> = open.iter().filter(|open| open.chance.n >= settings.resolved_min).collect();
    if sound.is_empty() {
        return Err(Refusal::Resolved { needed: settings.resolved_min });
    }
    let mut left: Vec<(f64, &Open, Recommended)> = sound.into_iter().filter_map(|open| weigh(open, settings)).collect();
    let mut shown = Vec::new();
    while shown.len() < settings.count {
        let best = left
            .iter()
            .enumerate()
            .max_by(|(_, a), (_, b)| a.0.total_cmp(&b.0).then_with(|| b.1.question.cmp(&a.1.question)));
        let Some((place, _)) = best else { break };
        let (_, picked, recommended) = left.swap_remove(place);
        shown.push(recommended);
        for (worth, open, _) in &mut left {
            *worth -= settings.diversity_weight * super::features::cosine(&open.about, &picked.about).max(0.0);
        }
    }
    Ok(shown)
}

/// None for a question that is not to be shown.
fn weigh<'a>(open: &'a Open, settings: &Settings) -> Option<(f64, &'a Open, Recommended)> {
    if !(open.fit.is_finite() && open.price > 0.0 && open.price < 1.0) {
        return None;
    }
    let against =
        Estimate { p: 1.0 - open.chance.p, lo: 1.0 - open.chance.hi, hi: 1.0 - open.chance.lo, ..open.chance };
    let sides = [(true, open.chance, open.price), (false, against, 1.0 - open.price)];
    let (yes, chance, price) = sides.into_iter().max_by(|a, b| (a.1.p / a.2).total_cmp(&(b.1.p / b.2)))?;
    if price > settings.price_max {
        return None;
    }
    let cautious = (chance.lo / price - 1.0).min(GAIN_MAX);
    let recommended = Recommended { question: open.question, yes, chance, gain: chance.p / price - 1.0, fit: open.fit };
    Some((open.fit + settings.gain_weight * cautious, open, recommended))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(question: u64, fit: f64, p: f64, price: f64, about: &[f64]) -> Open {
        let chance = Estimate { p, lo: p - 0.02, hi: p + 0.02, n: 500 };
        Open { question, fit, chance, price, about: about.to_vec() }
    }

    #[test]
    fn sure_things_are_left_out_and_gain_counts() {
        let all = [open(1, 2.0, 0.97, 0.96, &[]), open(2, 0.0, 0.5, 0.5, &[]), open(3, 0.0, 0.3, 0.5, &[])];
        let shown = recommend(&all, 1_000, &Settings::default()).unwrap();
        assert_eq!(shown.iter().map(|r| r.question).collect::<Vec<_>>(), [3, 2]);
        assert!(!shown[0].yes && (shown[0].gain - 0.4).abs() < 1e-9 && (shown[0].chance.p - 0.7).abs() < 1e-9);
    }

    #[test]
    fn one_subject_does_not_fill_the_list() {
        let all = [
            open(1, 1.0, 0.5, 0.5, &[1.0, 0.0]),
            open(2, 0.9, 0.5, 0.5, &[1.0, 0.1]),
            open(3, 0.5, 0.5, 0.5, &[0.0, 1.0]),
        ];
        let shown = recommend(&all, 1_000, &Settings::default()).unwrap();
        assert_eq!(shown.iter().map(|r| r.question).collect::<Vec<_>>(), [1, 3, 2]);
        let plain = Settings { diversity_weight: 0.0, ..Settings::default() };
        assert_eq!(recommend(&all, 1_000, &plain).unwrap()[1].question, 2);
    }

    #[test]
    fn thin_data_is_refused() {
        let mut all = [open(1, 1.0, 0.5, 0.5, &[])];
        let settings = Settings::default();
        assert_eq!(recommend(&all, 20, &settings), Err(Refusal::Choices { made: 20, needed: 200 }));
        all[0].chance.n = 3;
        assert_eq!(recommend(&all, 1_000, &settings), Err(Refusal::Resolved { needed: 100 }));
        assert!(recommend(&[open(1, f64::NAN, 0.5, 0.5, &[])], 1_000, &settings).unwrap().is_empty());
    }
}
