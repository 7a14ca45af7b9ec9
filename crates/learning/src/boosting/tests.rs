//! What holds for every loss and every table.

use proptest::prelude::*;
use rand::RngExt;

use super::*;
use crate::numeric::chance::chance;

const LOSSES: [Loss; 7] = [
    Loss::Squared,
    Loss::Log,
    Loss::Poisson,
    Loss::Tweedie { power: 1.5 },
    Loss::Quantile { level: 0.1 },
    Loss::Quantile { level: 0.5 },
    Loss::Pairwise,
];

/// A table with a step, a curve, an exchange of signs, noise and holes; and a mean that follows from it, 0 to 1.
fn table(rows: usize, seed: u64) -> (Columns, Vec<f64>) {
    let mut chance = chance(seed, 7);
    let mut columns = vec![Vec::new(); 5];
    let mut mean = Vec::new();
    for _ in 0..rows {
        let x: Vec<f64> = (0..5).map(|_| chance.random::<f64>()).collect();
        let gone = x[3] < 0.2;
        let curve = libm::sin(3.0 * x[1]) * 0.3;
        mean.push(0.1 + if x[0] > 0.4 { 0.3 } else { 0.0 } + curve + if gone { 0.2 } else { 0.1 * x[2] });
        for (column, value) in columns.iter_mut().zip([x[0], x[1], if gone { f64::NAN } else { x[2] }, x[4], 7.0]) {
            column.push(value);
        }
    }
    (Columns::new(columns).unwrap(), mean)
}

fn sample<'a>(features: &'a Columns, target: &'a [f64]) -> Sample<'a> {
    Sample { features, target, weight: None, offset: None, group: None }
}

fn targets(mean: &[f64], loss: Loss, seed: u64) -> Vec<f64> {
    let mut chance = chance(seed, 8);
    let mut draw = |mean: f64| match loss {
        Loss::Log => f64::from(chance.random::<f64>() < mean),
        Loss::Poisson | Loss::Pairwise => (0..20).map(|_| f64::from(chance.random::<f64>() < mean / 5.0)).sum(),
        Loss::Tweedie { .. } => {
            if chance.random::<f64>() < mean {
                3.0 * chance.random::<f64>()
            } else {
                0.0
            }
        }
        Loss::Squared | Loss::Quantile { .. } => 3.0 * mean + chance.random::<f64>() - 0.5,
    };
    mean.iter().map(|mean| draw(*mean)).collect()
}

fn groups(rows: usize) -> Vec<u32> {
    (0..rows as u32).map(|row| row / 20).collect()
}

/// Mean loss on the validation sample, before the first tree and after the last.
fn first_and_last(booster: &Booster) -> (f64, f64) {
    (booster.validation()[0], *booster.validation().last().unwrap())
}

#[test]
fn every_loss_goes_down_on_rows_not_seen() {
    for loss in LOSSES {
        let ((features, mean), (others, others_mean)) = (table(1_200, 1), table(1_200, 2));
        let (target, others_target) = (targets(&mean, loss, 3), targets(&others_mean, loss, 4));
        let group = groups(1_200);
        let train = Sample { group: Some(&group), ..sample(&features, &target) };
        let check = Sample { group: Some(&group), ..sample(&others, &others_target) };
        let settings = Settings { rounds: 20, leaves_max: 8, ..Settings::default() };
        let booster = fit(&train, Some(&check), loss, &settings).unwrap();
        let (first, last) = first_and_last(&booster);
        let enough = if loss == Loss::Pairwise { 0.85 } else { 0.95 };
        let gone_down = match loss {
            Loss::Poisson | Loss::Tweedie { .. } | Loss::Log => last < first - 0.01,
            _ => last < enough * first,
        };
        assert!(gone_down, "{loss:?}: {first} to {last}");
    }
}

