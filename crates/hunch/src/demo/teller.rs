//! What the demonstration says while the town lives.

use hunch_town::Happening;
use std::time::Duration;
use tokio::sync::mpsc;

/// What was counted so far. The last line and the summary count the same things.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub purchases: u64,
    pub points: i64,
    pub pushes: u64,
    pub stakes: u64,
    pub refused: u64,
}

impl Tally {
    fn line(&self, news: &str) -> String {
        let Tally { purchases, points, pushes, stakes, refused } = self;
        format!(
            "{purchases:>7} baskets {points:>9} points {pushes:>6} pushes {stakes:>5} stakes {refused:>4} refused   {news}"
        )
    }

    /// Counts what happened and says it, with how rare it is: the rarer, the rather it is told.
    fn count(&mut self, happening: Happening) -> (u8, String) {
        match happening {
            Happening::Bought { who, shop, points: earned } => {
                self.purchases += 1;
                self.points += earned;
                let unit = if earned == 1 { "point" } else { "points" };
                (0, format!("🛍  {who} earned {earned} {unit} at {shop}"))
            }
            Happening::HandedIn { shop, purchases, points } => {
                self.purchases += purchases;
                self.points += points;
                (1, format!("🧾 {shop} hands in {purchases} receipts of yesterday"))
            }
            Happening::Returned { shop, points: taken } => {
                (2, format!("↩  a basket came back to {shop}, {taken} points with it"))
            }
            Happening::Staked { who, points, title } => {
                self.stakes += 1;
                (3, format!("🎯 {who} stakes {points} points: {title}"))
            }
            Happening::Refused { who, code } => {
                self.refused += 1;
                (2, format!("✋ {who} may not stake: {}", code.replace('-', " ")))
            }
            Happening::Pushed { who, text } => {
                self.pushes += 1;
                (if text.contains("available") { 4 } else { 1 }, format!("📱 {who}'s phone: {text}"))
            }
            Happening::Closing { step } => (0, step),
        }
    }
}

/// Tells the town's life a line a second, and each step of its closing at once. Gives the final count.
pub async fn tell(mut happenings: mpsc::UnboundedReceiver<Happening>) -> Tally {
    let mut tally = Tally::default();
    let mut news: (u8, String) = (0, String::new());
    let mut told = Tally::default();
    let mut closing = false;
    let mut second = tokio::time::interval(Duration::from_secs(1));
    second.tick().await;
    loop {
        tokio::select! {
            happening = happenings.recv() => {
                let Some(happening) = happening else {
                    if tally != told {
                        eprintln!("{}", tally.line(""));
                    }
                    return tally;
                };
                if let Happening::Closing { step } = happening {
                    closing = true;
                    eprintln!("{step}");
                    continue;
                }
                let said = tally.count(happening);
                if said.0 >= news.0 {
                    news = said;
                }
            }
            // A town that is closing has nothing to say while nothing more is counted.
            _ = second.tick(), if !closing || tally != told => {
                eprintln!("{}", tally.line(&std::mem::take(&mut news).1));
                told = tally.clone();
            }
        }
    }
}
