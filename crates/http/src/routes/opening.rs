//! Whether stakes are taken just now, in words and times of the member's own zone.

use hunch_kernel::MemberId;
use hunch_trading::{Openness, QuoteRefusal, StakeRefusal};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::problem::Problem;

/// Whether stakes are taken just now. Earning goes on all the same.
#[derive(Serialize, ToSchema)]
pub struct StakesBody {
    pub open: bool,
    /// paused: by the operator. exchange_closed: the exchange takes no orders. exchange_unknown: it has not said for half a
    /// minute whether it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// When stakes are expected to be taken again, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub until: Option<Timestamp>,
    /// A sentence for the member.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl StakesBody {
    /// # Errors
    /// When the database fails.
    pub async fn of(app: &App, member: MemberId) -> Result<StakesBody, Problem> {
        if !app.trading.staking().await?.on {
            return Ok(StakesBody::closed("paused", None, QuoteRefusal::Paused.to_string()));
        }
        Ok(match app.trading.openness().await {
            Openness::Open => StakesBody { open: true, reason: None, until: None, detail: None },
            Openness::Unknown => {
                StakesBody::closed("exchange_unknown", None, QuoteRefusal::ExchangeUnknown.to_string())
            }
            Openness::Closed { until } => {
                let refused = QuoteRefusal::ExchangeClosed { until }.to_string();
                StakesBody::closed("exchange_closed", until, with_time(app, member, refused, until).await)
            }
        })
    }

    fn closed(reason: &'static str, until: Option<Timestamp>, detail: String) -> StakesBody {
        StakesBody { open: false, reason: Some(reason), until, detail: Some(detail) }
    }
}

pub(crate) async fn quote_problem(app: &App, member: MemberId, refusal: QuoteRefusal) -> Problem {
    match refusal {
        QuoteRefusal::ExchangeClosed { until } => timed(app, member, refusal.into(), until).await,
        other => other.into(),
    }
}

pub(crate) async fn stake_problem(app: &App, member: MemberId, refusal: StakeRefusal) -> Problem {
    match refusal {
        StakeRefusal::ExchangeClosed { until } => timed(app, member, refusal.into(), until).await,
        other => other.into(),
    }
}

async fn timed(app: &App, member: MemberId, problem: Problem, until: Option<Timestamp>) -> Problem {
    let sentence = problem.detail.unwrap_or_default();
    Problem::new(problem.kind, with_time(app, member, sentence, until).await)
}

/// The sentence, and when it is expected to be over. Without the member's zone no time is told.
async fn with_time(app: &App, member: MemberId, sentence: String, until: Option<Timestamp>) -> String {
    let Some(until) = until else { return sentence };
    let Ok(Some(known)) = app.people.member(member).await else { return sentence };
    let Ok(zone) = TimeZone::get(&known.home_zone) else { return sentence };
    format!("{sentence} It expects to open again {}.", when(until, app.clocks.business.now(), &zone))
}

/// "at 5:00 AM", and on which day if that is another one.
fn when(until: Timestamp, now: Timestamp, zone: &TimeZone) -> String {
    let (until, now) = (until.to_zoned(zone.clone()), now.to_zoned(zone.clone()));
    let day = if until.date() == now.date() { String::new() } else { until.strftime(" on %A, %B %-d").to_string() };
    format!("at {}{day}", until.strftime("%-I:%M %p"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_the_members_and_the_day_is_told_when_it_is_another() {
        let zone = TimeZone::get("America/New_York").unwrap();
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let now = at("2026-11-26T08:30:00Z");
        assert_eq!(when(at("2026-11-26T10:00:00Z"), now, &zone), "at 5:00 AM");
        assert_eq!(when(at("2026-11-27T18:05:00Z"), now, &zone), "at 1:05 PM on Friday, November 27");
    }
}
