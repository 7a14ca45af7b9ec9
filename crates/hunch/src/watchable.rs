//! What makes a demonstration worth watching when the exchange is our own simulator: markets that end within a minute, one
//! as a tie, one disputed and amended before it is paid, and now and then one fault of each class. Everything goes
//! through the simulator's control interface; the programme hears of it over the exchange's protocol like anyone.

use hunch_exchange_sim::day::time_of_day;
use hunch_exchange_sim::{Dispute, Fault, FaultKind, Listing, Outcome, Px, Qty, Script, SimHandle};
use hunch_kernel::{Clocks, SharedEntropy};
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Wall seconds between two waves, from a wave to its markets' end, and from the result to the payment.
const WAVE_EVERY: u64 = 5;
const WAVE_LASTS: i64 = 35;
const TIMER: i64 = 4;
/// Markets that are there from the start, ending one after the other.
const FIRST: usize = 9;

/// (series, category, tag, question, what YES says)
const QUESTIONS: [(&str, &str, &str, &str, &str); 8] = [
    ("KXNEXTBUS", "Transportation", "Transit", "Is bus 12 on time at {}?", "On time"),
    ("KXPENALTY", "Sports", "Soccer", "Harbour boys: a goal before {}?", "A goal"),
    ("KXDRIZZLE", "Climate and Weather", "Rain", "A drop of rain on the square by {}?", "Rain"),
    ("KXQUIZNEXT", "Entertainment", "Trivia", "Quiz night: next answer right by {}?", "Right"),
    ("KXFERRY", "Transportation", "Traffic", "Does the ferry leave before {}?", "It leaves"),
    ("KXNEXTPOINT", "Sports", "Tennis", "Town open: server takes the game by {}?", "The server"),
    ("KXGUST", "Climate and Weather", "Wind", "A gust above 30 at the pier by {}?", "Above 30"),
    ("KXENCORE", "Entertainment", "Music", "Band on the square: an encore by {}?", "An encore"),
];

/// One fault of each class, in turn: (wall seconds after the one before, fault).
fn faults() -> [(u64, FaultKind); 8] {
    [
        (12, FaultKind::PartialFill { at_most: Qty(11) }),
        (5, FaultKind::PartialFill { at_most: Qty(0) }),
        (5, FaultKind::TimeoutAfterAccept { hold_ms: 400 }),
        (6, FaultKind::DuplicateMessage),
        (6, FaultKind::Error5xx { status: 502, after_accept: true }),
        (6, FaultKind::DropSocket { now: true }),
        (6, FaultKind::RateLimit),
        (6, FaultKind::LoseMessage),
    ]
}

/// What the markets are made with.
pub struct Stage {
    pub simulator: Arc<SimHandle>,
    pub clocks: Clocks,
    pub entropy: SharedEntropy,
    /// The town's; times in questions are shown in it.
    pub zone: TimeZone,
    pub speed: u32,
}

impl Stage {
    /// Lists waves of markets and arms faults until told to stop.
    pub async fn play(self, stop: CancellationToken) {
        let mut listed = 0;
        for n in 0..FIRST {
            self.list(&mut listed, 14 + 4 * n as i64);
        }
        let mut wave = tokio::time::interval(Duration::from_secs(WAVE_EVERY));
        let all = faults();
        let mut next_fault = 0;
        let trouble = tokio::time::sleep(Duration::from_secs(all[0].0));
        tokio::pin!(trouble);
        loop {
            tokio::select! {
                _ = wave.tick() => self.list(&mut listed, WAVE_LASTS),
                () = &mut trouble => {
                    self.simulator.inject(Fault::once(all[next_fault].1.clone()));
                    next_fault = (next_fault + 1) % all.len();
                    trouble.as_mut().reset(tokio::time::Instant::now() + Duration::from_secs(all[next_fault].0));
                }
                () = stop.cancelled() => return,
            }
        }
    }

    fn list(&self, listed: &mut usize, lasts: i64) {
        let listing = listing(self, *listed, lasts);
        *listed += 1;
        if let Err(refusal) = self.simulator.list(&listing) {
            tracing::warn!(error = refusal.to_string(), "a market to watch is not listed");
        }
    }
}

/// Market number `n`, ending in `lasts` wall seconds of a clock that runs `speed` times as fast.
fn listing(stage: &Stage, n: usize, lasts: i64) -> Listing {
    let Stage { clocks, entropy, zone, .. } = stage;
    let (now, speed) = (clocks.business.now(), i64::from(stage.speed));
    let later = |seconds: i64| now.saturating_add(SignedDuration::from_secs(seconds * speed)).unwrap_or(now);
    let (series, category, tag, question, yes) = QUESTIONS[n % QUESTIONS.len()];
    let end = later(lasts);
    let shown = time_of_day(&end.to_zoned(zone.clone()), "%H:%M:%S");
    let ticker = format!("{series}-{}-Y", end.strftime("%y%b%d%H%M%S").to_string().to_uppercase());
    let cents = 25 + (entropy.uuid().as_u64_pair().0 % 51) as i64;
    let wins = (entropy.uuid().as_u64_pair().0 % 100) < cents as u64;
    let outcome = if wins { Outcome::Yes } else { Outcome::No };
    let contrary = if wins { Outcome::No } else { Outcome::Yes };
    let mut listing = Listing::single(&ticker, category, now, end).settlement_timer(TIMER * speed);
    listing.series.tags = vec![tag.to_owned()];
    let market = &mut listing.markets[0];
    market.title = question.replace("{}", &shown);
    listing.event.title.clone_from(&market.title);
    market.yes_sub_title = yes.to_owned();
    market.no_sub_title = yes.to_owned();
    market.fair = Px::cents(cents);
    market.house_depth = 300;
    market.script = Some(Script {
        determine_at: end,
        // Every seventh is a tie, every eleventh is disputed before it is paid.
        outcome: if n % 7 == 2 { Outcome::Scalar(Px::cents(50)) } else { outcome },
        expiration_value: String::new(),
        dispute: (n % 11 == 4).then_some(Dispute { after_seconds: (TIMER / 2) * speed, amended: contrary }),
    });
    listing
}
