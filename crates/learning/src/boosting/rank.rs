//! Derivatives of the pairwise loss and how far an order is from the best one.

use super::data::Data;
use super::loss::sigmoid;

/// Pairs count whose better placed row is among this many; longer lists would cost much and change little.
const PLACES_MAX: usize = 30;

/// Targets above this would overflow what they are worth.
const TARGET_MAX: f64 = 30.0;

/// What a target is worth in a list.
fn worth(target: f64) -> f64 {
    libm::exp2(target.clamp(-TARGET_MAX, TARGET_MAX)) - 1.0
}

/// By which its worth is multiplied in each place of the longest list.
fn discounts(data: &Data) -> Vec<f64> {
    let longest = data.groups.iter().map(ExactSizeIterator::len).max().unwrap_or(0);
    (0..longest).map(|place| 1.0 / libm::log2(place as f64 + 2.0)).collect()
}

/// Rows from the best score to the worst; of equals the earlier first.
fn order(scores: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    order
}

/// Worth of the rows in their places.
fn gain_in(order: &[usize], worths: &[f64], discounts: &[f64]) -> f64 {
    order.iter().zip(discounts).take(PLACES_MAX).map(|(&row, discount)| worths[row] * discount).sum()
}

pub fn derivatives(data: &Data, scores: &[f64], gradient: &mut [f64], hessian: &mut [f64]) {
    gradient.fill(0.0);
    hessian.fill(0.0);
    let discounts = discounts(data);
    for group in &data.groups {
        let (gradient, hessian) = (&mut gradient[group.clone()], &mut hessian[group.clone()]);
        one_list(&data.target[group.clone()], &scores[group.clone()], gradient, hessian, &discounts);
    }
}

/// A row in the list by score.
#[derive(Clone, Copy)]
struct Placed {
    score: f64,
    worth: f64,
    discount: f64,
    gradient: f64,
    hessian: f64,
}

fn one_list(target: &[f64], scores: &[f64], gradient: &mut [f64], hessian: &mut [f64], discounts: &[f64]) {
    let worths: Vec<f64> = target.iter().map(|target| worth(*target)).collect();
    let best = gain_in(&order(target), &worths, discounts).abs();
    if best <= 0.0 {
        return;
    }
    let order = order(scores);
    let place = |(&row, &discount): (&usize, &f64)| Placed {
        score: scores[row],
        worth: worths[row],
        discount,
        gradient: 0.0,
        hessian: 0.0,
    };
    let mut list: Vec<Placed> = order.iter().zip(discounts).map(place).collect();
    for above in 0..list.len().min(PLACES_MAX) {
        let mut first = list[above];
        for second in &mut list[above + 1..] {
            // Equals change nothing: their pair has the weight 0.
            let apart = first.worth - second.worth;
            let change = apart.abs() * (first.discount - second.discount) / best;
            let rises = if apart > 0.0 { 1.0 } else { -1.0 };
            let wrong = sigmoid(rises * (second.score - first.score));
            let (pull, bend) = (rises * wrong * change, wrong * (1.0 - wrong) * change);
            first.gradient -= pull;
            second.gradient += pull;
            first.hessian += bend;
            second.hessian += bend;
        }
        list[above] = first;
    }
    for (row, placed) in order.into_iter().zip(list) {
        (gradient[row], hessian[row]) = (placed.gradient, placed.hessian);
    }
}

/// 1 - NDCG over the first thirty places, mean over lists with anything to order.
pub fn shortfall(data: &Data, scores: &[f64]) -> f64 {
    let discounts = discounts(data);
    let (mut sum, mut lists) = (0.0, 0.0);
    for group in &data.groups {
        let target = &data.target[group.clone()];
        let worths: Vec<f64> = target.iter().map(|target| worth(*target)).collect();
        let best = gain_in(&order(target), &worths, &discounts);
        if best > 0.0 {
            sum += 1.0 - gain_in(&order(&scores[group.clone()]), &worths, &discounts) / best;
            lists += 1.0;
        }
    }
    if lists > 0.0 { sum / lists } else { 0.0 }
}