#[test]
fn a_step_is_found_at_its_place_and_missing_values_have_a_side() {
    let x: Vec<f64> = (0..100).map(|i| if i % 10 == 0 { f64::NAN } else { f64::from(i) }).collect();
    let target: Vec<f64> = x.iter().map(|x| if x.is_nan() || *x > 41.0 { 5.0 } else { 1.0 }).collect();
    let features = Columns::new(vec![x]).unwrap();
    let settings = Settings { rounds: 1, learning_rate: 1.0, rows_per_leaf_min: 1, ..Settings::default() };
    let booster = fit(&sample(&features, &target), None, Loss::Squared, &settings).unwrap();
    let asked = Columns::new(vec![vec![41.0, 43.0, f64::NAN, -1e9, 1e9]]).unwrap();
    let told = booster.predict(&asked).unwrap();
    for (told, expected) in told.iter().zip([1.0, 5.0, 5.0, 1.0, 5.0]) {
        assert!((told - expected).abs() < 1e-12, "{told} instead of {expected}");
    }
}

#[test]
fn scores_of_the_training_sample_are_what_the_model_says() {
    for share in [1.0, 0.6] {
        let (features, mean) = table(700, 5);
        let target = targets(&mean, Loss::Log, 6);
        let train = sample(&features, &target);
        let settings = Settings { rounds: 8, rows_share: share, ..Settings::default() };
        let booster = fit(&train, Some(&train), Loss::Log, &settings).unwrap();
        let raw = booster.raw(&features).unwrap();
        let kept = data::Kept::default();
        let mean_loss = Loss::Log.mean(&data::data(&train, &kept).unwrap(), &raw);
        assert_eq!(Some(&mean_loss), booster.validation().last());
    }
}

#[test]
fn threads_and_rounding_change_nothing() {
    let (features, mean) = table(30_000, 9);
    let wide = Columns::new((0..3).flat_map(|_| (0..5).map(|j| features.column(j).to_vec())).collect()).unwrap();
    let target = targets(&mean, Loss::Poisson, 10);
    let settings = Settings { rounds: 2, rows_share: 0.9, columns_share: 0.9, ..Settings::default() };
    let one = fit(&sample(&wide, &target), None, Loss::Poisson, &settings).unwrap();
    let two = fit(&sample(&wide, &target), None, Loss::Poisson, &Settings { threads: 2, ..settings }).unwrap();
    assert!(one.rounds() == 2 && one == two);
}

#[test]
fn rows_without_weight_are_as_if_they_were_not_there() {
    let (features, mean) = table(600, 11);
    let target = targets(&mean, Loss::Squared, 12);
    let weight: Vec<f64> = (0..600).map(|i| if i % 3 == 0 { 0.0 } else { 2.0 }).collect();
    let rows: Vec<usize> = (0..600).filter(|i| i % 3 != 0).collect();
    let settings = Settings { rounds: 5, ..Settings::default() };
    let weighted = Sample { weight: Some(&weight), ..sample(&features, &target) };
    let whole = fit(&weighted, None, Loss::Squared, &settings).unwrap();
    let fewer: Vec<f64> = rows.iter().map(|&row| target[row]).collect();
    let picked = features.pick(&rows);
    let twos = vec![2.0; rows.len()];
    let part = Sample { weight: Some(&twos), ..sample(&picked, &fewer) };
    assert_eq!(whole, fit(&part, None, Loss::Squared, &settings).unwrap());
}

#[test]
fn a_known_offset_is_not_learned_again() {
    let (features, mean) = table(900, 13);
    let offset: Vec<f64> = (0..900).map(|i| if i % 2 == 0 { 3.0 } else { 0.0 }).collect();
    for loss in [Loss::Squared, Loss::Log, Loss::Poisson, Loss::Quantile { level: 0.5 }] {
        let target: Vec<f64> = match loss {
            Loss::Squared | Loss::Quantile { .. } => offset.iter().map(|offset| offset + 1.0).collect(),
            Loss::Poisson => offset.iter().map(|offset| libm::exp(offset + 0.5)).collect(),
            _ => offset.iter().map(|offset| loss.response(offset - 1.0)).collect(),
        };
        let train = Sample { offset: Some(&offset), ..sample(&features, &target) };
        let booster = fit(&train, None, loss, &Settings { rounds: 3, ..Settings::default() }).unwrap();
        let expected = match loss {
            Loss::Poisson => 0.5,
            Loss::Log => -1.0,
            _ => 1.0,
        };
        for raw in booster.raw(&features).unwrap() {
            assert!((raw - expected).abs() < 1e-6, "{loss:?}: {raw}");
        }
    }
    assert_eq!(mean.len(), 900);
}

