//! Questions with one market each: the news, and what the town itself talks about.

use super::Day;
use crate::listing::{plain_market, series_spec};
use crate::model::{EventSpec, MarketSpec, Script};
use crate::units::Px;

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

impl Day {
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

    pub(super) fn news(&mut self) {
        NEWS.into_iter().for_each(|question| self.question(question));
    }

    /// What the town itself talks about; the bus is asked about every hour.
    pub(super) fn town(&mut self) {
        TOWN.into_iter().for_each(|question| self.question(question));
        for hour in 1..=14 {
            self.question(Question { ends: 3 + 60 * hour, ..TOWN[0] });
        }
    }
}
