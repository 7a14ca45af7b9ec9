use super::*;
use crate::numeric::chance::chance;

/// Two contexts, three actions; the best action follows the context.
fn world(person: u64) -> [f64; 3] {
    if person.is_multiple_of(2) { [0.8, 0.2, 0.1] } else { [0.2, 0.7, 0.1] }
}

fn settings(exploration: Exploration) -> Settings {
    let mut settings = Settings::new(2, 3);
    settings.crosses = (0..2).flat_map(|context| (0..3).map(move |action| (context, action))).collect();
    settings.exploration = exploration;
    settings
}

fn identity() -> [[f64; 3]; 3] {
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
}

/// Plays `rounds`; gives the mean reward of the last half, and every propensity.
fn play(bandit: &mut Bandit, rounds: u64, seed: u64, truth: impl Fn(u64, u64) -> [f64; 3]) -> (f64, Vec<f64>) {
    let features = identity();
    let candidates: Vec<Candidate<'_>> =
        features.iter().enumerate().map(|(i, features)| Candidate { action: i as u64, features }).collect();
    let (mut earned, mut propensities) = (0.0, Vec::new());
    for round in 0..rounds {
        let person = round % 7;
        let context = if person.is_multiple_of(2) { [1.0, 0.0] } else { [0.0, 1.0] };
        let mut dice = chance(seed, round);
        let decision = bandit.decide(&context, &candidates, &mut dice).unwrap();
        let reward = f64::from(uniform(&mut dice) < truth(round, person)[decision.chosen]);
        propensities.push(decision.propensity);
        bandit.learn(&decision.taken, reward).unwrap();
        earned += if round >= rounds / 2 { reward } else { 0.0 };
    }
    (earned / (rounds - rounds / 2) as f64, propensities)
}

#[test]
fn it_finds_what_pays_for_whom() {
    for exploration in [Exploration::InverseGap { gamma: 10.0, growth: 0.5 }, Exploration::Thompson { draws: 32 }] {
        let mut bandit = Bandit::new(settings(exploration)).unwrap();
        let (mean, propensities) = play(&mut bandit, 1_200, 3, |_, person| world(person));
        // The best policy earns 0.757, one action for all at most 0.57.
        assert!(mean > 0.65, "{exploration:?}: {mean}");
        assert!(propensities.iter().all(|p| *p >= 0.002 && *p <= 1.0));
    }
}

#[test]
fn a_world_that_turns_is_followed_when_beliefs_fade() {
    let turned = |round: u64, person: u64| if round < 800 { world(person) } else { world(person + 1) };
    let mean = |half_life| {
        let mut settings = settings(Exploration::Thompson { draws: 32 });
        settings.half_life = half_life;
        play(&mut Bandit::new(settings).unwrap(), 1_600, 5, turned).0
    };
    let (fading, fixed) = (mean(Some(100.0)), mean(None));
    assert!(fading > 0.6 && fading > fixed + 0.05, "{fading} against {fixed}");
}

/// B1, by counting: over many draws from one state every candidate is chosen as often as it says.
#[test]
fn the_propensity_is_the_frequency() {
    for exploration in [Exploration::InverseGap { gamma: 30.0, growth: 0.0 }, Exploration::Thompson { draws: 16 }] {
        let mut bandit = Bandit::new(settings(exploration)).unwrap();
        play(&mut bandit, 60, 9, |_, person| world(person));
        let features = identity();
        let candidates: Vec<Candidate<'_>> =
            features.iter().enumerate().map(|(i, features)| Candidate { action: i as u64, features }).collect();
        let rounds = 3_000;
        let (mut inverse, mut count, mut said) = (0.0, [0.0; 3], [0.0; 3]);
        for round in 0..rounds {
            let decision = bandit.decide(&[1.0, 0.0], &candidates, &mut chance(1, round)).unwrap();
            inverse += 1.0 / decision.propensity;
            count[decision.chosen] += 1.0;
            for (said, probability) in said.iter_mut().zip(&decision.probabilities) {
                *said += probability;
            }
        }
        let rounds = rounds as f64;
        assert!((inverse / rounds / 3.0 - 1.0).abs() < 0.3, "{exploration:?}: {}", inverse / rounds);
        for (count, said) in count.iter().zip(said) {
            assert!((count - said).abs() < 4.0 * said.sqrt() + 1.0, "{exploration:?}: {count} of {said}");
        }
    }
}

