//! Finding the parameters at which a function is smallest. The methods are argmin's; this is the shape in which the
//! estimators want them: slices in, a minimum out, and a point outside the domain is a function value of infinity.

use std::cell::RefCell;

use argmin::core::{CostFunction, Error, Executor, Gradient, State, TerminationReason, TerminationStatus};
use argmin::solver::linesearch::MoreThuenteLineSearch;
use argmin::solver::neldermead::NelderMead;
use argmin::solver::quasinewton::LBFGS;

/// Pairs that L-BFGS remembers.
const MEMORY: usize = 10;

/// Where a function is smallest, as far as was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Minimum {
    pub at: Vec<f64>,
    pub value: f64,
    pub iterations: u64,
    /// Whether the method stopped by itself; otherwise `iterations_max` did.
    pub converged: bool,
}

/// Nothing was found: the start is outside the domain, or the function is nowhere finite around it.
#[derive(Debug, thiserror::Error, PartialEq)]
#[error("no minimum was found: {0}")]
pub struct NoMinimum(pub String);

/// Smallest value of `value` by L-BFGS with a More–Thuente line search.
///
/// `value` also writes its partial derivatives at its first argument into its second, which has the same length: most
/// of what the one costs the other needs too.
///
/// # Errors
/// The value at `start` is not finite, or no step from it goes down.
pub fn by_gradient(
    start: &[f64],
    value: impl Fn(&[f64], &mut [f64]) -> f64,
    iterations_max: u64,
) -> Result<Minimum, NoMinimum> {
    let smooth = Smooth { value, latest: RefCell::new(None) };
    in_domain(smooth.at(start).value)?;
    let solver = LBFGS::new(MoreThuenteLineSearch::new(), MEMORY)
        .with_tolerance_grad(1e-7)
        .and_then(|solver| solver.with_tolerance_cost(1e-12))
        .map_err(|e| NoMinimum(e.to_string()))?;
    let run = Executor::new(&smooth, solver)
        .configure(|state| state.param(start.to_vec()).max_iters(iterations_max))
        .timer(false)
        .run();
    // A line search that finds no lower point near a minimum is an error to argmin, and an answer to us.
    match run {
        Ok(run) => found(run.state(), start, |at| smooth.at(at).value),
        Err(e) => Err(NoMinimum(e.to_string())),
    }
}

/// Smallest value of `value` by Nelder and Mead's simplex, for functions without a gradient and up to about ten
/// parameters. `steps`, one entry for each parameter, spans the first simplex.
///
/// # Errors
/// `value(start)` is not finite.
pub fn by_simplex(
    start: &[f64],
    steps: &[f64],
    value: impl Fn(&[f64]) -> f64,
    iterations_max: u64,
) -> Result<Minimum, NoMinimum> {
    in_domain(value(start))?;
    let corners = std::iter::once(start.to_vec())
        .chain(steps.iter().enumerate().map(|(i, step)| {
            let mut corner = start.to_vec();
            corner[i] += step;
            corner
        }))
        .collect();
    let solver = NelderMead::new(corners).with_sd_tolerance(1e-9).map_err(|e| NoMinimum(e.to_string()))?;
    let run = Executor::new(Rough { value: &value }, solver)
        .configure(|state| state.max_iters(iterations_max))
        .timer(false)
        .run()
        .map_err(|e| NoMinimum(e.to_string()))?;
    found(run.state(), start, &value)
}

fn in_domain(value: f64) -> Result<(), NoMinimum> {
    if value.is_finite() { Ok(()) } else { Err(NoMinimum(format!("the start has the value {value}"))) }
}

fn found<S: State<Param = Vec<f64>, Float = f64>>(
    state: &S,
    start: &[f64],
    value: impl Fn(&[f64]) -> f64,
) -> Result<Minimum, NoMinimum> {
    let at = state.get_best_param().cloned().unwrap_or_else(|| start.to_vec());
    let value = value(&at);
    in_domain(value)?;
    let stopped = TerminationStatus::Terminated(TerminationReason::MaxItersReached);
    let converged = *state.get_termination_status() != stopped;
    Ok(Minimum { at, value, iterations: state.get_iter(), converged })
}

/// Stands in for infinity, which a line search cannot reckon with.
const OUTSIDE: f64 = 1e300;

fn finite(value: f64) -> f64 {
    if value.is_finite() { value } else { OUTSIDE }
}

/// A function with its gradient. The solver asks for both at one point, but one after the other, so the latest answer
/// is kept.
struct Smooth<V> {
    value: V,
    latest: RefCell<Option<Point>>,
}

#[derive(Clone)]
struct Point {
    at: Vec<f64>,
    value: f64,
    gradient: Vec<f64>,
}

impl<V: Fn(&[f64], &mut [f64]) -> f64> Smooth<V> {
    fn at(&self, at: &[f64]) -> Point {
        let mut latest = self.latest.borrow_mut();
        if let Some(point) = latest.as_ref().filter(|point| point.at == at) {
            return point.clone();
        }
        let mut gradient = vec![0.0; at.len()];
        let value = (self.value)(at, &mut gradient);
        latest.insert(Point { at: at.to_vec(), value, gradient }).clone()
    }
}

impl<V: Fn(&[f64], &mut [f64]) -> f64> CostFunction for &Smooth<V> {
    type Param = Vec<f64>;
    type Output = f64;

    fn cost(&self, at: &Vec<f64>) -> Result<f64, Error> {
        Ok(finite(self.at(at).value))
    }
}

impl<V: Fn(&[f64], &mut [f64]) -> f64> Gradient for &Smooth<V> {
    type Param = Vec<f64>;
    type Gradient = Vec<f64>;

    fn gradient(&self, at: &Vec<f64>) -> Result<Vec<f64>, Error> {
        Ok(self.at(at).gradient)
    }
}

struct Rough<'a, V> {
    value: &'a V,
}

impl<V: Fn(&[f64]) -> f64> CostFunction for Rough<'_, V> {
    type Param = Vec<f64>;
    type Output = f64;

    fn cost(&self, at: &Vec<f64>) -> Result<f64, Error> {
        Ok(finite((self.value)(at)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rosenbrock (1960): a bent valley with its floor at (1, 1).
    fn valley(x: &[f64]) -> f64 {
        (1.0 - x[0]).powi(2) + 100.0 * (x[1] - x[0] * x[0]).powi(2)
    }

    #[test]
    fn both_methods_reach_the_floor_of_a_bent_valley() {
        let sloping = |x: &[f64], out: &mut [f64]| {
            out[0] = -2.0 * (1.0 - x[0]) - 400.0 * x[0] * (x[1] - x[0] * x[0]);
            out[1] = 200.0 * (x[1] - x[0] * x[0]);
            valley(x)
        };
        for minimum in [
            by_gradient(&[-1.2, 1.0], sloping, 200).unwrap(),
            by_simplex(&[-1.2, 1.0], &[0.5, 0.5], valley, 2_000).unwrap(),
        ] {
            assert!(minimum.converged && minimum.value < 1e-8, "{minimum:?}");
            assert!(minimum.at.iter().all(|x| (x - 1.0).abs() < 1e-3), "{minimum:?}");
        }
    }

    #[test]
    fn a_start_outside_the_domain_is_told() {
        let logarithm = |x: &[f64]| x[0].ln();
        assert!(by_simplex(&[-1.0], &[0.1], logarithm, 10).is_err());
    }
}
