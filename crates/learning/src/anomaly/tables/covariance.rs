//! How far a row is from the bulk of the table, in the bulk's own measure: far along a direction in which the bulk
//! hardly varies is further than far along one in which it does.
//!
//! The bulk is found by concentration steps from the whole table: Rousseeuw and Van Driessen (1999), with one start
//! instead of many, which is enough to leave a tenth of strange rows behind and makes no use of chance.

use nalgebra::{DMatrix, DVector, linalg::Cholesky};

use super::prepare::Matrix;

/// Share of the rows that the bulk is.
const BULK: f64 = 0.75;
const STEPS: usize = 10;
/// What is added to the variance of each column (which is 1), so that columns that repeat others do no harm.
const RIDGE: f64 = 1e-3;

/// Squared distances of the rows of a scaled table; all zero if it has no column that varies.
pub fn robust_distance(rows: &Matrix) -> Vec<f64> {
    let mut inside: Vec<usize> = (0..rows.rows()).collect();
    let mut distances = vec![0.0; rows.rows()];
    let bulk = ((rows.rows() as f64 * BULK).ceil() as usize).max(1);
    for _ in 0..STEPS {
        let Some((mean, shape)) = measure(rows, &inside) else { return distances };
        for (row, distance) in distances.iter_mut().enumerate() {
            *distance = square_distance(rows.row(row), &mean, &shape);
        }
        let mut order: Vec<usize> = (0..rows.rows()).collect();
        order.sort_by(|&a, &b| distances[a].total_cmp(&distances[b]).then(a.cmp(&b)));
        order.truncate(bulk);
        order.sort_unstable();
        if order == inside {
            break;
        }
        inside = order;
    }
    distances
}

/// Mean and lower triangle of the covariance of some rows; None without columns.
fn measure(rows: &Matrix, inside: &[usize]) -> Option<(Vec<f64>, DMatrix<f64>)> {
    let (width, count) = (rows.width(), inside.len() as f64);
    if width == 0 {
        return None;
    }
    let mut mean = vec![0.0; width];
    for &row in inside {
        mean.iter_mut().zip(rows.row(row)).for_each(|(mean, value)| *mean += value / count);
    }
    let mut covariance = DMatrix::<f64>::identity(width, width) * RIDGE;
    let mut centred = vec![0.0; width];
    for &row in inside {
        for (centred, (value, mean)) in centred.iter_mut().zip(rows.row(row).iter().zip(&mean)) {
            *centred = value - mean;
        }
        for i in 0..width {
            let share = centred[i] / count;
            for j in i..width {
                covariance[(j, i)] += share * centred[j];
            }
        }
    }
    Some((mean, Cholesky::new(covariance)?.l()))
}

fn square_distance(at: &[f64], mean: &[f64], lower: &DMatrix<f64>) -> f64 {
    let centred = DVector::from_iterator(at.len(), at.iter().zip(mean).map(|(value, mean)| value - mean));
    lower.solve_lower_triangular(&centred).map_or(0.0, |solved| solved.norm_squared())
}
