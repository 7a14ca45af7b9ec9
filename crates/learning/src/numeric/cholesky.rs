//! Small positive definite systems, row by row in one slice. In plain loops, so that every machine gives the same bits.

/// Turns the lower triangle of a positive matrix of `size` rows into its Cholesky factor; false if it is not positive,
/// and then the matrix is spoiled. What stands above the diagonal is neither read nor written.
pub fn factor(matrix: &mut [f64], size: usize) -> bool {
    for i in 0..size {
        for j in 0..=i {
            let (above, here) = matrix.split_at(i * size);
            let line = if j == i { here } else { &above[j * size..] };
            let sum: f64 = here[..j].iter().zip(&line[..j]).map(|(a, b)| a * b).sum();
            let rest = here[j] - sum;
            let value = if i == j { rest.sqrt() } else { rest / line[j] };
            if !value.is_finite() || (i == j && value <= 0.0) {
                return false;
            }
            matrix[i * size + j] = value;
        }
    }
    true
}

/// Solves `L x = b` in place, for a factor L.
pub fn solve_lower(factor: &[f64], b: &mut [f64]) {
    let size = b.len();
    for i in 0..size {
        let line = &factor[i * size..i * size + i];
        let sum: f64 = line.iter().zip(&*b).map(|(a, x)| a * x).sum();
        b[i] = (b[i] - sum) / factor[i * size + i];
    }
}

/// Solves `L' x = b` in place, for a factor L.
pub fn solve_upper(factor: &[f64], b: &mut [f64]) {
    let size = b.len();
    for i in (0..size).rev() {
        b[i] /= factor[i * size + i];
        let x = b[i];
        for (value, a) in b[..i].iter_mut().zip(&factor[i * size..i * size + i]) {
            *value -= a * x;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_factor_solves_its_system() {
        let matrix = [4.0, 0.0, 0.0, 2.0, 5.0, 0.0, 1.0, -1.0, 3.0];
        let mut lower = matrix;
        assert!(factor(&mut lower, 3));
        let mut x = [7.0, 9.0, 2.0];
        solve_lower(&lower, &mut x);
        solve_upper(&lower, &mut x);
        let full = |i: usize, j: usize| if i >= j { matrix[i * 3 + j] } else { matrix[j * 3 + i] };
        for (i, b) in [7.0, 9.0, 2.0].into_iter().enumerate() {
            let product: f64 = (0..3).map(|j| full(i, j) * x[j]).sum();
            assert!((product - b).abs() < 1e-12);
        }
        assert!(!factor(&mut [1.0, 0.0, 2.0, 1.0], 2));
    }
}
