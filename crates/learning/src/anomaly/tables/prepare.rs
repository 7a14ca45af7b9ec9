//! A table as the detectors want it: row after row, every column of mean 0 and variance 1, nothing missing.

/// What is wrong with a table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    #[error("the table has no rows or no columns")]
    Empty,
    #[error("column {column} has {rows} rows, column 0 has {wanted}")]
    Lengths { column: usize, rows: usize, wanted: usize },
    #[error("row {row} of column {column} is infinite")]
    Infinite { row: usize, column: usize },
}

/// Rows of numbers, one after another.
#[derive(Clone, Debug)]
pub struct Matrix {
    values: Vec<f64>,
    rows: usize,
    width: usize,
}

impl Matrix {
    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn width(&self) -> usize {
        self.width
    }

    pub fn row(&self, row: usize) -> &[f64] {
        &self.values[row * self.width..(row + 1) * self.width]
    }

    pub fn column(&self, column: usize) -> Vec<f64> {
        (0..self.rows).map(|row| self.values[row * self.width + column]).collect()
    }
}

/// How the columns that say anything are brought to one scale.
#[derive(Clone, Debug, PartialEq)]
pub struct Scaling {
    columns: Vec<ScaledColumn>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct ScaledColumn {
    index: usize,
    /// What a value is divided by first, so that squares of large values stay finite.
    largest: f64,
    mean: f64,
    deviation: f64,
    median: f64,
}

impl Scaling {
    pub fn of(columns: &[Vec<f64>]) -> Result<Scaling, TableError> {
        let wanted = columns.first().map_or(0, Vec::len);
        if wanted == 0 {
            return Err(TableError::Empty);
        }
        for (column, values) in columns.iter().enumerate() {
            if values.len() != wanted {
                return Err(TableError::Lengths { column, rows: values.len(), wanted });
            }
            if let Some(row) = values.iter().position(|value| value.is_infinite()) {
                return Err(TableError::Infinite { row, column });
            }
        }
        Ok(Scaling {
            columns: columns.iter().enumerate().filter_map(|(index, values)| scaled(index, values)).collect(),
        })
    }

    /// The rows of `columns`, without the columns that were constant.
    pub fn rows(&self, columns: &[Vec<f64>]) -> Matrix {
        let (rows, width) = (columns.first().map_or(0, Vec::len), self.columns.len());
        let mut values = vec![0.0; rows * width];
        for (place, column) in self.columns.iter().enumerate() {
            for (row, &value) in columns[column.index].iter().enumerate() {
                let value = if value.is_nan() { column.median } else { value / column.largest };
                values[row * width + place] = (value - column.mean) / column.deviation;
            }
        }
        Matrix { values, rows, width }
    }
}

/// None if the column has one value only.
fn scaled(index: usize, values: &[f64]) -> Option<ScaledColumn> {
    let mut present: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
    present.sort_by(f64::total_cmp);
    let largest = present.first()?.abs().max(present.last()?.abs());
    if present.first() == present.last() {
        return None;
    }
    let median = present[present.len() / 2] / largest;
    let filled = values.iter().map(|&value| if value.is_nan() { median } else { value / largest });
    let count = values.len() as f64;
    let mean = filled.clone().sum::<f64>() / count;
    let deviation = (filled.map(|value| (value - mean) * (value - mean)).sum::<f64>() / count).sqrt();
    // A column whose values differ in their last digits only has no scale that could be trusted.
    (deviation > 1e-14).then_some(ScaledColumn { index, largest, mean, deviation, median })
}
