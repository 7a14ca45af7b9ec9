//! A believable day of markets: several of each kind, spread over the hours after `now`, some ending
//! while one watches. The same seed and time give the same day.

use crate::dice::Dice;
use crate::engine::{Engine, Now, Refusal};
use crate::fees::{FeeSchedule, FeeType};
use crate::model::{Dispute, EventSpec, Grid, MarketSpec, Outcome, Script, SeriesSpec};
use crate::units::Px;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};
use serde::{Deserialize, Serialize};
use serde_json::Number;

/// One event with its series and all its markets.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Listing {
    pub series: SeriesSpec,
    pub event: EventSpec,
    pub markets: Vec<MarketSpec>,
    /// When readers are told it came to be; now when left out.
    #[serde(default)]
    pub created: Option<Timestamp>,
}

impl Listing {
    pub(crate) fn list(&self, engine: &mut Engine, now: Now) -> Result<(), Refusal> {
        if !engine.series.contains_key(&self.series.ticker) {
            engine.list_series(self.series.clone())?;
        }
        if !engine.events.contains_key(&self.event.ticker) {
            engine.list_event(now, self.event.clone())?;
        }
        for market in &self.markets {
            engine.list_market(now, self.created.unwrap_or(now.time), market.clone())?;
        }
        Ok(())
    }

    /// A single market of its own, open from now to `close`, that ends by hand: for tests.
    pub fn single(ticker: &str, category: &str, now: Timestamp, close: Timestamp) -> Listing {
        let event = ticker.rsplit_once('-').map_or(ticker, |(e, _)| e).to_owned();
        let series = event.split('-').next().unwrap_or(&event).to_owned();
        Listing {
            series: series_spec(&series, &format!("{series} series"), category, &[], 0),
            event: EventSpec {
                ticker: event.clone(),
                series_ticker: series,
                title: format!("{event}?"),
                sub_title: String::new(),
                mutually_exclusive: false,
                strike_date: None,
            },
            markets: vec![MarketSpec {
                house_depth: 0,
                ..plain_market(ticker, &event, &format!("Will {ticker} happen?"), "Yes, it happens", now, close)
            }],
            created: None,
        }
    }

    pub fn shard(mut self, shard: usize) -> Listing {
        self.series.shard = shard;
        self
    }

    /// Seconds between determination and payment.
    pub fn settlement_timer(mut self, seconds: i64) -> Listing {
        for market in &mut self.markets {
            market.settlement_timer_seconds = seconds;
        }
        self
    }
}

fn series_spec(ticker: &str, title: &str, category: &str, tags: &[&str], shard: usize) -> SeriesSpec {
    SeriesSpec {
        ticker: ticker.to_owned(),
        title: title.to_owned(),
        category: category.to_owned(),
        tags: tags.iter().map(|t| (*t).to_owned()).collect(),
        frequency: "daily".to_owned(),
        fees: FeeSchedule::STANDARD,
        shard,
        source: "Town records".to_owned(),
    }
}

fn plain_market(ticker: &str, event: &str, title: &str, yes: &str, open: Timestamp, close: Timestamp) -> MarketSpec {
    MarketSpec {
        ticker: ticker.to_owned(),
        event_ticker: event.to_owned(),
        title: title.to_owned(),
        yes_sub_title: yes.to_owned(),
        no_sub_title: yes.to_owned(),
        rules_primary: format!("If the answer to \"{title}\" is yes, then the market resolves to Yes."),
        open_time: open,
        close_time: close,
        expected_expiration_time: Some(close),
        occurrence_time: None,
        settlement_timer_seconds: 60,
        grid: Grid::LinearCent,
        strike_type: None,
        floor_strike: None,
        cap_strike: None,
        fair: Px(500_000),
        house_depth: 200,
        script: None,
    }
}

/// Several events of each category for the day that `now` lies in, as New York counts days.
pub fn believable(seed: u64, now: Timestamp) -> Vec<Listing> {
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let zoned = now.to_zoned(TimeZone::get("America/New_York").unwrap_or(TimeZone::UTC));
    let mut day = Day { dice: Dice::new(seed), now, zoned, listings: Vec::new() };
    day.games();
    day.temperatures();
    day.rain();
    day.crypto();
    day.news();
    day.town();
    day.listings
}

