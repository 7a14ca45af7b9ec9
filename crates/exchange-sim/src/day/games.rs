//! Games of the big leagues. One ends with a tie, one with a result that is disputed and amended.

use super::Day;
use crate::fees::FeeType;
use crate::listing::{plain_market, series_spec};
use crate::model::{Dispute, EventSpec, MarketSpec, Outcome, Script};
use crate::units::Px;

struct League {
    series: &'static str,
    title: &'static str,
    tag: &'static str,
    shard: usize,
}

/// A team's code in tickers, and its name.
type Team = (&'static str, &'static str);

struct Game {
    league: &'static League,
    away: Team,
    home: Team,
    /// Minutes from now.
    ends: i64,
    /// Seconds from determination to payment.
    timer: i64,
    finish: Finish,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Finish {
    Won,
    /// Half a dollar a contract: this day's scalar result.
    Tie,
    /// The first word was wrong: both markets are disputed before payment and amended to the contrary.
    Disputed,
}
use Finish::{Disputed, Tie, Won};

const NBA: League = League { series: "KXNBAGAME", title: "Pro basketball game", tag: "Basketball", shard: 3 };
const NHL: League = League { series: "KXNHLGAME", title: "Pro hockey game", tag: "Hockey", shard: 0 };
const NFL: League = League { series: "KXNFLGAME", title: "Pro football game", tag: "Football", shard: 0 };
const EPL: League = League { series: "KXEPLGAME", title: "English football game", tag: "Soccer", shard: 0 };

macro_rules! games {
    ($($league:ident, $away:expr, $home:expr, $ends:literal, $timer:literal, $finish:ident;)*) => {
        [$(Game { league: &$league, away: $away, home: $home, ends: $ends, timer: $timer, finish: $finish }),*]
    };
}

const GAMES: [Game; 10] = games! {
    NBA, ("NYK", "New York"), ("BOS", "Boston"), 4, 30, Won;
    NBA, ("MIA", "Miami"), ("CHI", "Chicago"), 12, 60, Won;
    NBA, ("LAL", "Los Angeles L"), ("DEN", "Denver"), 45, 300, Won;
    NBA, ("PHX", "Phoenix"), ("GSW", "Golden State"), 200, 300, Won;
    NHL, ("NYR", "New York R"), ("TOR", "Toronto"), 8, 60, Disputed;
    NHL, ("BUF", "Buffalo"), ("MTL", "Montreal"), 30, 120, Won;
    NHL, ("SEA", "Seattle"), ("VGK", "Vegas"), 150, 300, Won;
    NFL, ("DAL", "Dallas"), ("PHI", "Philadelphia"), 20, 120, Tie;
    NFL, ("KC", "Kansas City"), ("BUF", "Buffalo"), 240, 1800, Won;
    EPL, ("ARS", "Arsenal"), ("LIV", "Liverpool"), 60, 300, Won;
};

impl Day {
    pub(super) fn games(&mut self) {
        GAMES.iter().for_each(|game| self.game(game));
    }

    /// One market per team. They close when the winner is known; `close_time` is a far backstop.
    fn game(&mut self, game: &Game) {
        let Game { league, away, home, ends, timer, finish } = *game;
        let mut series = series_spec(league.series, league.title, "Sports", &[league.tag], league.shard);
        series.source = "ESPN".to_owned();
        series.frequency = "custom".to_owned();
        series.fees.fee_type = FeeType::QuadraticWithMakerFees;
        let (end, backstop) = (self.after(ends), self.after(14 * 24 * 60));
        let event = format!("{}-{}{}{}", league.series, self.code_at(end), away.0, home.0);
        let name = format!("{} at {}", away.1, home.1);
        let fair = Px::cents(self.dice.between(25, 75));
        let away_result = if finish == Tie { Outcome::Scalar(Px::cents(50)) } else { self.draw(fair) };
        let sides = [(away, fair, away_result), (home, fair.complement(), contrary(away_result))];
        let markets = sides.map(|((code, team), fair, outcome)| {
            let ticker = format!("{event}-{code}");
            MarketSpec {
                fair,
                expected_expiration_time: Some(end),
                occurrence_time: Some(self.after(ends - 150)),
                settlement_timer_seconds: timer,
                strike_type: Some("structured".to_owned()),
                house_depth: 400,
                script: Some(Script {
                    determine_at: end,
                    outcome,
                    expiration_value: if finish == Tie { "Tie".to_owned() } else { String::new() },
                    dispute: (finish == Disputed).then(|| Dispute { after_seconds: 20, amended: contrary(outcome) }),
                }),
                ..plain_market(&ticker, &event, &format!("{name} winner?"), team, self.opened(), backstop)
            }
        });
        let event = EventSpec {
            ticker: event,
            series_ticker: league.series.to_owned(),
            title: name,
            sub_title: format!("{} vs {}", away.1, home.1),
            mutually_exclusive: true,
            strike_date: None,
        };
        self.push(series, event, markets.into());
    }
}

fn contrary(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Yes => Outcome::No,
        Outcome::No => Outcome::Yes,
        scalar => scalar,
    }
}
