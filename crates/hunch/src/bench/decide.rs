//! A decision in process: fifty candidates weighed for one member, by a model unless `--rule` is given. The floor is SHA-256 over the names of the same
//! candidates, which every logged decision needs.

use hunch_engage::{Allowed, Candidate, Features, Learner, MarketCandidate, OfferCandidate, Situation, decide};
use hunch_kernel::{MarketTicker, MerchantId, Points, Price, derived_uuid};
use jiff::SignedDuration;
use ring::digest::{Context, SHA256};
use std::hint::black_box;
use std::time::{Duration, Instant};
use uuid::Uuid;

use crate::bench::{Figures, Measured, cpu_seconds, measured};
use crate::clock::clocks;

#[derive(clap::Args, Debug)]
pub struct DecideBench {
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    #[arg(long, default_value_t = 50)]
    candidates: usize,
    /// Without a model.
    #[arg(long)]
    rule: bool,
}

pub fn run(options: &DecideBench) -> anyhow::Result<Measured> {
    let now = clocks(1, None).business.now();
    let candidates: Vec<Candidate> = (0..options.candidates)
        .map(|n| {
            let ends_at = now + SignedDuration::from_mins(60 + n as i64);
            if n % 10 == 0 {
                Candidate::Offer(OfferCandidate {
                    limited: false,
                    offer: Uuid::from_u128(n as u128),
                    merchant: MerchantId(Uuid::from_u128(n as u128 % 7)),
                    merchant_name: "Rosa's Bakery".to_owned(),
                    merchant_category: "bakery".to_owned(),
                    title: "A second loaf".to_owned(),
                    bonus: Points(20),
                    ends_at,
                })
            } else {
                Candidate::Market(MarketCandidate {
                    ticker: MarketTicker(format!("KXBENCH-26-{n}")),
                    title: "Will it rain in Boston?".to_owned(),
                    category: ["sports", "events", "weather", "local"][n % 4].to_owned(),
                    yes_price: Price::from_micros(10_000 * (1 + n as i64 % 98)).ok(),
                    ends_at,
                })
            }
        })
        .collect();
    let lasting = Duration::from_secs(options.seconds);

    let (mut floor, begun) = (0u64, Instant::now());
    while begun.elapsed() < lasting {
        let mut hash = Context::new(&SHA256);
        for candidate in &candidates {
            match candidate {
                Candidate::Market(market) => hash.update(market.ticker.as_str().as_bytes()),
                Candidate::Offer(offer) => hash.update(offer.offer.as_bytes()),
            }
        }
        black_box(hash.finish());
        floor += 1;
    }
    let floor = floor as f64 / begun.elapsed().as_secs_f64();

    let features = Features { purchases_7d: 3, purchases_30d: 9, points_30d: 400, ..Features::default() };
    let situation = Situation {
        now,
        merchant: Some(MerchantId(Uuid::from_u128(1))),
        merchant_category: Some("bakery".to_owned()),
        prompts_24h: 1,
        prompts_7d: 4,
    };
    let prompts = ["sports", "events", "weather", "local"].map(|category| (category.to_owned(), Ok(())));
    let allowed = Allowed { prompts: prompts.into(), offers: Ok(()), day_ends: jiff::Timestamp::MAX };
    let learner = (!options.rule).then(Learner::untaught).transpose()?;
    let (mut latencies, cpu, begun) = (Vec::new(), cpu_seconds(), Instant::now());
    let mut n = 0u64;
    while begun.elapsed() < lasting {
        n += 1;
        let seed = derived_uuid(&[b"bench", &n.to_be_bytes()]).as_u64_pair().0;
        let deciding = Instant::now();
        black_box(decide(&features, &situation, &candidates, &allowed, learner.as_ref(), seed));
        latencies.push(deciding.elapsed());
    }
    let took = begun.elapsed();
    let done = latencies.len() as f64;
    let figures = Figures { done, took, cpu: cpu_seconds() - cpu, wal: 0.0, floor, clients: 1, batch: 1 };
    Ok(measured("decide", &mut latencies, &figures))
}
