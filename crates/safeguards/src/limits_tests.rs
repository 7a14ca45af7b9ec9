use super::*;
use jiff::civil::date;
use proptest::prelude::*;

const HOUSE: HouseLimits = HouseLimits { day: Points(1_000), week: Points(3_000) };

fn zone() -> TimeZone {
    TimeZone::get("America/New_York").unwrap()
}

fn at(text: &str) -> Windows {
    Windows::at(text.parse().unwrap(), &zone())
}

/// As a member asks: points a day and a week.
fn wish(own: OwnLimits, now: &str, day: i64, week: i64) -> Result<OwnLimits, LimitRefusal> {
    own.wish(Some(Points(day)), Some(Points(week)), now.parse().unwrap(), &zone(), HOUSE)
}

fn waits_until(own: OwnLimits) -> String {
    own.raise.unwrap().after.to_string()
}

#[test]
fn windows_follow_the_members_own_calendar() {
    assert_eq!(at("2026-11-23T04:59:59Z").day, date(2026, 11, 22));
    assert_eq!(at("2026-11-23T05:00:00Z").day, date(2026, 11, 23));
    assert_eq!(at("2026-11-23T04:59:59Z").week, date(2026, 11, 16));
    assert_eq!(at("2026-11-23T05:00:00Z").week, date(2026, 11, 23));
    // The day on which clocks go back has 25 hours and is one window.
    assert_eq!(at("2026-11-01T04:00:00Z").day, at("2026-11-02T04:59:59Z").day);
    // The day on which they go forward has 23.
    assert_eq!(at("2026-03-08T05:00:00Z").day, at("2026-03-09T03:59:59Z").day);
    assert_ne!(at("2026-03-08T05:00:00Z").day, at("2026-03-09T04:00:00Z").day);
}

#[test]
fn a_raise_waits_for_the_latest_of_three_moments() {
    let old = "2026-11-01T12:00:00Z".parse().ok();
    let own = OwnLimits {
        day: OwnLimit { points: Some(Points(100)), set_at: old },
        week: OwnLimit { points: Some(Points(500)), set_at: old },
        raise: None,
    };
    // Monday noon: the day ends before 24 hours are over, the week ends next Monday at local midnight.
    let monday = "2026-11-23T12:00:00Z";
    assert_eq!(waits_until(wish(own, monday, 101, 500).unwrap()), "2026-11-24T12:00:00Z");
    assert_eq!(waits_until(wish(own, monday, 100, 501).unwrap()), "2026-11-30T05:00:00Z");
    // Sunday evening: 24 hours are later than the week's end.
    assert_eq!(waits_until(wish(own, "2026-11-29T23:00:00Z", 50, 501).unwrap()), "2026-11-30T23:00:00Z");
    // The day on which clocks go back has 25 hours: its end is later than 24 hours.
    assert_eq!(waits_until(wish(own, "2026-11-01T04:30:00Z", 101, 500).unwrap()), "2026-11-04T12:00:00Z");
    let older = OwnLimits { day: OwnLimit { set_at: None, ..own.day }, ..own };
    assert_eq!(waits_until(wish(older, "2026-11-01T04:30:00Z", 101, 500).unwrap()), "2026-11-02T05:00:00Z");
    // Lowered an hour ago: 72 hours since then.
    let lowered = wish(own, monday, 80, 500).unwrap();
    assert_eq!(waits_until(wish(lowered, "2026-11-23T13:00:00Z", 100, 500).unwrap()), "2026-11-26T12:00:00Z");
}

#[test]
fn the_same_wish_again_waits_no_longer_and_a_lower_one_takes_the_raise_back() {
    let own = wish(OwnLimits::default(), "2026-11-02T12:00:00Z", 100, 500).unwrap();
    let asked = wish(own, "2026-11-09T12:00:00Z", 200, 500).unwrap();
    let again = wish(asked, "2026-11-09T20:00:00Z", 200, 500).unwrap();
    assert_eq!(asked, again);
    let other = wish(asked, "2026-11-09T20:00:00Z", 300, 500).unwrap();
    assert_eq!(waits_until(other), "2026-11-10T20:00:00Z", "another wish waits from its own moment on");
    let lower = wish(asked, "2026-11-09T20:00:00Z", 90, 500).unwrap();
    assert_eq!((lower.raise, lower.in_force(HOUSE).day), (None, Points(90)));
    let confirmed = asked.confirm("2026-11-10T12:00:00Z".parse().unwrap()).unwrap();
    assert_eq!(confirmed.in_force(HOUSE), Limits { day: Points(200), week: Points(500) });
    assert_eq!(confirmed.day.set_at, "2026-11-10T12:00:00Z".parse().ok());
    assert_eq!(confirmed.week.set_at, "2026-11-02T12:00:00Z".parse().ok(), "the week's limit stayed as it was");
}

#[test]
fn figures_that_cannot_be_meant_are_refused_with_a_sentence() {
    let refused = |day, week| wish(OwnLimits::default(), "2026-11-23T12:00:00Z", day, week).unwrap_err();
    assert_eq!(refused(-1, 5), LimitRefusal::Negative);
    assert_eq!(refused(999_999_999, 5), LimitRefusal::AboveHouse { day: 1_000, week: 3_000 });
    assert_eq!(refused(5, 3_001), LimitRefusal::AboveHouse { day: 1_000, week: 3_000 });
    assert_eq!(refused(50, 20), LimitRefusal::Contradiction { day: 50, week: 20 });
    assert!(refused(50, 20).to_string().starts_with("50 points a day do not fit into 20 points a week"));
    let week_alone = OwnLimits::default().wish(None, Some(Points(20)), Timestamp::UNIX_EPOCH, &zone(), HOUSE).unwrap();
    assert_eq!(week_alone.in_force(HOUSE), Limits { day: Points(20), week: Points(20) });
}