#[test]
fn a_quantile_leaves_its_share_above() {
    let (features, mean) = table(2_000, 15);
    let target = targets(&mean, Loss::Squared, 16);
    for level in [0.1, 0.9] {
        let settings = Settings { rounds: 30, leaves_max: 6, rows_per_leaf_min: 60, ..Settings::default() };
        let booster = fit(&sample(&features, &target), None, Loss::Quantile { level }, &settings).unwrap();
        let told = booster.predict(&features).unwrap();
        let below = target.iter().zip(&told).filter(|(y, q)| y <= q).count() as f64 / 2_000.0;
        assert!((below - level).abs() < 0.03, "{below} instead of {level}");
    }
}

#[test]
fn early_stopping_keeps_the_best_trees() {
    let ((features, _), (others, _)) = (table(400, 17), table(400, 18));
    let mut chance = chance(19, 0);
    let noise: Vec<f64> = (0..400).map(|_| chance.random()).collect();
    let more_noise: Vec<f64> = (0..400).map(|_| chance.random()).collect();
    let settings = Settings { early_stop_rounds: Some(5), learning_rate: 0.5, ..Settings::default() };
    let train = sample(&features, &noise);
    let booster = fit(&train, Some(&sample(&others, &more_noise)), Loss::Squared, &settings).unwrap();
    let losses = booster.validation();
    assert!(losses.len() == booster.rounds() + 6 && losses.len() < 50, "{} losses", losses.len());
    assert!(losses.iter().all(|loss| *loss >= losses[booster.rounds()]));
}

#[test]
fn what_does_not_fit_is_refused() {
    let (features, mean) = table(50, 21);
    let fit = |sample: Sample, loss, settings: Settings| fit(&sample, None, loss, &settings).err();
    let train = sample(&features, &mean);
    let with = |change: fn(&mut Settings)| {
        let mut settings = Settings::default();
        change(&mut settings);
        settings
    };
    let short = Some(BoostError::Length { what: "target", expected: 50, found: 49 });
    assert_eq!(fit(sample(&features, &mean[..49]), Loss::Squared, Settings::default()), short);
    assert_eq!(fit(train, Loss::Pairwise, Settings::default()), Some(BoostError::NoGroups));
    let zeros = vec![0.0; 50];
    let weightless = Sample { weight: Some(&zeros), ..train };
    assert_eq!(fit(weightless, Loss::Squared, Settings::default()), Some(BoostError::Empty));
    let changes: [fn(&mut Settings); 9] = [
        |s| s.early_stop_rounds = Some(0),
        |s| s.bins_max = 256,
        |s| s.leaves_max = 0,
        |s| s.learning_rate = f64::NAN,
        |s| s.rows_share = 0.0,
        |s| s.columns_share = 1.5,
        |s| s.threads = 0,
        |s| s.l2 = -1.0,
        |s| s.monotone = vec![2; 5],
    ];
    for change in changes {
        assert!(matches!(fit(train, Loss::Squared, with(change)), Some(BoostError::Setting { .. })));
    }
    let narrow = with(|s| s.monotone = vec![1; 4]);
    assert!(matches!(fit(train, Loss::Squared, narrow), Some(BoostError::Length { what: "monotone", .. })));
    for (loss, wrong) in [(Loss::Log, 1.5), (Loss::Poisson, -1.0), (Loss::Squared, f64::NAN), (Loss::Squared, 1e40)] {
        let mut target = vec![0.5; 50];
        target[7] = wrong;
        let found = fit(sample(&features, &target), loss, Settings::default());
        assert!(matches!(found, Some(BoostError::Value { what: "target", row: 7, .. })), "{found:?}");
    }
    let torn = [vec![1; 20], vec![2; 20], vec![1; 10]].concat();
    let torn = Sample { group: Some(&torn), ..train };
    assert!(matches!(fit(torn, Loss::Pairwise, Settings::default()), Some(BoostError::Value { what: "group", .. })));
    for loss in [Loss::Tweedie { power: 2.0 }, Loss::Quantile { level: 1.0 }] {
        assert!(matches!(fit(train, loss, Settings::default()), Some(BoostError::Setting { .. })));
    }
}

