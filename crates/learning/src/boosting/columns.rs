//! The table of features.

use super::BoostError;

/// Features by column: `columns[j][i]` is feature j of row i; NaN is missing.
#[derive(Clone, Debug, PartialEq)]
pub struct Columns {
    columns: Vec<Vec<f64>>,
    rows: usize,
}

impl Columns {
    /// # Errors
    /// `Rows` if a column is longer or shorter than the first, `Infinite` for an infinite number.
    pub fn new(columns: Vec<Vec<f64>>) -> Result<Columns, BoostError> {
        let rows = columns.first().map_or(0, Vec::len);
        for (column, values) in columns.iter().enumerate() {
            if values.len() != rows {
                return Err(BoostError::Rows { column, expected: rows, found: values.len() });
            }
            if let Some(row) = values.iter().position(|x| x.is_infinite()) {
                return Err(BoostError::Infinite { column, row });
            }
        }
        Ok(Columns { columns, rows })
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn width(&self) -> usize {
        self.columns.len()
    }

    /// Feature `j` of every row; empty past the last column.
    pub fn column(&self, j: usize) -> &[f64] {
        self.columns.get(j).map_or(&[], Vec::as_slice)
    }

    /// The same columns of the rows named, in that order; rows that do not exist are left out.
    pub fn pick(&self, rows: &[usize]) -> Columns {
        let there = rows.iter().filter(|&&row| row < self.rows).count();
        let pick = |column: &Vec<f64>| rows.iter().filter_map(|&row| column.get(row).copied()).collect();
        Columns { columns: self.columns.iter().map(pick).collect(), rows: there }
    }
}
