//! What is learned from, checked.

use std::borrow::Cow;
use std::ops::Range;

use super::rank::Worths;
use super::{BoostError, Columns, Loss};

/// Rows to learn from or to stop by.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a> {
    pub features: &'a Columns,
    /// One entry a row, finite.
    pub target: &'a [f64],
    /// One entry a row, not below 0; None for 1. A row of weight 0 is as if it were not there.
    pub weight: Option<&'a [f64]>,
    /// One entry a row on the raw scale, added to what the trees say. A prediction does not contain it.
    pub offset: Option<&'a [f64]>,
    /// For `Loss::Pairwise`: equal values stand together and name a list.
    pub group: Option<&'a [u32]>,
}

/// Numbers beyond this are a fault in data, and their squares would overflow.
const NUMBER_MAX: f64 = 1e30;

/// A checked sample without rows of weight 0.
pub struct Data<'a> {
    pub features: Cow<'a, Columns>,
    pub target: Cow<'a, [f64]>,
    pub weight: Option<&'a [f64]>,
    pub offset: Option<&'a [f64]>,
    pub groups: Vec<Range<usize>>,
    pub worths: Worths,
}

impl Data<'_> {
    pub fn rows(&self) -> usize {
        self.target.len()
    }

    pub fn weight(&self, row: usize) -> f64 {
        self.weight.map_or(1.0, |weight| weight[row])
    }
}

/// What a `Data` without the rows of weight 0 borrows from.
#[derive(Default)]
pub struct Kept {
    rows: Option<Vec<usize>>,
    weight: Vec<f64>,
    offset: Vec<f64>,
    group: Vec<u32>,
}

impl Kept {
    /// Rows of `sample` with a weight, if not all have one.
    pub fn of(sample: &Sample<'_>) -> Kept {
        let Some(weight) = sample.weight.filter(|weight| weight.contains(&0.0)) else { return Kept::default() };
        let rows: Vec<usize> = (0..weight.len()).filter(|&row| weight[row] != 0.0).collect();
        let pick = |from: Option<&[f64]>| rows.iter().filter_map(|&row| from?.get(row).copied()).collect();
        let (weight, offset) = (pick(sample.weight), pick(sample.offset));
        let group = rows.iter().filter_map(|&row| sample.group?.get(row).copied()).collect();
        Kept { rows: Some(rows), weight, offset, group }
    }
}

/// # Errors
/// `Length`, `Value`, `NoGroups`, `Empty`.
pub fn check(sample: &Sample<'_>, loss: Loss) -> Result<(), BoostError> {
    let rows = sample.features.rows();
    lengths(sample, rows)?;
    for (row, target) in sample.target.iter().enumerate() {
        in_range("target", row, *target)?;
        if let Some(problem) = loss.objection(*target) {
            return Err(BoostError::Value { what: "target", row, problem });
        }
    }
    for (row, weight) in sample.weight.unwrap_or_default().iter().enumerate() {
        in_range("weight", row, *weight)?;
        if *weight < 0.0 {
            return Err(BoostError::Value { what: "weight", row, problem: "it is below 0" });
        }
    }
    for (row, offset) in sample.offset.unwrap_or_default().iter().enumerate() {
        in_range("offset", row, *offset)?;
    }
    let weightless = sample.weight.is_some_and(|weight| weight.iter().all(|weight| *weight < 1e-30));
    if rows == 0 || sample.features.width() == 0 || weightless {
        return Err(BoostError::Empty);
    }
    if loss == Loss::Pairwise && sample.group.is_none() {
        return Err(BoostError::NoGroups);
    }
    Ok(())
}

fn lengths(sample: &Sample<'_>, rows: usize) -> Result<(), BoostError> {
    let lengths = [
        ("target", Some(sample.target.len())),
        ("weight", sample.weight.map(<[f64]>::len)),
        ("offset", sample.offset.map(<[f64]>::len)),
        ("group", sample.group.map(<[u32]>::len)),
    ];
    for (what, found) in lengths {
        if let Some(found) = found.filter(|&found| found != rows) {
            return Err(BoostError::Length { what, expected: rows, found });
        }
    }
    Ok(())
}

fn in_range(what: &'static str, row: usize, number: f64) -> Result<(), BoostError> {
    if number.abs() <= NUMBER_MAX {
        Ok(())
    } else {
        Err(BoostError::Value { what, row, problem: "it is not a finite number of usual size" })
    }
}

/// `sample`, checked, without what `kept` leaves out.
///
/// # Errors
/// `Value` for a group that goes on after another began.
pub fn data<'a>(sample: &Sample<'a>, kept: &'a Kept) -> Result<Data<'a>, BoostError> {
    let Some(rows) = &kept.rows else {
        let (features, target) = (Cow::Borrowed(sample.features), Cow::Borrowed(sample.target));
        let groups = groups(sample.group)?;
        let worths = Worths::of(&target, &groups);
        return Ok(Data { features, target, weight: sample.weight, offset: sample.offset, groups, worths });
    };
    let target: Vec<f64> = rows.iter().filter_map(|&row| sample.target.get(row).copied()).collect();
    let groups = groups(sample.group.map(|_| kept.group.as_slice()))?;
    Ok(Data {
        features: Cow::Owned(sample.features.pick(rows)),
        weight: Some(&kept.weight),
        offset: sample.offset.map(|_| kept.offset.as_slice()),
        worths: Worths::of(&target, &groups),
        target: Cow::Owned(target),
        groups,
    })
}

fn groups(group: Option<&[u32]>) -> Result<Vec<Range<usize>>, BoostError> {
    let group = group.unwrap_or_default();
    let mut seen = std::collections::BTreeSet::new();
    let (mut groups, mut from) = (Vec::new(), 0);
    for same in group.chunk_by(|a, b| a == b) {
        if !seen.insert(same[0]) {
            return Err(BoostError::Value { what: "group", row: from, problem: "its rows do not stand together" });
        }
        groups.push(from..from + same.len());
        from += same.len();
    }
    Ok(groups)
}