struct Day {
    dice: Dice,
    now: Timestamp,
    zoned: Zoned,
    listings: Vec<Listing>,
}

impl Day {
    fn after(&self, minutes: i64) -> Timestamp {
        self.now.checked_add(SignedDuration::from_mins(minutes)).unwrap_or(Timestamp::MAX)
    }

    fn code(&self) -> String {
        self.zoned.strftime("%y%b%d").to_string().to_uppercase()
    }

    /// Date and time of a moment, for tickers of which there are several a day.
    fn code_at(&self, at: Timestamp) -> String {
        at.to_zoned(self.zoned.time_zone().clone()).strftime("%y%b%d%H%M").to_string().to_uppercase()
    }

    fn long_date(&self) -> String {
        self.zoned.strftime("%b %-d, %Y").to_string()
    }

    /// The end of the local day, when daily markets stop.
    fn midnight(&self) -> Timestamp {
        let tomorrow = self.zoned.date().tomorrow().unwrap_or(self.zoned.date());
        tomorrow
            .to_zoned(self.zoned.time_zone().clone())
            .map_or(self.after(8 * 60), |z| z.timestamp())
            .max(self.after(30))
    }

    fn opened(&self) -> Timestamp {
        self.after(-20 * 60)
    }

    /// Yes with the chance that the price says.
    fn draw(&mut self, fair: Px) -> Outcome {
        if self.dice.between(1, 1_000_000) <= fair.0 { Outcome::Yes } else { Outcome::No }
    }

    fn push(&mut self, series: SeriesSpec, event: EventSpec, markets: Vec<MarketSpec>) {
        let created = Some(self.after(-21 * 60));
        self.listings.push(Listing { series, event, markets, created });
    }

    /// One market per team. They close when the winner is known; `close_time` is a far backstop.
    fn games(&mut self) {
        // series, title, tag, shard, away, home, ends in minutes, settlement timer in seconds
        type Game = (
            &'static str,
            &'static str,
            &'static str,
            usize,
            (&'static str, &'static str),
            (&'static str, &'static str),
            i64,
            i64,
        );
        const GAMES: [Game; 10] = [
            ("KXNBAGAME", "Pro basketball game", "Basketball", 3, ("NYK", "New York"), ("BOS", "Boston"), 4, 30),
            ("KXNBAGAME", "Pro basketball game", "Basketball", 3, ("MIA", "Miami"), ("CHI", "Chicago"), 12, 60),
            ("KXNBAGAME", "Pro basketball game", "Basketball", 3, ("LAL", "Los Angeles L"), ("DEN", "Denver"), 45, 300),
            (
                "KXNBAGAME",
                "Pro basketball game",
                "Basketball",
                3,
                ("PHX", "Phoenix"),
                ("GSW", "Golden State"),
                200,
                300,
            ),
            ("KXNHLGAME", "Pro hockey game", "Hockey", 0, ("NYR", "New York R"), ("TOR", "Toronto"), 8, 60),
            ("KXNHLGAME", "Pro hockey game", "Hockey", 0, ("BUF", "Buffalo"), ("MTL", "Montreal"), 30, 120),
            ("KXNHLGAME", "Pro hockey game", "Hockey", 0, ("SEA", "Seattle"), ("VGK", "Vegas"), 150, 300),
            ("KXNFLGAME", "Pro football game", "Football", 0, ("DAL", "Dallas"), ("PHI", "Philadelphia"), 20, 120),
            ("KXNFLGAME", "Pro football game", "Football", 0, ("KC", "Kansas City"), ("BUF", "Buffalo"), 240, 1800),
            ("KXEPLGAME", "English football game", "Soccer", 0, ("ARS", "Arsenal"), ("LIV", "Liverpool"), 60, 300),
        ];
        for (index, (series, title, tag, shard, away, home, ends, timer)) in GAMES.into_iter().enumerate() {
            let mut spec = series_spec(series, title, "Sports", &[tag], shard);
            spec.source = "ESPN".to_owned();
            spec.frequency = "custom".to_owned();
            spec.fees.fee_type = FeeType::QuadraticWithMakerFees;
            let event = format!("{series}-{}{}{}", self.code_at(self.after(ends)), away.0, home.0);
            let name = format!("{} at {}", away.1, home.1);
            let fair = Px::cents(self.dice.between(25, 75));
            let (end, backstop) = (self.after(ends), self.after(14 * 24 * 60));
            // Football can end in a tie: half a dollar a contract. It is this day's scalar result.
            let tie = tag == "Football" && index == 7;
            let away_wins = if tie { Outcome::Scalar(Px::cents(50)) } else { self.draw(fair) };
            let home_result = match away_wins {
                Outcome::Yes => Outcome::No,
                Outcome::No => Outcome::Yes,
                scalar => scalar,
            };
            let markets = [(away, fair, away_wins), (home, fair.complement(), home_result)]
                .into_iter()
                .map(|((code, team), fair, outcome)| MarketSpec {
                    fair,
                    expected_expiration_time: Some(end),
                    occurrence_time: Some(self.after(ends - 150)),
                    settlement_timer_seconds: timer,
                    strike_type: Some("structured".to_owned()),
                    house_depth: 400,
                    script: Some(Script {
                        determine_at: end,
                        outcome,
                        expiration_value: if tie { "Tie".to_owned() } else { String::new() },
                        dispute: None,
                    }),
                    ..plain_market(
                        &format!("{event}-{code}"),
                        &event,
                        &format!("{name} winner?"),
                        team,
                        self.opened(),
                        backstop,
                    )
                })
                .collect::<Vec<_>>();
            let markets = if index == 4 { disputed(markets) } else { markets };
            let spec_event = EventSpec {
                ticker: event.clone(),
                series_ticker: series.to_owned(),
                title: name,
                sub_title: format!("{} vs {}", away.1, home.1),
                mutually_exclusive: true,
                strike_date: None,
            };
            self.push(spec, spec_event, markets);
        }
    }

