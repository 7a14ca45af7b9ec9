use super::*;
use crate::numeric::chance::{chance, uniform};

/// Two kinds of people, three actions; the log follows one policy, and another is judged.
struct World {
    action: Vec<usize>,
    reward: Vec<f64>,
    propensity: Vec<f64>,
    kind: Vec<f64>,
    policy: Vec<f64>,
    truth: f64,
}

const LOGGED: [[f64; 3]; 2] = [[0.6, 0.3, 0.1], [0.2, 0.3, 0.5]];
const JUDGED: [[f64; 3]; 2] = [[0.1, 0.2, 0.7], [0.1, 0.8, 0.1]];
const REWARD: [[f64; 3]; 2] = [[0.2, 0.3, 0.5], [0.1, 0.6, 0.3]];

fn world(rows: usize, seed: u64) -> World {
    let mut dice = chance(seed, 77);
    let mut world = World {
        action: Vec::new(),
        reward: Vec::new(),
        propensity: Vec::new(),
        kind: Vec::new(),
        policy: Vec::new(),
        truth: 0.0,
    };
    for row in 0..rows {
        let kind = row % 2;
        let at = uniform(&mut dice);
        let [first, second, _] = LOGGED[kind];
        let action = if at < first {
            0
        } else if at < first + second {
            1
        } else {
            2
        };
        world.action.push(action);
        world.propensity.push(LOGGED[kind][action]);
        world.reward.push(f64::from(u8::from(uniform(&mut dice) < REWARD[kind][action])));
        world.kind.push(kind as f64);
        world.policy.extend(JUDGED[kind]);
        world.truth += (0..3).map(|a| JUDGED[kind][a] * REWARD[kind][a]).sum::<f64>() / rows as f64;
    }
    world
}

impl World {
    fn log(&self) -> Log<'_> {
        Log { action: &self.action, reward: &self.reward, propensity: &self.propensity, actions: 3 }
    }

    /// A model that knows the kind for each action if it is `good`, and nothing if not.
    fn model(&self, good: bool) -> CrossFit {
        let of = |row: usize, action: usize, out: &mut [f64]| {
            out.fill(0.0);
            out[action] = if good { self.kind[row] } else { 0.0 };
        };
        cross_fit(&self.log(), &Description { width: 3, of: &of }, 3, 1).unwrap()
    }

    fn estimates(&self, good: bool) -> Vec<Estimate> {
        let intervals = Intervals { level: 0.95, population: false };
        estimate(&self.log(), &self.policy, &self.model(good), &intervals).unwrap()
    }
}

fn of(estimates: &[Estimate], estimator: Estimator) -> &Estimate {
    estimates.iter().find(|estimate| estimate.estimator == estimator).unwrap()
}

/// Worked by hand: weights 2, 0.5, 1 and rewards 1, 0, 1.
#[test]
fn weighted_means_are_the_formulas() {
    let log = Log { action: &[0, 1, 0], reward: &[1.0, 0.0, 1.0], propensity: &[0.25, 0.5, 0.5], actions: 2 };
    let policy = [0.5, 0.5, 0.75, 0.25, 0.5, 0.5];
    let model = CrossFit::given(vec![0.5, 0.5, 0.5, 0.5, 0.5, 0.5]);
    let estimates = estimate(&log, &policy, &model, &Intervals { level: 0.95, population: true }).unwrap();
    let value = |estimator| of(&estimates, estimator).value;
    assert!((value(Estimator::Ips) - 1.0).abs() < 1e-12);
    assert!((value(Estimator::Snips) - 3.0 / 3.5).abs() < 1e-12);
    assert!((value(Estimator::Dm) - 0.5).abs() < 1e-12);
    // 0.5 + (2·½ - ½·½ + 1·½) / 3 and 0.5 + 1.25 / 3.5.
    assert!((value(Estimator::Dr) - (0.5 + 1.25 / 3.0)).abs() < 1e-12);
    assert!((value(Estimator::Sndr) - (0.5 + 1.25 / 3.5)).abs() < 1e-12);
}

#[test]
fn intervals_of_every_estimator_cover() {
    let rounds = 50;
    for good in [true, false] {
        let mut held = [0; Estimator::ALL.len()];
        for seed in 0..rounds {
            let world = world(300, seed);
            for (held, estimate) in held.iter_mut().zip(world.estimates(good)) {
                *held += usize::from(estimate.low <= world.truth && world.truth <= estimate.high);
            }
        }
        for (held, estimator) in held.iter().zip(Estimator::ALL) {
            assert!(*held * 100 >= rounds as usize * 84, "{}: {held} of {rounds}, good {good}", estimator.name());
        }
    }
}

#[test]
fn a_good_model_helps_and_a_bad_one_is_corrected() {
    let rounds: u64 = 25;
    let error = |good: bool, estimator| {
        let square = |seed| {
            let world = world(300, 1_000 + seed);
            (of(&world.estimates(good), estimator).value - world.truth).powi(2)
        };
        (0..rounds).map(square).sum::<f64>() / rounds as f64
    };
    assert!(error(true, Estimator::Dr) < 0.9 * error(true, Estimator::Ips));
    // The model that knows nothing is far off, and the correction takes that away.
    assert!(error(false, Estimator::Dr) < 0.5 * error(false, Estimator::Dm));
    assert!(error(true, Estimator::SwitchDr) < 1.5 * error(true, Estimator::Dr));
}

