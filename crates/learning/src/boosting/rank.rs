//! Derivatives of the pairwise loss and how far an order is from the best one.

use std::ops::Range;

use super::data::Data;

/// Pairs count whose better placed row is among this many; longer lists would cost much and change little.
const PLACES_MAX: usize = 30;

/// Targets above this would overflow what they are worth.
const TARGET_MAX: f64 = 30.0;

/// What a target is worth in a list.
fn worth(target: f64) -> f64 {
    libm::exp2(target.clamp(-TARGET_MAX, TARGET_MAX)) - 1.0
}

/// What rows are worth in their lists; nothing of it changes while scores do.
#[derive(Default)]
pub struct Worths {
    /// By row.
    by_row: Vec<f64>,
    /// By list: the worth of its rows in the best order.
    best: Vec<f64>,
    /// By which a row's worth is multiplied in each place of the longest list.
    discounts: Vec<f64>,
}

impl Worths {
    pub fn of(target: &[f64], groups: &[Range<usize>]) -> Worths {
        if groups.is_empty() {
            return Worths::default();
        }
        let longest = groups.iter().map(ExactSizeIterator::len).max().unwrap_or(0);
        let discounts: Vec<f64> = (0..longest).map(|place| 1.0 / libm::log2(place as f64 + 2.0)).collect();
        let by_row: Vec<f64> = target.iter().map(|target| worth(*target)).collect();
        let mut order = Order::default();
        let best = groups.iter().map(|rows| order.of(&target[rows.clone()]).gain(&by_row[rows.clone()], &discounts));
        let best = best.collect();
        Worths { by_row, best, discounts }
    }
}

/// Rows of a list from the best score to the worst; of equals the earlier first.
#[derive(Default)]
struct Order(Vec<(u64, u32)>);

impl Order {
    fn of(&mut self, scores: &[f64]) -> &Order {
        self.0.clear();
        // As whole numbers that fall as scores rise, and with the row as the tie's end, they sort without a comparison
        // through the list of scores.
        self.0.extend(scores.iter().zip(0..).map(|(score, row)| {
            let bits = score.to_bits();
            (if bits >> 63 == 1 { bits } else { !bits & !(1 << 63) }, row)
        }));
        self.0.sort_unstable();
        self
    }

    fn rows(&self) -> impl ExactSizeIterator<Item = usize> {
        self.0.iter().map(|(_, row)| *row as usize)
    }

    /// Worth of the rows in their places.
    fn gain(&self, worths: &[f64], discounts: &[f64]) -> f64 {
        self.rows().zip(discounts).take(PLACES_MAX).map(|(row, discount)| worths[row] * discount).sum()
    }
}

pub fn derivatives(data: &Data, scores: &[f64], gradient: &mut [f64], hessian: &mut [f64]) {
    gradient.fill(0.0);
    hessian.fill(0.0);
    let (mut order, mut list) = (Order::default(), List::default());
    for (rows, best) in data.groups.iter().zip(&data.worths.best) {
        if *best == 0.0 {
            continue;
        }
        let scores = &scores[rows.clone()];
        let order = order.of(scores);
        list.fill(order, scores, &data.worths.by_row[rows.clone()], 1.0 / best.abs());
        list.pull_apart(&data.worths.discounts);
        let (gradient, hessian) = (&mut gradient[rows.clone()], &mut hessian[rows.clone()]);
        for ((row, pull), bend) in order.rows().zip(&list.gradient).zip(&list.hessian) {
            (gradient[row], hessian[row]) = (*pull, *bend);
        }
    }
}

/// A list in the order of its scores, column by column, so that the loop over its pairs becomes vector instructions.
#[derive(Default)]
struct List {
    /// e^score, as a multiple of the largest. The chance that a pair stands wrong then takes a division and no
    /// exponential function: 1 / (1 + e^(a-b)) = e^b / (e^a + e^b).
    power: Vec<f64>,
    /// Worth as a share of the best order's.
    worth: Vec<f64>,
    gradient: Vec<f64>,
    hessian: Vec<f64>,
    /// Of the pairs of one row.
    pulls: Vec<f64>,
    bends: Vec<f64>,
}

impl List {
    fn fill(&mut self, order: &Order, scores: &[f64], worths: &[f64], scale: f64) {
        let largest = order.rows().next().map_or(0.0, |row| scores[row]);
        self.power.clear();
        // However far behind, not 0: a pair of zeros would have no share of their sum.
        self.power.extend(order.rows().map(|row| libm::exp(scores[row] - largest).max(f64::MIN_POSITIVE)));
        self.worth.clear();
        self.worth.extend(order.rows().map(|row| worths[row] * scale));
        for column in [&mut self.gradient, &mut self.hessian, &mut self.pulls, &mut self.bends] {
            column.clear();
            column.resize(scores.len(), 0.0);
        }
    }