    /// Six mutually exclusive markets a city; trading ends at midnight, payment comes the next morning.
    fn temperatures(&mut self) {
        const CITIES: [(&str, &str, i64); 3] =
            [("KXHIGHNY", "NYC", 52), ("KXHIGHCHI", "Chicago", 41), ("KXHIGHMIA", "Miami", 79)];
        for (series, city, around) in CITIES {
            let low = around + self.dice.between(-2, 2) - 4;
            let observed = low + self.dice.between(0, 9);
            let event = format!("{series}-{}", self.code());
            let close = self.midnight();
            let paid = close.checked_add(SignedDuration::from_hours(8)).unwrap_or(close);
            let mut markets = Vec::new();
            for bin in 0..6 {
                let (from, to) = (low + 2 * (bin - 1), low + 2 * (bin - 1) + 1);
                let (suffix, label, kind, floor, cap, hit) = match bin {
                    0 => (format!("T{low}"), format!("{}° or below", low - 1), "less", None, Some(low), observed < low),
                    5 => (
                        format!("T{}", from - 1),
                        format!("{from}° or above"),
                        "greater",
                        Some(from - 1),
                        None,
                        observed >= from,
                    ),
                    _ => {
                        let hit = (from..=to).contains(&observed);
                        (format!("B{from}.5"), format!("{from}° to {to}°"), "between", Some(from), Some(to), hit)
                    }
                };
                let title = format!("Will the high temp in {city} be {label} on {}?", self.long_date());
                markets.push(MarketSpec {
                    fair: Px::cents([6, 14, 30, 30, 14, 6][bin as usize]),
                    expected_expiration_time: Some(paid),
                    settlement_timer_seconds: 3600,
                    strike_type: Some(kind.to_owned()),
                    floor_strike: floor.map(Number::from),
                    cap_strike: cap.map(Number::from),
                    script: Some(Script {
                        determine_at: paid,
                        outcome: if hit { Outcome::Yes } else { Outcome::No },
                        expiration_value: format!("{observed}.00"),
                        dispute: None,
                    }),
                    ..plain_market(&format!("{event}-{suffix}"), &event, &title, &label, self.opened(), close)
                });
            }
            let mut spec = series_spec(
                series,
                &format!("Highest temperature in {city}"),
                "Climate and Weather",
                &["Daily temperature"],
                0,
            );
            spec.source = "The Weather Company".to_owned();
            let spec_event = EventSpec {
                ticker: event,
                series_ticker: series.to_owned(),
                title: format!("Highest temperature in {city} on {}?", self.long_date()),
                sub_title: format!("On {}", self.long_date()),
                mutually_exclusive: true,
                strike_date: Some(close),
            };
            self.push(spec, spec_event, markets);
        }
    }