/// The two ways to draw the scores are one law: with one candidate more than there are weights the other way is taken,
/// and a candidate that can never win changes nothing.
#[test]
fn scores_drawn_together_and_through_the_weights_win_alike() {
    let mut settings = Settings::new(0, 3);
    settings.exploration = Exploration::Thompson { draws: 4_096 };
    // The first feature is known to pay, so that a candidate far below 0 in it can never win.
    settings.prior = vec![0.0, 5.0, 0.0, -0.1];
    settings.deviation = vec![0.5, 0.01, 0.7, 0.4];
    settings.floor = 1e-6;
    let mut bandit = Bandit::new(settings).unwrap();
    for round in 0..40_u64 {
        let features = vec![1.0, (round % 3) as f64, (round % 5) as f64 - 2.0, 1.0];
        bandit.learn(&Taken { action: round % 4, features }, f64::from(u8::from(round % 7 < 3))).unwrap();
    }
    let features = [[0.1, 0.2, 0.1], [0.1, -0.4, 0.0], [0.1, 1.0, -1.0], [0.1, 0.3, 0.2], [-90.0, 0.0, 0.0]];
    let shares = |count: usize| {
        let candidates: Vec<Candidate<'_>> = (0..).zip(&features[..count]).map(candidate).collect();
        bandit.decide(&[], &candidates, &mut chance(3, 3)).unwrap().probabilities
    };
    let (together, through_weights) = (shares(4), shares(5));
    assert!(together.iter().all(|share| *share > 0.02), "every one of the four may win: {together:?}");
    for (a, b) in together.iter().zip(&through_weights) {
        // Four standard errors of the difference of two shares of 4096 draws are 0.044 at most.
        assert!((a - b).abs() < 0.044, "{together:?} {through_weights:?}");
    }
}

fn candidate((action, features): (u64, &[f64; 3])) -> Candidate<'_> {
    Candidate { action, features }
}

#[test]
fn replay_is_bit_for_bit_and_survives_being_stored() {
    for exploration in [Exploration::InverseGap { gamma: 10.0, growth: 0.5 }, Exploration::Thompson { draws: 8 }] {
        let mut settings = settings(exploration);
        settings.half_life = Some(300.0);
        let mut first = Bandit::new(settings).unwrap();
        let mut second = first.clone();
        play(&mut first, 100, 4, |_, person| world(person));
        play(&mut second, 100, 4, |_, person| world(person));
        assert!(first == second);
        let stored = serde_json::to_string(&first).unwrap();
        let mut read: Bandit = serde_json::from_str(&stored).unwrap();
        assert!(read == first, "numbers must survive being stored");
        assert_eq!(
            play(&mut read, 50, 8, |_, person| world(person)).1,
            play(&mut first, 50, 8, |_, person| world(person)).1
        );
        let other = stored.replace("\"format\":1", "\"format\":2");
        assert!(serde_json::from_str::<Bandit>(&other).unwrap_err().to_string().contains("format 2"));
    }
}

#[test]
fn candidates_may_change_from_decision_to_decision() {
    let mut settings = Settings::new(0, 1);
    // The shared weight says: a high feature pays; an action that was never seen profits from it.
    settings.deviation = vec![1.0, 2.0];
    let mut bandit = Bandit::new(settings).unwrap();
    for round in 0..300 {
        let candidates =
            [Candidate { action: 2 * round, features: &[0.0] }, Candidate { action: 2 * round + 1, features: &[1.0] }];
        bandit.learn_all(&[], &candidates, &[0.0, f64::from(u8::from(round % 3 > 0))]).unwrap();
    }
    let decision = bandit
        .decide(
            &[],
            &[Candidate { action: 9_000, features: &[0.0] }, Candidate { action: 9_001, features: &[1.0] }],
            &mut chance(1, 1),
        )
        .unwrap();
    assert!(decision.expected[1] > decision.expected[0] + 0.3, "{:?}", decision.expected);
}

