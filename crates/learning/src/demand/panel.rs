//! Series that are counted on the same grid of hours or days.
//!
//! Invariant: a missing value is NaN and stays missing; it is never taken for a zero.

use super::DemandError;

/// How far apart the rows of a panel stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Hour,
    Day,
}

impl Step {
    /// Rows after which the pattern of a week repeats.
    pub fn week(self) -> usize {
        match self {
            Step::Hour => 168,
            Step::Day => 7,
        }
    }

    /// Rows of a day.
    pub fn day(self) -> usize {
        match self {
            Step::Hour => 24,
            Step::Day => 1,
        }
    }
}

/// Several series, oldest value first, all ending at the same moment: the origin of the forecast.
#[derive(Clone, Debug)]
pub struct Panel {
    step: Step,
    /// Row number of the first value: hours or days since 1970-01-01 00:00, local time; None if the calendar is unknown.
    start: Option<i64>,
    series: Vec<Vec<f64>>,
}

impl Panel {
    /// `series[i][t]` is the count of series i in row t, NaN where it is missing. `start` is the row number of the first
    /// row, in hours or days since 1970-01-01 00:00 local time; without it nothing is known of weekdays and holidays, and
    /// series may differ in length.
    ///
    /// # Errors
    /// `Shape` for no series, or differing lengths with a `start`; `NotFinite` for an infinite value.
    pub fn new(step: Step, start: Option<i64>, series: Vec<Vec<f64>>) -> Result<Panel, DemandError> {
        let length = series.first().map(Vec::len).ok_or(DemandError::Shape("there is no series".to_owned()))?;
        if start.is_some() && series.iter().any(|values| values.len() != length) {
            return Err(DemandError::Shape("series on one calendar differ in length".to_owned()));
        }
        for (i, values) in series.iter().enumerate() {
            if let Some(row) = values.iter().position(|y| y.is_infinite()) {
                return Err(DemandError::NotFinite { series: i, row });
            }
        }
        Ok(Panel { step, start, series })
    }

    /// Some of the series without their last `rows`.
    ///
    /// # Errors
    /// As [`Panel::new`].
    pub fn cut(&self, those: &[usize], rows: usize) -> Result<Panel, DemandError> {
        let kept = |i: &usize| self.series[*i][..self.series[*i].len().saturating_sub(rows)].to_vec();
        Panel::new(self.step, self.start, those.iter().map(kept).collect())
    }

    pub fn step(&self) -> Step {
        self.step
    }

    pub fn series(&self) -> &[Vec<f64>] {
        &self.series
    }

    /// Row number of the first row, if the calendar is known.
    pub fn start(&self) -> Option<i64> {
        self.start
    }
}