    /// One market a city; where it rains, the market ends early.
    fn rain(&mut self) {
        const CITIES: [(&str, &str, i64); 6] = [
            ("NYC", "New York", 6),
            ("BOS", "Boston", 15),
            ("CHI", "Chicago", 40),
            ("SEA", "Seattle", 10),
            ("DEN", "Denver", 0),
            ("MIA", "Miami", 90),
        ];
        let event = format!("KXRAIN-{}", self.code());
        let midnight = self.midnight();
        let mut markets = Vec::new();
        for (code, city, falls) in CITIES {
            let fair = Px::cents(if falls == 0 { 12 } else { self.dice.between(45, 80) });
            let (at, outcome) = if falls == 0 { (midnight, Outcome::No) } else { (self.after(falls), Outcome::Yes) };
            markets.push(MarketSpec {
                fair,
                expected_expiration_time: Some(if falls == 0 { midnight } else { at }),
                settlement_timer_seconds: 60,
                strike_type: Some("greater".to_owned()),
                floor_strike: Some(Number::from(0)),
                script: Some(Script { determine_at: at, outcome, expiration_value: String::new(), dispute: None }),
                ..plain_market(
                    &format!("{event}-{code}"),
                    &event,
                    &format!("Will it rain in {city} today?"),
                    city,
                    self.opened(),
                    midnight,
                )
            });
        }
        let mut spec = series_spec("KXRAIN", "Where will it rain?", "Climate and Weather", &["Rain"], 0);
        spec.source = "The Weather Company".to_owned();
        let spec_event = EventSpec {
            ticker: event,
            series_ticker: "KXRAIN".to_owned(),
            title: "Where will it rain today?".to_owned(),
            sub_title: format!("On {}", self.long_date()),
            mutually_exclusive: false,
            strike_date: Some(midnight),
        };
        self.push(spec, spec_event, markets);
    }

    /// Hourly ladders on the finer grid, the first ending soon; later ones open as the day goes on.
    fn crypto(&mut self) {
        let hours = (1..=14).map(|hour| 30 + 60 * hour);
        for ends in [5, 30].into_iter().chain(hours) {
            let close = self.after(ends);
            let local = close.to_zoned(self.zoned.time_zone().clone());
            let event = format!("KXBTCD-{}", self.code_at(close));
            let price = 89_000 + self.dice.between(-600, 600);
            let mut markets = Vec::new();
            for (rung, fair) in [(-500, 88), (-250, 70), (0, 50), (250, 29), (500, 11)] {
                let strike = 89_000 + rung;
                markets.push(MarketSpec {
                    fair: Px::cents(fair),
                    settlement_timer_seconds: 20,
                    grid: Grid::TaperedDeciCent,
                    strike_type: Some("greater".to_owned()),
                    floor_strike: Some(Number::from(strike)),
                    script: Some(Script {
                        determine_at: close.checked_add(SignedDuration::from_secs(5)).unwrap_or(close),
                        outcome: if price > strike { Outcome::Yes } else { Outcome::No },
                        expiration_value: format!("{},{:03}.00", price / 1000, price % 1000),
                        dispute: None,
                    }),
                    ..plain_market(
                        &format!("{event}-T{strike}"),
                        &event,
                        &format!("Bitcoin above ${strike} at {}?", local.strftime("%H:%M")),
                        &format!("${strike} or above"),
                        self.after(ends - 90),
                        close,
                    )
                });
            }
            let mut spec = series_spec("KXBTCD", "Bitcoin price", "Crypto", &["BTC"], 2);
            spec.frequency = "hourly".to_owned();
            let spec_event = EventSpec {
                ticker: event,
                series_ticker: "KXBTCD".to_owned(),
                title: format!("Bitcoin price at {}?", local.strftime("%H:%M")),
                sub_title: local.strftime("%b %-d at %H:%M").to_string(),
                mutually_exclusive: false,
                strike_date: Some(close),
            };
            self.push(spec, spec_event, markets);
        }
    }