proptest! {
    /// S2: whatever is asked in whatever order, what was borne never exceeds the limits, and restoring unfilled
    /// stake gives back exactly that.
    #[test]
    fn limits_are_never_exceeded(day in 0i64..500, week in 0i64..1_000, stakes in prop::collection::vec((1i64..200, 0i64..200), 0..40)) {
        let limits = Limits { day: Points(day), week: Points(week) };
        let mut usage = Usage::default();
        for (points, unfilled) in stakes {
            if let Ok(after) = limits.bear(usage, Points(points)) {
                prop_assert!(after.day <= limits.day && after.week <= limits.week);
                let back = Points(unfilled.min(points));
                usage = Usage { day: after.day - back, week: after.week - back };
                prop_assert!(usage.day.0 >= 0 && usage.week.0 >= 0);
            } else {
                prop_assert!(usage.day.0 + points > day || usage.week.0 + points > week);
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Wish(Option<i64>, Option<i64>),
    Again,
    Confirm,
    Wait(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let day = prop::option::weighted(0.9, (0i64..=11).prop_map(|n| n * 100));
    let week = prop::option::weighted(0.9, (0i64..=11).prop_map(|n| n * 300));
    prop_oneof![
        4 => (day, week).prop_map(|(day, week)| Step::Wish(day, week)),
        1 => Just(Step::Again),
        4 => Just(Step::Confirm),
        5 => (0i64..60).prop_map(Step::Wait),
        1 => (60i64..400).prop_map(Step::Wait),
    ]
}

/// What a careful bystander writes down: nothing of how the machine works, only what was in force and what was asked.
#[derive(Default)]
struct Bystander {
    /// The wish that waits: since when, and for what.
    asked: Option<(Timestamp, Limits)>,
    /// When each limit last changed.
    day_changed: Option<Timestamp>,
    week_changed: Option<Timestamp>,
}

impl Bystander {
    /// Whether a limit that rose may rise now.
    fn may_rise(&self, changed: Option<Timestamp>, window_is_over: bool, now: Timestamp) -> Result<(), &'static str> {
        let Some((since, _)) = self.asked else { return Err("nobody asked") };
        if now.duration_since(since) < SignedDuration::from_hours(24) {
            return Err("24 hours are not over");
        }
        if changed.is_some_and(|at| now.duration_since(at) < SignedDuration::from_hours(72)) {
            return Err("it was set less than 72 hours ago");
        }
        if !window_is_over {
            return Err("the window in which it was asked for is not over");
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    /// S3 over every history of wishes, confirmations and waiting: a limit rises only when a raise is confirmed, to no
    /// more than was asked for, and never before all three moments are over; it falls at once and then nothing waits.
    #[test]
    fn no_path_loosens_early(steps in prop::collection::vec(step(), 1..60), begins in 0i64..9_000) {
        let zone = zone();
        let mut now = "2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_hours(begins);
        let (mut own, mut seen) = (OwnLimits::default(), Bystander::default());
        let mut last = (None, None);
        for step in steps {
            let before = own.in_force(HOUSE);
            let (answer, asks) = match step {
                Step::Wait(hours) => { now += SignedDuration::from_hours(hours); continue }
                Step::Confirm => (own.confirm(now), None),
                Step::Wish(day, week) => {
                    last = (day.map(Points), week.map(Points));
                    (own.wish(last.0, last.1, now, &zone, HOUSE), Some(last))
                }
                Step::Again => (own.wish(last.0, last.1, now, &zone, HOUSE), Some(last)),
            };
            let Ok(next) = answer else { continue };
            own = next;
            let after = own.in_force(HOUSE);
            prop_assert!(after.day <= HOUSE.day && after.week <= HOUSE.week && after.day <= after.week);
            if let (Some(day), Some(week)) = (own.day.points, own.week.points) {
                prop_assert!(day <= week, "the database would refuse {} in {}", day.0, week.0);
            }
            if let Some((day, week)) = asks {
                prop_assert!(after.day <= before.day && after.week <= before.week, "a wish alone never raises");
                let wanted = Limits::in_force(day, week, HOUSE);
                prop_assert!(after.day <= wanted.day && after.week <= wanted.week, "what is lower counts at once");
                let waits = wanted.day > after.day || wanted.week > after.week;
                prop_assert_eq!(own.raise.is_some(), waits);
                seen.asked = match seen.asked {
                    Some((since, same)) if waits && same == wanted && after == before => Some((since, wanted)),
                    _ => waits.then_some((now, wanted)),
                };
            } else {
                let (since, wanted) = seen.asked.unwrap();
                prop_assert_eq!(after, wanted, "what is confirmed is what was asked for");
                let (then, here) = (Windows::at(since, &zone), Windows::at(now, &zone));
                if after.day > before.day {
                    prop_assert_eq!(seen.may_rise(seen.day_changed, here.day > then.day, now), Ok(()));
                }
                if after.week > before.week {
                    prop_assert_eq!(seen.may_rise(seen.week_changed, here.week > then.week, now), Ok(()));
                }
                seen.asked = None;
            }
            if after.day != before.day { seen.day_changed = Some(now); }
            if after.week != before.week { seen.week_changed = Some(now); }
        }
    }
}
