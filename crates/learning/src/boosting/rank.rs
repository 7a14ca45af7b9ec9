//! Derivatives of the pairwise loss and how far an order is from the best one.

use super::data::Data;

/// Pairs count whose better placed row is among this many; longer lists would cost much and change little.
const PLACES_MAX: usize = 30;

/// Targets above this would overflow what they are worth.
const TARGET_MAX: f64 = 30.0;

/// What a target is worth in a list.
fn worth(target: f64) -> f64 {
    libm::exp2(target.clamp(-TARGET_MAX, TARGET_MAX)) - 1.0
}

/// By which its worth is multiplied in place `place`, from 0.
fn discount(place: usize) -> f64 {
    1.0 / libm::log2(place as f64 + 2.0)
}

/// Rows from the best score to the worst; of equals the earlier first.
fn order(scores: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    order
}

fn best_possible(target: &[f64]) -> f64 {
    gain_in(target, &order(target))
}

fn gain_in(target: &[f64], order: &[usize]) -> f64 {
    order.iter().enumerate().take(PLACES_MAX).map(|(place, &row)| worth(target[row]) * discount(place)).sum()
}

pub fn derivatives(data: &Data, scores: &[f64], gradient: &mut [f64], hessian: &mut [f64]) {
    gradient.fill(0.0);
    hessian.fill(0.0);
    for group in &data.groups {
        let rows = group.clone();
        one_group(&data.target[rows.clone()], &scores[rows.clone()], &mut gradient[rows.clone()], &mut hessian[rows]);
    }
}

fn one_group(target: &[f64], scores: &[f64], gradient: &mut [f64], hessian: &mut [f64]) {
    let best = best_possible(target).abs();
    if best <= 0.0 {
        return;
    }
    let order = order(scores);
    let worths: Vec<f64> = target.iter().map(|target| worth(*target)).collect();
    for (place, &above) in order.iter().enumerate().take(PLACES_MAX) {
        for (further, &below) in order[place + 1..].iter().enumerate() {
            if target[above] == target[below] {
                continue;
            }
            let (better, worse) = if target[above] > target[below] { (above, below) } else { (below, above) };
            let moved = discount(place) - discount(place + 1 + further);
            let change = (worths[better] - worths[worse]) * moved / best;
            let wrong = super::loss::sigmoid(scores[worse] - scores[better]);
            gradient[better] -= wrong * change;
            gradient[worse] += wrong * change;
            hessian[better] += wrong * (1.0 - wrong) * change;
            hessian[worse] += wrong * (1.0 - wrong) * change;
        }
    }
}

/// 1 - NDCG over the first thirty places, mean over groups with anything to order.
pub fn shortfall(data: &Data, scores: &[f64]) -> f64 {
    let (mut sum, mut groups) = (0.0, 0.0);
    for group in &data.groups {
        let target = &data.target[group.clone()];
        let best = best_possible(target);
        if best > 0.0 {
            sum += 1.0 - gain_in(target, &order(&scores[group.clone()])) / best;
            groups += 1.0;
        }
    }
    if groups > 0.0 { sum / groups } else { 0.0 }
}