    /// One question with one market, open for the last two hours before it ends, or longer already.
    fn question(&mut self, row: Question) {
        let end = self.after(row.ends);
        let event = format!("{}-{}", row.series, self.code_at(end));
        let fair = Px::cents(row.fair);
        let outcome = self.draw(fair);
        let open = if row.ends > 120 { self.after(row.ends - 120) } else { self.opened() };
        let market = MarketSpec {
            fair,
            settlement_timer_seconds: row.timer,
            script: Some(Script { determine_at: end, outcome, expiration_value: String::new(), dispute: None }),
            ..plain_market(&format!("{event}-Y"), &event, row.question, row.yes, open, end)
        };
        let spec_event = EventSpec {
            ticker: event,
            series_ticker: row.series.to_owned(),
            title: row.question.to_owned(),
            sub_title: format!("On {}", self.long_date()),
            mutually_exclusive: false,
            strike_date: Some(end),
        };
        self.push(series_spec(row.series, row.title, row.category, &[row.tag], 0), spec_event, vec![market]);
    }

    fn news(&mut self) {
        NEWS.into_iter().for_each(|question| self.question(question));
    }

    /// What the town itself talks about; the bus is asked about every hour.
    fn town(&mut self) {
        TOWN.into_iter().for_each(|question| self.question(question));
        for hour in 1..=14 {
            self.question(Question { ends: 3 + 60 * hour, ..TOWN[0] });
        }
    }
}

#[derive(Clone, Copy)]
struct Question {
    series: &'static str,
    title: &'static str,
    category: &'static str,
    tag: &'static str,
    question: &'static str,
    yes: &'static str,
    /// Cents.
    fair: i64,
    /// Minutes from now.
    ends: i64,
    /// Seconds from determination to payment.
    timer: i64,
}

macro_rules! questions {
    ($($series:literal, $title:literal, $category:literal, $tag:literal, $question:literal, $yes:literal, $fair:literal, $ends:literal, $timer:literal;)*) => {
        [$(Question {
            series: $series, title: $title, category: $category, tag: $tag, question: $question, yes: $yes,
            fair: $fair, ends: $ends, timer: $timer,
        }),*]
    };
}

const NEWS: [Question; 7] = questions! {
    "KXJOBLESS", "Jobless claims", "Economics", "Employment", "Jobless claims above 225,000 this week?", "Above 225,000", 44, 9, 60;
    "KXGASDAY", "Gas prices", "Economics", "Gas prices", "National gas price below $3.10 today?", "Below $3.10", 63, 35, 120;
    "KXAUCTION", "Treasury auction", "Economics", "Rates", "Ten-year auction yield above 4.1%?", "Above 4.1%", 38, 110, 300;
    "KXTOPSONG", "Top song", "Entertainment", "Music", "Same song on top of the daily chart as yesterday?", "Same song", 71, 7, 60;
    "KXRTSCORE", "Film scores", "Entertainment", "Movies", "New release at 80 or above with critics tonight?", "80 or above", 47, 55, 120;
    "KXAWARDNIGHT", "Award night", "Entertainment", "Awards", "Best film goes to the favourite tonight?", "The favourite", 58, 210, 300;
    "KXHEADLINE", "Mentions", "Politics", "Mentions", "Will the word 'tariff' be said at the briefing?", "It is said", 66, 25, 60;
};

