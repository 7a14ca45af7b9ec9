//! The demonstration's last line, for programs and for people.

use hunch_audit::AuditReport;
use hunch_town::{Percentiles, Summary};
use hunch_trading::TradingFigures;
use serde::Serialize;
use std::collections::BTreeMap;

use super::closing::Closed;

#[derive(Serialize)]
pub struct LastLine {
    members: usize,
    merchants: usize,
    purchases: u64,
    points_issued: i64,
    returns: u64,
    repeats: u64,
    decisions: i64,
    pushes_sent: u64,
    pushes_withheld: BTreeMap<String, i64>,
    stakes: u64,
    stakes_refused: BTreeMap<String, u64>,
    orders: Orders,
    markets_settled: i64,
    /// Positions paid, by result.
    results: BTreeMap<String, i64>,
    amended: i64,
    positions_paid: i64,
    points_paid: i64,
    /// Returns that took winnings back.
    clawbacks: u64,
    latency_ms: LatencyMs,
    audit: AuditReport,
    data: Data,
}

#[derive(Serialize)]
struct Orders {
    filled: i64,
    partial: i64,
    killed: i64,
    refused: i64,
    /// Of all these, how many were unknown for a while.
    unknown_resolved: i64,
    /// Not over when the town closed.
    open: i64,
}

#[derive(Serialize)]
struct LatencyMs {
    request_answer: Percentiles,
    purchase_push: Percentiles,
    /// From our first sight of a final result to the member's points.
    final_credited: Percentiles,
}

#[derive(Serialize)]
pub struct Data {
    pub source: String,
    pub rows: usize,
}

impl LastLine {
    pub fn new(summary: Summary, closed: Closed, data: Data) -> LastLine {
        let Closed { decisions, pushes_withheld, figures, amended, audit } = closed;
        LastLine {
            members: summary.members,
            merchants: summary.merchants,
            purchases: summary.purchases,
            points_issued: summary.points_issued,
            returns: summary.returns,
            repeats: summary.repeats,
            decisions,
            pushes_sent: summary.pushes_sent,
            pushes_withheld,
            stakes: summary.stakes,
            stakes_refused: summary.stakes_refused,
            orders: Orders {
                filled: figures.orders.filled,
                partial: figures.orders.partial,
                killed: figures.orders.killed,
                refused: figures.orders.refused,
                unknown_resolved: figures.orders.unknown_resolved,
                open: figures.orders.open,
            },
            markets_settled: figures.markets_settled,
            results: figures.results,
            amended,
            positions_paid: figures.positions_paid,
            points_paid: figures.points_paid,
            clawbacks: summary.clawbacks,
            latency_ms: LatencyMs {
                request_answer: summary.request_answer,
                purchase_push: summary.purchase_push,
                final_credited: Percentiles {
                    p50: figures.final_credited.p50,
                    p95: figures.final_credited.p95,
                    p99: figures.final_credited.p99,
                    n: usize::try_from(figures.final_credited.n).unwrap_or(0),
                },
            },
            audit,
            data,
        }
    }
}

pub fn in_words(summary: &Summary, figures: &TradingFigures) -> String {
    format!(
        "{} purchases of {} members at {} shops earned {} points; {} came back; {} phones lit up. {} stakes went to the exchange, {} were refused; {} markets ended and paid {} points. A till's answer took {:.1} ms at the median, {:.1} ms at worst for 99 of 100.",
        summary.purchases,
        summary.members,
        summary.merchants,
        summary.points_issued,
        summary.returns,
        summary.pushes_sent,
        summary.stakes,
        summary.stakes_refused.values().sum::<u64>(),
        figures.markets_settled,
        figures.points_paid,
        summary.request_answer.p50,
        summary.request_answer.p99
    )
}
