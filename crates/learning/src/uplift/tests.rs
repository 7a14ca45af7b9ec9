use super::*;
use crate::numeric::chance::{chance, uniform};

struct Made {
    features: Vec<f64>,
    arm: Vec<usize>,
    outcome: Vec<f64>,
    propensity: Vec<f64>,
}

/// Two features, three arms; arm 1 helps by `effect` those whose first feature is 1, arm 2 those for whom it is 0.
fn made(people: usize, seed: u64, effect: f64) -> Made {
    let mut dice = chance(seed, 5);
    let mut made =
        Made { features: Vec::new(), arm: Vec::new(), outcome: Vec::new(), propensity: vec![1.0 / 3.0; people] };
    for _ in 0..people {
        let (first, second) = (f64::from(u8::from(uniform(&mut dice) < 0.5)), uniform(&mut dice));
        let arm = (uniform(&mut dice) * 3.0) as usize;
        let helped = (arm == 1 && first == 1.0) || (arm == 2 && first == 0.0);
        let rate = 0.2 + 0.2 * second + if helped { effect } else { 0.0 };
        made.features.extend([first, second]);
        made.arm.push(arm);
        made.outcome.push(f64::from(u8::from(uniform(&mut dice) < rate)));
    }
    made
}

impl Made {
    fn trial(&self) -> Trial<'_> {
        let Made { features, arm, outcome, propensity } = self;
        Trial { features, width: 2, arm, outcome, propensity, arms: 3 }
    }
}

#[test]
fn people_get_what_helps_them_when_it_is_shown() {
    let made = made(3_000, 1, 0.3);
    let targeting = target(&made.trial(), 0.0, 0.05, 1).unwrap();
    assert!(targeting.differs() && targeting.gain_low > 0.05, "{targeting:?}");
    assert_eq!((targeting.arm(&[1.0, 0.5]), targeting.arm(&[0.0, 0.5])), (1, 2));
    // What costs more than it brings is not done.
    let dear = target(&made.trial(), 0.5, 0.05, 3).unwrap();
    assert_eq!((dear.arm(&[1.0, 0.5]), dear.arm(&[0.0, 0.5])), (0, 0));
}

#[test]
fn without_differences_all_get_the_best_arm() {
    let mut made = made(1_500, 2, 0.0);
    let mut dice = chance(2, 9);
    // Arm 2 helps everyone alike.
    for (arm, outcome) in made.arm.iter().zip(&mut made.outcome) {
        if *arm == 2 && uniform(&mut dice) < 0.2 {
            *outcome = 1.0;
        }
    }
    let targeting = target(&made.trial(), 0.0, 0.05, 1).unwrap();
    assert!(!targeting.differs() && targeting.constant == 2, "{targeting:?}");
    assert_eq!(targeting.arm(&[1.0, 0.0]), 2);
}

#[test]
fn group_effects_cover_what_was_made() {
    let made = made(3_000, 3, 0.3);
    for learner in [Learner::T, Learner::Dr] {
        let groups = group_effects(&made.trial(), learner, 2, 0.99).unwrap();
        assert_eq!(groups.len(), 4);
        for group in groups {
            // Half of the people are helped by either arm, and sorted into the upper group.
            let truth = if group.group == 1 { 0.3 } else { 0.0 };
            assert!(group.low <= truth && truth <= group.high, "{learner:?} {group:?}");
        }
    }
}

#[test]
fn thin_trials_are_refused() {
    let made = made(60, 4, 0.3);
    assert!(matches!(target(&made.trial(), 0.0, 0.05, 1), Err(OffPolicyError::Settings(_))));
    let mut wrong = self::made(600, 4, 0.3);
    wrong.propensity[3] = 0.0;
    assert!(matches!(target(&wrong.trial(), 0.0, 0.05, 2), Err(OffPolicyError::Row { row: 3, .. })));
    assert!(target(&made.trial(), f64::NAN, 0.05, 1).is_err());
}