const TOWN: [Question; 8] = questions! {
    "KXTOWNBUS", "Town buses", "Transportation", "Transit", "Will bus 12 run on time this hour?", "On time", 64, 3, 20;
    "KXTOWNBRIDGE", "Harbour bridge", "Transportation", "Traffic", "Harbour bridge open without a jam at the hour?", "No jam", 57, 14, 30;
    "KXTOWNTRAIN", "Evening train", "Transportation", "Transit", "Evening express less than five minutes late?", "Less than five", 69, 50, 60;
    "KXTOWNFLIGHT", "Airport", "Transportation", "Flights", "More than 20 cancelled flights at the airport today?", "More than 20", 22, 130, 120;
    "KXTOWNMARKET", "Market square", "Social", "Town life", "More than 2,000 visitors at the market square today?", "More than 2,000", 53, 6, 30;
    "KXTOWNDERBY", "Town derby", "Social", "Town life", "Do the Harbour boys win the town derby?", "Harbour wins", 49, 18, 30;
    "KXTOWNQUIZ", "Quiz night", "Social", "Town life", "Does the library team win quiz night?", "Library wins", 35, 40, 60;
    "KXTOWNQUEUE", "Bakery queue", "Social", "Town life", "Queue at the old bakery longer than ten?", "Longer than ten", 60, 75, 60;
};

/// The first word was wrong: both markets are disputed before payment and amended to the contrary.
fn disputed(markets: Vec<MarketSpec>) -> Vec<MarketSpec> {
    let contrary = |outcome: Outcome| match outcome {
        Outcome::Yes => Outcome::No,
        Outcome::No => Outcome::Yes,
        scalar => scalar,
    };
    let dispute = |script: Script| {
        let amended = contrary(script.outcome);
        Script { dispute: Some(Dispute { after_seconds: 20, amended }), ..script }
    };
    markets.into_iter().map(|market| MarketSpec { script: market.script.map(dispute), ..market }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Status;
    use std::collections::BTreeMap;

    fn now() -> Timestamp {
        "2026-11-23T17:00:00Z".parse().unwrap()
    }

    #[test]
    fn every_kind_is_there_and_some_end_soon() {
        let mut engine = Engine::new(1, Now { time: now(), wall: 0 });
        for listing in believable(7, now()) {
            listing.list(&mut engine, Now { time: now(), wall: 0 }).unwrap();
        }
        let mut categories: BTreeMap<&str, usize> = BTreeMap::new();
        for (_, event, _) in engine.events.values() {
            *categories.entry(&engine.series[&event.series_ticker].1.category).or_default() += 1;
        }
        for kind in
            ["Sports", "Climate and Weather", "Crypto", "Economics", "Entertainment", "Social", "Transportation"]
        {
            assert!(categories[kind] >= 3, "{kind}: {categories:?}");
        }
        let open = engine.markets.values().filter(|m| m.status() == Status::Active).count();
        assert!(open >= 70 && open < engine.markets.len(), "{open} are open, later hours are not yet");
        let soon = now() + SignedDuration::from_mins(10);
        let ending = engine.markets.values().filter(|m| m.spec.script.as_ref().is_some_and(|s| s.determine_at <= soon));
        assert!(ending.count() >= 8);
        for hours in [40, 41, 42, 43, 44] {
            engine.advance(Now { time: now() + SignedDuration::from_hours(hours), wall: hours });
        }
        assert!(engine.markets.values().all(|m| m.status() == Status::Finalized));
        assert_eq!(engine.audit(), Vec::<String>::new());
    }

    #[test]
    fn the_same_seed_gives_the_same_day() {
        let text = |seed| serde_json::to_string(&believable(seed, now())).unwrap();
        assert_eq!(text(3), text(3));
        assert_ne!(text(3), text(4));
    }

    #[test]
    fn exactly_one_temperature_comes_true() {
        for seed in 0..50 {
            for listing in believable(seed, now()).into_iter().filter(|l| l.series.ticker.starts_with("KXHIGH")) {
                let yes =
                    listing.markets.iter().filter_map(|m| m.script.as_ref()).filter(|s| s.outcome == Outcome::Yes);
                assert_eq!(yes.count(), 1, "{} seed {seed}", listing.event.ticker);
            }
        }
    }
}