#[test]
fn a_policy_is_served_only_when_it_is_proven_better() {
    let intervals = Intervals { level: 0.95, population: true };
    let pair = |rows, seed| {
        let world = world(rows, seed);
        let (log, model) = (world.log(), world.model(true));
        let current: Vec<f64> = (0..rows).flat_map(|row| LOGGED[row % 2]).collect();
        let of_policy = |policy: &[f64]| {
            let estimates = estimate(&log, policy, &model, &intervals).unwrap();
            of(&estimates, Estimator::Dr).clone()
        };
        (of_policy(&current), of_policy(&world.policy))
    };
    let (current, better) = pair(2_000, 5);
    let verdict = gate(&current, &better, 0.05).unwrap();
    assert!(verdict.serve && verdict.low > 0.1 && verdict.gain > verdict.low, "{verdict:?}");
    assert!(!gate(&better, &current, 0.05).unwrap().serve);
    assert!(!gate(&current, &current, 0.05).unwrap().serve);
    let (current, better) = pair(20, 5);
    assert!(!gate(&current, &better, 0.05).unwrap().serve, "twenty decisions prove nothing");
    let mut other = better.clone();
    other.estimator = Estimator::Ips;
    assert!(matches!(gate(&current, &other, 0.05), Err(OffPolicyError::Settings(_))));
}

/// A gate that is opened by policies no better than the current one errs at most as often as it says.
#[test]
fn the_gate_errs_no_more_than_alpha() {
    let rounds = 300;
    let mut served = 0;
    for seed in 0..rounds {
        let mut dice = chance(seed, 3);
        // Terms with a long tail, mean 0: the worst that weights do.
        let terms: Vec<f64> =
            (0..200).map(|_| if uniform(&mut dice) < 0.1 { 9.0 * uniform(&mut dice) } else { -0.5 }).collect();
        let zero = Estimate { estimator: Estimator::Ips, value: 0.0, low: 0.0, high: 0.0, terms: vec![0.0; 200] };
        let value = terms.iter().sum::<f64>() / 200.0;
        let candidate = Estimate { value, terms, ..zero.clone() };
        served += u64::from(gate(&zero, &candidate, 0.05).unwrap().serve);
    }
    assert!(served * 100 <= rounds * 8, "{served} of {rounds}");
}

/// Looked at after every person of every day, it cries wolf no more often than alpha; and it finds what is there.
#[test]
fn daily_looks_do_not_raise_false_alarms() {
    let (rounds, people, alpha) = (150, 1_500, 0.1);
    let run = |seed: u64, lift: f64| {
        let mut dice = chance(seed, 11);
        let mut test = Sequential::new(0.5, alpha).unwrap();
        let mut missed = false;
        for _ in 0..people {
            let arm = if uniform(&mut dice) < 0.5 { Arm::New } else { Arm::Control };
            let rate = if arm == Arm::New { 0.2 + lift } else { 0.2 };
            test.observe(arm, f64::from(u8::from(uniform(&mut dice) < rate))).unwrap();
            missed |= test.band().is_some_and(|band| lift < band.low || band.high < lift);
        }
        (test.better(), test.worse(), missed)
    };
    let none: Vec<_> = (0..rounds).map(|seed| run(seed, 0.0)).collect();
    let count =
        |what: fn(&(bool, bool, bool)) -> bool| none.iter().filter(|run| what(run)).count() as f64 / rounds as f64;
    assert!(count(|run| run.0) <= alpha && count(|run| run.1) <= alpha, "{} {}", count(|r| r.0), count(|r| r.1));
    assert!(count(|run| run.2) <= alpha + 0.05, "{}", count(|r| r.2));
    let found = (0..20).filter(|seed| run(*seed, 0.15).0).count();
    assert!(found >= 16, "{found} of 20");
    assert!(matches!(Sequential::new(0.5, 0.1).unwrap().observe(Arm::New, 1.5), Err(OffPolicyError::Row { .. })));
}

#[test]
fn bad_logs_are_refused() {
    let model = CrossFit::given(vec![0.5; 2]);
    let intervals = Intervals { level: 0.95, population: true };
    let try_with = |action: usize, reward: f64, propensity: f64, policy: [f64; 2]| {
        let (action, reward, propensity) = ([action], [reward], [propensity]);
        let log = Log { action: &action, reward: &reward, propensity: &propensity, actions: 2 };
        estimate(&log, &policy, &model, &intervals).map(|_| ())
    };
    assert_eq!(try_with(0, 1.0, 0.5, [1.0, 0.0]), Ok(()));
    for (bad, policy) in [
        ((2, 1.0, 0.5), [1.0, 0.0]),
        ((0, f64::NAN, 0.5), [1.0, 0.0]),
        ((0, 1.0, 0.0), [1.0, 0.0]),
        ((0, 1.0, 0.5), [0.2, 0.1]),
    ] {
        assert!(matches!(try_with(bad.0, bad.1, bad.2, policy), Err(OffPolicyError::Row { row: 0, .. })));
    }
    assert_eq!(try_with(0, 1.0, 0.5, [0.0, 1.0]), Err(OffPolicyError::NoOverlap));
    let empty = Log { action: &[], reward: &[], propensity: &[], actions: 2 };
    assert_eq!(estimate(&empty, &[], &CrossFit::given(Vec::new()), &intervals).unwrap_err(), OffPolicyError::Empty);
}

#[test]
fn cross_fitting_gives_the_same_bits_by_any_number_of_threads() {
    let world = world(700, 4);
    let of = |row: usize, action: usize, out: &mut [f64]| {
        out.fill(0.0);
        out[action] = world.kind[row];
    };
    let fit = |threads| cross_fit(&world.log(), &Description { width: 3, of: &of }, 5, threads).unwrap();
    let bits = |fit: &CrossFit| fit.predicted.iter().map(|p| p.to_bits()).collect::<Vec<u64>>();
    let one = fit(1);
    assert!(one.predicted.len() == 2_100 && [2, 4].iter().all(|threads| bits(&fit(*threads)) == bits(&one)));
}