#[test]
fn tables_of_other_shapes_are_refused() {
    let uneven = Columns::new(vec![vec![1.0; 3], vec![1.0; 2]]);
    assert_eq!(uneven, Err(BoostError::Rows { column: 1, expected: 3, found: 2 }));
    let infinite = Columns::new(vec![vec![1.0, f64::INFINITY]]);
    assert_eq!(infinite, Err(BoostError::Infinite { column: 0, row: 1 }));
    let (features, mean) = table(50, 22);
    let booster = fit(&sample(&features, &mean), None, Loss::Squared, &Settings::default()).unwrap();
    let narrow = Columns::new(vec![vec![0.0]]).unwrap();
    assert_eq!(booster.raw(&narrow), Err(BoostError::Width { expected: 5, found: 1 }));
    let empty = Columns::new(Vec::new()).unwrap();
    let nothing = fit(&sample(&empty, &[]), None, Loss::Squared, &Settings::default());
    assert_eq!(nothing, Err(BoostError::Empty));
}

fn cell() -> impl Strategy<Value = f64> {
    prop_oneof![Just(f64::NAN), Just(0.0), -3.0..3.0_f64, (-2_i32..3).prop_map(f64::from), Just(1e300), Just(-1e300)]
}

fn any_sample() -> impl Strategy<Value = (Vec<Vec<f64>>, Vec<f64>, Vec<f64>, Vec<f64>)> {
    (1_usize..40, 1_usize..11).prop_flat_map(|(rows, width)| {
        let columns = proptest::collection::vec(proptest::collection::vec(cell(), rows), width);
        let target = prop_oneof![
            proptest::collection::vec(0.0..=1.0_f64, rows),
            (0_i32..2).prop_map(move |y| vec![f64::from(y); rows]),
            proptest::collection::vec((0_i32..2).prop_map(f64::from), rows),
        ];
        let weight = proptest::collection::vec(prop_oneof![Just(0.0), Just(1.0), 1e-9..1e9_f64], rows);
        let offset = proptest::collection::vec(prop_oneof![Just(0.0), -5.0..5.0_f64, Just(1e9)], rows);
        (columns, target, weight, offset)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// B3, over tables with holes, constants, huge numbers, one row, rows without weight.
    #[test]
    fn nothing_panics_and_everything_is_finite(
        (columns, target, weight, offset) in any_sample(),
        rows_per_leaf_min in 0_usize..4,
        hessian_per_leaf_min in prop_oneof![Just(0.0), Just(1e-3)],
        l2 in prop_oneof![Just(0.0), Just(1.0)],
        share in prop_oneof![Just(1.0), Just(0.5)],
        with in 0_u8..4,
        direction in -1_i8..2,
    ) {
        let features = Columns::new(columns).unwrap();
        let group: Vec<u32> = (0..target.len() as u32).map(|row| row / 5).collect();
        let monotone = vec![direction; features.width()];
        let settings = Settings {
            rounds: 6, learning_rate: 1.0, leaves_max: 6, rows_per_leaf_min, hessian_per_leaf_min, l2,
            columns_share: share, rows_share: share, monotone, ..Settings::default()
        };
        let train = Sample {
            features: &features,
            target: &target,
            weight: (with & 1 > 0).then_some(&weight),
            offset: (with & 2 > 0).then_some(&offset),
            group: Some(&group),
        };
        for loss in LOSSES {
            match fit(&train, Some(&train), loss, &settings) {
                Ok(booster) => {
                    prop_assert!(booster.predict(&features).unwrap().iter().all(|x| x.is_finite()), "{:?}", loss);
                    prop_assert!(booster.validation().iter().all(|x| x.is_finite()), "{:?}", loss);
                    prop_assert!(booster.gain().iter().all(|x| x.is_finite()));
                    let text = serde_json::to_string(&booster).unwrap();
                    prop_assert_eq!(&booster, &serde_json::from_str::<Booster>(&text).unwrap());
                }
                Err(e) => prop_assert!(e == BoostError::Empty && weight.iter().all(|w| *w == 0.0), "{}", e),
            }
        }
    }
}

/// A target that falls with the first feature, against what is asked of the model, and rises with the second.
#[test]
fn monotone_columns_keep_their_direction() {
    let (features, mean) = table(800, 31);
    let asked: Vec<f64> = (0..50).map(|i| f64::from(i) / 49.0).collect();
    for (loss, direction) in [
        (Loss::Squared, [1, 1, 0, 0, 0]),
        (Loss::Squared, [-1, -1, 0, 1, 0]),
        (Loss::Quantile { level: 0.3 }, [1, -1, 0, 0, 0]),
        (Loss::Poisson, [-1, 1, 0, 0, 0]),
    ] {
        let target = targets(&mean, loss, 32);
        let settings =
            Settings { rounds: 15, rows_per_leaf_min: 5, monotone: direction.to_vec(), ..Settings::default() };
        let booster = fit(&sample(&features, &target), None, loss, &settings).unwrap();
        for (j, direction) in direction.iter().enumerate().filter(|(_, direction)| **direction != 0) {
            for row in 0..20 {
                let column = |k: usize| if k == j { asked.clone() } else { vec![features.column(k)[row]; 50] };
                let told = booster.raw(&Columns::new((0..5).map(column).collect()).unwrap()).unwrap();
                let kept = told.windows(2).all(|pair| f64::from(*direction) * (pair[1] - pair[0]) >= 0.0);
                assert!(kept, "{loss:?}, column {j} must go {direction}: {told:?}");
            }
        }
        assert!(booster.rounds() > 0);
    }
}

#[test]
fn the_features_that_matter_have_the_gain() {
    let (features, mean) = table(1_500, 33);
    let booster = fit(&sample(&features, &mean), None, Loss::Squared, &Settings::default()).unwrap();
    let (gain, splits) = (booster.gain(), booster.splits());
    assert!(gain[0] > gain[2] && gain[1] > gain[2] && gain[2] > 10.0 * gain[3], "{gain:?}");
    assert!(gain[4] == 0.0 && splits[4] == 0 && splits[0] > 0);
}

#[test]
fn a_tree_on_some_columns_uses_no_others() {
    let (features, mean) = table(500, 34);
    let settings = Settings { rounds: 12, columns_share: 0.25, ..Settings::default() };
    let booster = fit(&sample(&features, &mean), None, Loss::Squared, &settings).unwrap();
    let used = |tree: &tree::Tree| -> std::collections::BTreeSet<u16> {
        tree.nodes.iter().filter(|node| !node.is_leaf()).map(|node| node.feature).collect()
    };
    // A quarter of the four columns that are not constant.
    assert!(booster.trees.iter().all(|tree| used(tree).len() <= 1));
    assert!(booster.trees.iter().map(used).fold(0, |sum, used| sum | used.iter().map(|j| 1 << j).sum::<u32>()) > 3);
}

#[test]
fn lists_are_put_in_order() {
    let (features, mean) = table(1_000, 35);
    let group = groups(1_000);
    let target: Vec<f64> = mean.iter().map(|mean| (4.0 * mean).floor()).collect();
    let train = Sample { group: Some(&group), ..sample(&features, &target) };
    let settings = Settings { rounds: 30, leaves_max: 8, rows_share: 0.7, ..Settings::default() };
    let booster = fit(&train, Some(&train), Loss::Pairwise, &settings).unwrap();
    let (first, last) = first_and_last(&booster);
    assert!(first > 0.2 && last < 0.02, "{first} to {last}");
}

/// Pushing scores along the derivatives by hand: of the loss where it is a sum over rows, numerically.
#[test]
fn derivatives_are_those_of_the_loss() {
    let features = Columns::new(vec![vec![0.0]]).unwrap();
    for (loss, target) in [
        (Loss::Squared, 1.5),
        (Loss::Log, 0.3),
        (Loss::Poisson, 4.0),
        (Loss::Tweedie { power: 1.3 }, 2.0),
        (Loss::Tweedie { power: 1.8 }, 0.0),
        (Loss::Quantile { level: 0.2 }, 1.0),
    ] {
        let target = [target];
        let kept = data::Kept::default();
        let data = data::data(&sample(&features, &target), &kept).unwrap();
        for score in [-2.0, 0.1, 1.9] {
            let (mut gradient, mut hessian) = ([0.0], [0.0]);
            loss.derivatives(&data, &[score], &mut gradient, &mut hessian);
            let at = |score: f64| loss.mean(&data, &[score]);
            let step = 1e-4;
            let slope = (at(score + step) - at(score - step)) / (2.0 * step);
            let bend = (at(score + step) - 2.0 * at(score) + at(score - step)) / (step * step);
            assert!((slope - gradient[0]).abs() < 1e-6, "{loss:?}: {slope}, {gradient:?}");
            let expected = match loss {
                Loss::Poisson => bend * libm::exp(0.7),
                Loss::Quantile { .. } => 1.0,
                _ => bend,
            };
            assert!((expected - hessian[0]).abs() < 1e-5, "{loss:?}: {expected}, {hessian:?}");
        }
    }
}

#[test]
fn a_damaged_model_is_refused() {
    let (features, mean) = table(200, 36);
    let settings = Settings { rounds: 2, ..Settings::default() };
    let booster = fit(&sample(&features, &mean), None, Loss::Squared, &settings).unwrap();
    let whole = serde_json::to_value(&booster).unwrap();
    let damages: [fn(&mut serde_json::Value); 7] = [
        |model| model["trees"][0]["nodes"][0]["left"] = 60_000.into(),
        |model| model["trees"][1]["nodes"][1]["left"] = 1.into(),
        |model| model["trees"][0]["nodes"][0]["feature"] = 5.into(),
        |model| model["trees"][0]["covers"][1] = 0.into(),
        |model| model["trees"][0]["values"] = serde_json::json!([1.0]),
        |model| model["bounds"][0][1] = (-1e9).into(),
        |model| model["loss"] = serde_json::json!({ "Quantile": { "level": 7.0 } }),
    ];
    for damage in damages {
        let mut model = whole.clone();
        damage(&mut model);
        assert!(serde_json::from_value::<Booster>(model).is_err());
    }
    assert_eq!(serde_json::from_value::<Booster>(whole).unwrap(), booster);
}

#[test]
fn one_row_some_rows_and_many_rows_are_told_the_same() {
    let (features, mean) = table(600, 37);
    for leaves_max in [2, 31, 64, 65, 120] {
        let settings = Settings { rounds: 6, leaves_max, rows_per_leaf_min: 3, ..Settings::default() };
        let booster = fit(&sample(&features, &mean), None, Loss::Squared, &settings).unwrap();
        assert!(booster.trees.iter().all(|tree| tree.nodes.len() == 2 * leaves_max - 1));
        let many = booster.raw(&features).unwrap();
        let some = booster.raw(&features.pick(&(0..100).collect::<Vec<_>>())).unwrap();
        assert_eq!(many[..100], some);
        for (i, told) in many.iter().enumerate() {
            let row: Vec<f64> = (0..5).map(|j| features.column(j)[i]).collect();
            assert_eq!(booster.raw_of(&row).unwrap(), *told);
        }
        assert_eq!(booster.raw_of(&[0.0; 4]), Err(BoostError::Width { expected: 5, found: 4 }));
    }
}
