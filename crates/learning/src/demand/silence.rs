//! Series that end before the panel does: each is forecast from its own last value, over the rows that nobody counted and on.
//!
//! To go on from the panel's end as if the last value had just been seen would promise as much of a series that fell
//! silent weeks ago as of one that is counted today.

use super::{Ask, DemandError, Expectation, Model, Panel, Thin, fit};

/// Cycles of the week after which a silent series is not forecast at all.
const WEEKS_MAX: usize = 8;

/// Rows after the last value of each series, if they are a day of hours or a week of days and more; fewer are a gap like
/// any other, and count as none. A series without any value is not silent: it never spoke.
pub fn silences(panel: &Panel) -> Vec<usize> {
    let cycle = if panel.step().day() > 1 { panel.step().day() } else { panel.step().week() };
    let silence = |values: &Vec<f64>| {
        let last = values.iter().rposition(|y| !y.is_nan());
        last.map_or(0, |last| values.len() - 1 - last)
    };
    panel.series().iter().map(silence).map(|rows| if rows < cycle { 0 } else { rows }).collect()
}

/// A model for each length of silence.
#[derive(Clone, Debug)]
pub struct Models {
    /// The rows of silence, which of the series have it, and their model; none for those that are silent for too long.
    parts: Vec<(usize, Vec<usize>, Option<Model>)>,
    series: usize,
}

/// As [`fit`], of each series where it ends. Those that end together learn from each other; a panel in which nobody is
/// silent is fitted as it is.
///
/// # Errors
/// As [`fit`].
pub fn fit_where_they_end(panel: &Panel, ask: &Ask<'_>) -> Result<Models, DemandError> {
    let silences = silences(panel);
    let mut lengths = silences.clone();
    lengths.sort_unstable();
    lengths.dedup();
    let mut parts = Vec::new();
    for &silence in &lengths {
        let those: Vec<usize> = (0..silences.len()).filter(|i| silences[*i] == silence).collect();
        let ask = Ask { horizon: ask.horizon + silence, ..*ask };
        let model = match silence {
            _ if silence > WEEKS_MAX * panel.step().week() => None,
            0 if lengths.len() == 1 => Some(fit(panel, &ask)?),
            _ => Some(fit(&panel.cut(&those, silence)?, &ask)?),
        };
        parts.push((silence, those, model));
    }
    Ok(Models { parts, series: silences.len() })
}

impl Models {
    /// As [`Model::predict`]: the rows after the panel's end, for each of its series.
    pub fn predict(&self) -> Vec<Result<Vec<Expectation>, Thin>> {
        let mut all = vec![Err(Thin { seen: 0, needed: 1 }); self.series];
        for (silence, those, model) in &self.parts {
            let Some(model) = model else { continue };
            for (i, steps) in those.iter().zip(model.predict()) {
                all[*i] = steps.map(|steps| steps[*silence..].to_vec());
            }
        }
        all
    }
}