/// The recursive steps end where the batch does: for a linear model the posterior is known in closed form.
#[test]
fn a_linear_belief_is_the_exact_posterior() {
    let mut settings = Settings::new(1, 0);
    settings.own = Vec::new();
    settings.family = Family::Real { variance: 0.5 };
    let mut bandit = Bandit::new(settings).unwrap();
    let data = [(1.0, 2.0), (-1.0, 0.5), (2.0, 3.5), (0.5, 1.0)];
    for (x, y) in data {
        bandit.learn(&Taken { action: 7, features: vec![1.0, x] }, y).unwrap();
    }
    // (X'X / 0.5 + I) w = X'y / 0.5, solved by hand: X'X = [4 2.5; 2.5 6.25], X'y = [7, 9].
    let (a, b, d, e, f) = (9.0, 5.0, 13.5, 14.0, 18.0);
    let determinant = a * d - b * b;
    let expected = [(e * d - b * f) / determinant, (a * f - b * e) / determinant];
    for (got, expected) in bandit.weights().iter().zip(expected) {
        assert!((got - expected).abs() < 1e-12, "{got} {expected}");
    }
}

#[test]
fn what_is_refused_changes_nothing() {
    let mut bandit = Bandit::new(Settings::new(1, 1)).unwrap();
    let before = bandit.clone();
    let one = Candidate { action: 1, features: &[0.5] };
    let mut dice = chance(1, 1);
    assert_eq!(bandit.decide(&[0.0], &[], &mut dice), Err(BanditError::NoCandidate));
    assert_eq!(bandit.decide(&[0.0], &[one, one], &mut dice), Err(BanditError::Twice(1)));
    assert_eq!(bandit.decide(&[f64::NAN], &[one], &mut dice), Err(BanditError::NotFinite { what: "the context" }));
    assert!(matches!(bandit.decide(&[], &[one], &mut dice), Err(BanditError::Width { expected: 1, got: 0, .. })));
    let taken = bandit.decide(&[0.0], &[one], &mut dice).unwrap().taken;
    for reward in [f64::NAN, -0.1, 1.1] {
        assert!(matches!(bandit.learn(&taken, reward), Err(BanditError::Reward(_))));
    }
    assert_eq!(bandit, before);
    let mut settings = Settings::new(1, 1);
    settings.floor = 0.0;
    assert!(matches!(Bandit::new(settings), Err(BanditError::Settings(_))));
}

#[test]
fn late_and_missing_rewards() {
    let taken = |action| Taken { action, features: vec![1.0] };
    let mut pending = Pending::new(2);
    assert_eq!(pending.keep(1, taken(10)), None);
    assert_eq!(pending.keep(2, taken(20)), None);
    assert_eq!(pending.keep(3, taken(30)), Some(taken(10)));
    assert_eq!(pending.take(3), Some(taken(30)));
    assert_eq!(pending.take(3), None);
    assert_eq!(pending.expire(3), vec![taken(20)]);
    assert!(pending.is_empty());
}

#[test]
fn a_memory_tells_habit_from_fashion() {
    let mut memory = Memory::new(MemorySettings::default());
    for day in 0..40 {
        for person in 0..5 {
            // Everyone does 1; person 0 alone does 2.
            let signals = [(1, 1.0), (2, f64::from(u8::from(person == 0))), (3, 0.0)];
            memory.observe(person, f64::from(day), signals);
        }
    }
    let of = |person, day| memory.habits(person, day, &[1, 2, 3]);
    let (fan, other, stranger) = (of(0, 40.0), of(1, 40.0), of(77, 40.0));
    assert!(fan[1].habit > 1.0 && other[1].habit < -1.0 && stranger[1].habit == 0.0);
    assert!(fan[0].popularity > fan[1].popularity && fan[1].popularity > fan[2].popularity);
    assert!(fan[1].recency > 0.9 && of(0, 400.0)[1].recency < 1e-4 && stranger[1].recency == 0.0);
    assert_eq!((fan[1].now, other[1].now), (1.0, 0.0));
    let before = of(0, 40.0)[2].habit;
    memory.earned(0, 3, 1.0);
    assert!(memory.habits(0, 40.0, &[1, 2, 3])[2].habit > before);
    assert!(fan.iter().chain(&other).all(|habits| habits.features().iter().all(|x| x.is_finite())));
}
