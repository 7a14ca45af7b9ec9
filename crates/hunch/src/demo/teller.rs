//! What the demonstration says while the town lives.

use hunch_town::Happening;
use std::time::Duration;
use tokio::sync::mpsc;

/// Tells the town's life a line a second.
pub async fn tell(mut happenings: mpsc::UnboundedReceiver<Happening>) {
    let (mut bought, mut points, mut lit, mut staked, mut refused) = (0u64, 0i64, 0u64, 0u64, 0u64);
    // The rarer it is, the rather it is told.
    let mut news: (u8, String) = (0, String::new());
    let mut second = tokio::time::interval(Duration::from_secs(1));
    second.tick().await;
    loop {
        tokio::select! {
            happening = happenings.recv() => {
                let Some(happening) = happening else { return };
                let told = match happening {
                    Happening::Bought { who, shop, points: earned } => {
                        bought += 1;
                        points += earned;
                        (0, format!("🛍  {who} earned {earned} {} at {shop}", if earned == 1 { "point" } else { "points" }))
                    }
                    Happening::Returned { shop, points: taken } => {
                        (2, format!("↩  a basket came back to {shop}, {taken} points with it"))
                    }
                    Happening::Staked { who, points, title } => {
                        staked += 1;
                        (3, format!("🎯 {who} stakes {points} points: {title}"))
                    }
                    Happening::Refused { who, code } => {
                        refused += 1;
                        (2, format!("✋ {who} may not stake: {}", code.replace('-', " ")))
                    }
                    Happening::Pushed { who, text } => {
                        lit += 1;
                        (if text.contains("available") { 4 } else { 1 }, format!("📱 {who}'s phone: {text}"))
                    }
                };
                if told.0 >= news.0 {
                    news = told;
                }
            }
            _ = second.tick() => {
                let (_, text) = std::mem::take(&mut news);
                eprintln!("{bought:>7} baskets {points:>9} points {lit:>6} pushes {staked:>5} stakes {refused:>4} refused   {text}");
            }
        }
    }
}
