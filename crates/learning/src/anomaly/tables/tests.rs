use proptest::prelude::*;

use super::*;
use crate::numeric::chance::chance;

/// A cloud along a line in three columns; row 0 is far along no column but off the line, rows 1 to 4 are a small group
/// far away, the last column is noise.
fn cloud(rows: usize) -> Vec<Vec<f64>> {
    let mut random = chance(7, 1);
    let mut noise = || (0..6).map(|_| random.random::<f64>()).sum::<f64>() - 3.0;
    let mut columns = vec![Vec::new(); 4];
    for row in 0..rows {
        let along = noise();
        let values = match row {
            0 => [1.5, -1.5, 1.5, 0.0],
            1..=4 => [6.0 + 0.1 * noise(), 6.0, 6.0, 5.0],
            _ => [along, along + 0.1 * noise(), along + 0.1 * noise(), noise()],
        };
        columns.iter_mut().zip(values).for_each(|(column, value)| column.push(value));
    }
    columns
}

fn strangest(scores: &[f64], count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    order.truncate(count);
    order.sort_unstable();
    order
}

#[test]
fn each_detector_finds_what_it_looks_for() {
    let judged = Outliers::judge(&cloud(400), &Settings::default()).unwrap();
    for (detector, scores) in Detector::ALL.iter().zip(&judged.scores) {
        let group = strangest(scores, 6).iter().filter(|&&row| (1..=4).contains(&row)).count();
        assert_eq!(group, 4, "{detector:?}");
    }
    // Only the way the columns go together tells of row 0.
    assert!(strangest(&judged.scores[3], 5).contains(&0));
    assert_eq!(strangest(&judged.joined(), 4), [1, 2, 3, 4]);
    assert!(judged.joined()[0] > 0.8);
}

#[test]
fn units_constants_and_threads_change_nothing() {
    let columns = cloud(300);
    let scores = outliers(&columns, &Settings::default()).unwrap();
    let mut other: Vec<Vec<f64>> =
        columns.iter().map(|column| column.iter().map(|value| value * 1024.0).collect()).collect();
    other.push(vec![3.0; 300]);
    assert_eq!(outliers(&other, &Settings { threads: 3, ..Settings::default() }).unwrap(), scores);
    assert_ne!(outliers(&columns, &Settings { seed: 2, ..Settings::default() }).unwrap(), scores);
}

#[test]
fn a_missing_value_neither_makes_strange_nor_hides() {
    let mut columns = cloud(300);
    columns[3][50] = f64::NAN;
    columns[3][2] = f64::NAN;
    let scores = outliers(&columns, &Settings::default()).unwrap();
    assert!(scores[50] < 0.9);
    assert_eq!(strangest(&scores, 4), [1, 2, 3, 4]);
}

#[test]
fn what_cannot_be_judged_is_told() {
    let settings = Settings::default();
    assert_eq!(outliers(&[], &settings), Err(TableError::Empty));
    assert_eq!(outliers(&[vec![]], &settings), Err(TableError::Empty));
    assert_eq!(
        outliers(&[vec![1.0], vec![1.0, 2.0]], &settings),
        Err(TableError::Lengths { column: 1, rows: 2, wanted: 1 })
    );
    assert_eq!(outliers(&[vec![1.0, f64::INFINITY]], &settings), Err(TableError::Infinite { row: 1, column: 0 }));
    assert_eq!(outliers(&[vec![f64::NAN; 3], vec![2.0; 3]], &settings), Ok(vec![0.5; 3]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Whatever the table, a score is a number between 0 and 1.
    #[test]
    fn scores_are_finite(cells in prop::collection::vec(prop::sample::select(vec![
        0.0, 1.0, 1.0 + 1e-15, -2.5, 1e300, -1e300, f64::MAX, 1e-300, f64::NAN,
    ]), 1..40), width in 1..4_usize) {
        let rows = cells.len() / width;
        prop_assume!(rows > 0);
        let columns: Vec<Vec<f64>> = (0..width).map(|column| cells[column * rows..(column + 1) * rows].to_vec()).collect();
        let scores = outliers(&columns, &Settings::default()).unwrap();
        prop_assert!(scores.iter().all(|score| (0.0..=1.0).contains(score)), "{scores:?}");
    }
}
