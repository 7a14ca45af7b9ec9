//! How many people an hour needs, from the band of the demand and the time that one customer takes.
//!
//! Two questions, two answers. With a promise ("eight in ten are served within a minute"): the fewest people that keep it
//! at a stated quantile of the demand, by Erlang C. With costs (an idle hour here, a customer who waits or leaves there):
//! the people at which the expected cost over the whole band is least, which is the newsvendor's balance between too few
//! and too many.
//!
//! Pure functions; nothing here knows a calendar or a shift.

pub mod queue;

use crate::demand::{Expectation, LEVELS};

/// Past this many people an hour the question is put wrongly, and refused.
const PEOPLE_MAX: u32 = 10_000;

/// Why no number can be given.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum StaffingError {
    #[error("{name} is {value}; it must be {must}")]
    Outside { name: &'static str, value: f64, must: &'static str },
    #[error("the demand needs more than {PEOPLE_MAX} people")]
    TooMany,
}

/// What serving costs in time and what customers are promised.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Service {
    /// Minutes of one person's work for one customer.
    pub minutes: f64,
    /// Share of customers that is served within `patience_minutes`.
    pub promised: f64,
    pub patience_minutes: f64,
}

/// The fewest people under which `arrivals` customers an hour find the promise kept; none for no customers.
///
/// # Errors
/// `Outside` for arrivals, minutes or patience that are negative or not finite, or a promise outside (0, 1); `TooMany`.
pub fn people(arrivals: f64, service: Service) -> Result<u32, StaffingError> {
    let load = load(arrivals, service.minutes)?;
    positive("patience_minutes", service.patience_minutes)?;
    if !(service.promised > 0.0 && service.promised < 1.0) {
        return Err(outside("promised", service.promised, "between 0 and 1"));
    }
    if load == 0.0 {
        return Ok(0);
    }
    let patience = service.patience_minutes / service.minutes;
    (whole(load)?..=PEOPLE_MAX)
        .find(|people| queue::served_within(*people, load, patience) >= service.promised)
        .ok_or(StaffingError::TooMany)
}

/// `people` for each hour at the quantile of its demand nearest to `level`, such as 0.9: enough in nine hours of ten.
///
/// # Errors
/// As `people`.
pub fn roster(hours: &[Expectation], level: f64, service: Service) -> Result<Vec<u32>, StaffingError> {
    let distance = |i: &usize| (LEVELS[*i] - level).abs();
    let nearest = (0..LEVELS.len()).min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap_or(3);
    hours.iter().map(|hour| people(hour.quantiles[nearest].max(0.0), service)).collect()
}

/// What an hour costs, in any one currency.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Costs {
    /// One person for one hour.
    pub person_hour: f64,
    /// One customer who waits one hour.
    pub waiting_hour: f64,
    /// One customer who is not served at all because more come than can be served.
    pub lost: f64,
}

/// The number of people with the least expected cost over the band of an hour, and that cost.
///
/// The band's seven quantiles stand for the demand, each for the share of hours nearest to it. A queue that grows without
/// end has lost what is over the capacity, and the others have waited half of the hour.
///
/// # Errors
/// `Outside` for minutes or costs that are negative or not finite; `TooMany`.
pub fn cheapest(hour: &Expectation, minutes: f64, costs: Costs) -> Result<(u32, f64), StaffingError> {
    for (name, value) in
        [("person_hour", costs.person_hour), ("waiting_hour", costs.waiting_hour), ("lost", costs.lost)]
    {
        positive(name, value)?;
    }
    let most = whole(load(hour.quantiles[6].max(0.0), minutes)?)?.saturating_mul(2).max(4);
    let mut best = (0, f64::INFINITY);
    for people in 0..=most.min(PEOPLE_MAX) {
        let mut cost = f64::from(people) * costs.person_hour;
        for (arrivals, share) in hour.quantiles.iter().zip(shares()) {
            cost += share * missing(people, arrivals.max(0.0), minutes, costs);
        }
        if cost < best.1 {
            best = (people, cost);
        }
    }
    Ok(best)
}