    /// Sums up over all pairs how the better row is to rise and the other to fall.
    fn pull_apart(&mut self, discounts: &[f64]) {
        let discounts = &discounts[..self.power.len()];
        for above in 0..self.power.len().min(PLACES_MAX) {
            let (power, worth, discount) = (self.power[above], self.worth[above], discounts[above]);
            let below = above + 1..;
            let rows = self.power[below.clone()].iter().zip(&self.worth[below.clone()]).zip(&discounts[below.clone()]);
            let pairs = self.pulls[below.clone()].iter_mut().zip(&mut self.bends[below.clone()]);
            let sums = self.gradient[below.clone()].iter_mut().zip(&mut self.hessian[below.clone()]);
            for ((((second, other), lower), (pull, bend)), (gradient, hessian)) in rows.zip(pairs).zip(sums) {
                // Equals change nothing: their pair has the weight 0.
                let apart = worth - other;
                let change = apart * (discount - lower);
                let inverse = 1.0 / (power + second);
                let (ahead, behind) = (power * inverse, second * inverse);
                *pull = change * if apart > 0.0 { behind } else { ahead };
                *bend = change.abs() * (ahead * behind);
                *gradient += *pull;
                *hessian += *bend;
            }
            self.gradient[above] -= sum(&self.pulls[below.clone()]);
            self.hessian[above] += sum(&self.bends[below]);
        }
    }
}

/// Four sums side by side, so that none waits for the one before.
fn sum(values: &[f64]) -> f64 {
    let (fours, rest) = values.as_chunks::<4>();
    let mut sums = [0.0; 4];
    for four in fours {
        sums.iter_mut().zip(four).for_each(|(sum, value)| *sum += value);
    }
    (sums[0] + sums[1]) + (sums[2] + sums[3]) + rest.iter().sum::<f64>()
}

/// 1 - NDCG over the first thirty places, mean over lists with anything to order.
pub fn shortfall(data: &Data, scores: &[f64]) -> f64 {
    let Worths { by_row, best, discounts } = &data.worths;
    let (mut sum, mut lists) = (0.0, 0.0);
    let mut order = Order::default();
    for (rows, best) in data.groups.iter().zip(best).filter(|(_, best)| **best > 0.0) {
        sum += 1.0 - order.of(&scores[rows.clone()]).gain(&by_row[rows.clone()], discounts) / best;
        lists += 1.0;
    }
    if lists > 0.0 { sum / lists } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rows_are_ordered_by_score_and_then_as_they_came() {
        let mut order = Order::default();
        let scores = [0.0, -1.5, 3.0, -0.5, 3.0, 1e-9, -1e300, 7.0];
        assert_eq!(order.of(&scores).rows().collect::<Vec<usize>>(), [7, 2, 4, 5, 0, 3, 1, 6]);
    }

    proptest! {
        /// Pair by pair, as the source has it.
        #[test]
        fn a_list_is_pulled_apart_as_its_pairs_are(rows in proptest::collection::vec((-9.0..9.0_f64, 0_u8..5), 2..50)) {
            let (scores, target): (Vec<f64>, Vec<f64>) = rows.iter().map(|(score, grade)| (*score, f64::from(*grade))).unzip();
            let worths = Worths::of(&target, std::slice::from_ref(&(0..rows.len())));
            prop_assume!(worths.best[0] > 0.0);
            let (mut order, mut list) = (Order::default(), List::default());
            let order = order.of(&scores);
            list.fill(order, &scores, &worths.by_row, 1.0 / worths.best[0]);
            list.pull_apart(&worths.discounts);
            let places: Vec<usize> = order.rows().collect();
            let (mut gradient, mut hessian) = (vec![0.0; rows.len()], vec![0.0; rows.len()]);
            for above in 0..rows.len().min(PLACES_MAX) {
                for below in above + 1..rows.len() {
                    let (first, second) = (places[above], places[below]);
                    let apart = worths.by_row[first] - worths.by_row[second];
                    let change = apart.abs() * (worths.discounts[above] - worths.discounts[below]) / worths.best[0];
                    let rises = if apart > 0.0 { 1.0 } else { -1.0 };
                    let wrong = 1.0 / (1.0 + libm::exp(rises * (scores[first] - scores[second])));
                    for (place, sign) in [(above, -rises), (below, rises)] {
                        gradient[place] += sign * wrong * change;
                        hessian[place] += wrong * (1.0 - wrong) * change;
                    }
                }
            }
            for place in 0..rows.len() {
                prop_assert!((list.gradient[place] - gradient[place]).abs() < 1e-12, "{:?} {:?}", list.gradient, gradient);
                prop_assert!((list.hessian[place] - hessian[place]).abs() < 1e-12, "{:?} {:?}", list.hessian, hessian);
            }
        }
    }
}
