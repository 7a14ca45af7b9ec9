//! Whose requests the database refused: their next ones wait apart and go one by one, so that whoever hands in what cannot be
//! stored slows down nobody else. Pure.

use std::collections::HashMap;
use uuid::Uuid;

/// How many requests of a watched origin must go well before its requests go with those of others again.
const GOOD_REQUESTS: u32 = 20;

/// Origins that are watched, each with the good requests that it still owes.
#[derive(Debug, Default)]
pub(crate) struct Watch(HashMap<Uuid, u32>);

impl Watch {
    pub fn is_watched(&self, origin: Option<Uuid>) -> bool {
        origin.is_some_and(|origin| self.0.contains_key(&origin))
    }

    /// A request of this origin was refused by the database.
    pub fn parked(&mut self, origin: Uuid) {
        self.0.insert(origin, GOOD_REQUESTS);
    }

    /// A request of this origin went well while it was watched.
    pub fn went_well(&mut self, origin: Uuid) {
        if let Some(left) = self.0.get_mut(&origin) {
            *left -= 1;
            if *left == 0 {
                self.0.remove(&origin);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_done_well_for_a_while_is_trusted_again() {
        let (bad, good) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let mut watch = Watch::default();
        watch.parked(bad);
        watch.went_well(good);
        assert!(watch.is_watched(Some(bad)) && !watch.is_watched(Some(good)) && !watch.is_watched(None));
        (1..GOOD_REQUESTS).for_each(|_| watch.went_well(bad));
        assert!(watch.is_watched(Some(bad)));
        watch.parked(bad);
        (1..GOOD_REQUESTS).for_each(|_| watch.went_well(bad));
        assert!(watch.is_watched(Some(bad)), "one more refusal begins it anew");
        watch.went_well(bad);
        assert!(!watch.is_watched(Some(bad)));
    }
}
