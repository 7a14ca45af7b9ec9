//! The ledger's SQL: loads a batch's state with `= ANY`, writes its effects with `UNNEST`.

mod journeys;
mod load;
mod provisional;
mod write;

use uuid::Uuid;

pub(crate) use load::load;
pub(crate) use write::write;

fn unique(ids: impl Iterator<Item = Uuid>) -> Vec<Uuid> {
    let mut all: Vec<Uuid> = ids.collect();
    all.sort();
    all.dedup();
    all
}