/// What too few people cost in one hour of `arrivals`.
fn missing(people: u32, arrivals: f64, minutes: f64, costs: Costs) -> f64 {
    let load = arrivals * minutes / 60.0;
    let capacity = f64::from(people) * 60.0 / minutes;
    let queued = if arrivals > 0.0 { queue::mean_wait(people, load) * minutes / 60.0 } else { 0.0 };
    let lost = (arrivals - capacity).max(0.0);
    // An hour ends: nobody waits longer in it than half of it on average.
    costs.lost * lost + costs.waiting_hour * (arrivals - lost) * queued.min(0.5)
}

/// How much of the demand each of the seven quantiles stands for: half way to its neighbours.
fn shares() -> [f64; 7] {
    let edge = |i: usize| {
        if i == 0 {
            0.0
        } else if i == 7 {
            1.0
        } else {
            (LEVELS[i - 1] + LEVELS[i]) / 2.0
        }
    };
    std::array::from_fn(|i| edge(i + 1) - edge(i))
}

/// The work that arrives, in people kept busy.
fn load(arrivals: f64, minutes: f64) -> Result<f64, StaffingError> {
    positive("arrivals", arrivals)?;
    if !(minutes > 0.0 && minutes.is_finite()) {
        return Err(outside("minutes", minutes, "above 0 and finite"));
    }
    Ok(arrivals * minutes / 60.0)
}

fn whole(load: f64) -> Result<u32, StaffingError> {
    if load < f64::from(PEOPLE_MAX) { Ok(load.ceil() as u32) } else { Err(StaffingError::TooMany) }
}

fn positive(name: &'static str, value: f64) -> Result<(), StaffingError> {
    if value >= 0.0 && value.is_finite() { Ok(()) } else { Err(outside(name, value, "0 or more and finite")) }
}

fn outside(name: &'static str, value: f64, must: &'static str) -> StaffingError {
    StaffingError::Outside { name, value, must }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Expectation = Expectation { mean: 60.0, quantiles: [35.0, 45.0, 52.0, 60.0, 68.0, 76.0, 90.0] };
    const TILL: Service = Service { minutes: 4.0, promised: 0.8, patience_minutes: 20.0 / 60.0 };

    /// 100 calls in half an hour of 3 minutes each, 80 % within 20 seconds: 14 agents, as worked examples of Erlang C say.
    #[test]
    fn the_textbook_call_centre_needs_fourteen() {
        let service = Service { minutes: 3.0, promised: 0.8, patience_minutes: 20.0 / 60.0 };
        assert_eq!(people(200.0, service), Ok(14));
        assert_eq!(people(0.0, service), Ok(0));
    }

    #[test]
    fn a_wider_promise_needs_more_people() {
        let people = |level| roster(&[HOUR], level, TILL).unwrap()[0];
        assert!(people(0.5) < people(0.9) && people(0.9) <= people(0.975));
    }

    #[test]
    fn dear_waiting_brings_people_and_dear_people_bring_waiting() {
        let best = |person_hour, waiting_hour| {
            cheapest(&HOUR, 4.0, Costs { person_hour, waiting_hour, lost: 20.0 }).unwrap().0
        };
        assert!(best(20.0, 10.0) < best(20.0, 200.0));
        assert!(best(100.0, 50.0) < best(10.0, 50.0));
        assert!((shares().iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }

    /// With waiting for free it is the newsvendor: people until another one would be busy too seldom.
    #[test]
    fn without_queues_it_is_the_newsvendor() {
        let costs = Costs { person_hour: 15.0, waiting_hour: 0.0, lost: 10.0 };
        let (people, cost) = cheapest(&HOUR, 4.0, costs).unwrap();
        // One more person serves up to 15 and costs 15: worth it while P(demand > capacity) > 0.1, capacity 75.
        assert!((4..=6).contains(&people), "{people}");
        assert!(cost.is_finite());
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(people(-1.0, TILL).is_err() && people(f64::NAN, TILL).is_err());
        assert!(people(10.0, Service { minutes: 0.0, ..TILL }).is_err());
        assert!(people(10.0, Service { promised: 1.0, ..TILL }).is_err());
        assert_eq!(people(1e9, TILL), Err(StaffingError::TooMany));
    }
}
