//! A state for each id that was seen.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// States in the order in which their ids were first seen, so that equal pasts are stored as equal bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "Vec<(u64, T)>", into = "Vec<(u64, T)>", bound = "T: Clone + Serialize + serde::de::DeserializeOwned")]
pub struct Slots<T> {
    states: Vec<(u64, T)>,
    places: HashMap<u64, usize>,
}

impl<T> Default for Slots<T> {
    fn default() -> Slots<T> {
        Slots { states: Vec::new(), places: HashMap::new() }
    }
}

impl<T: Default> Slots<T> {
    /// The state of `id`, which begins when it is first asked for.
    pub fn of(&mut self, id: u64) -> &mut T {
        let place = *self.places.entry(id).or_insert_with(|| {
            self.states.push((id, T::default()));
            self.states.len() - 1
        });
        &mut self.states[place].1
    }
}

impl<T> From<Vec<(u64, T)>> for Slots<T> {
    fn from(states: Vec<(u64, T)>) -> Slots<T> {
        let places = states.iter().enumerate().map(|(place, (id, _))| (*id, place)).collect();
        Slots { states, places }
    }
}

impl<T> From<Slots<T>> for Vec<(u64, T)> {
    fn from(slots: Slots<T>) -> Vec<(u64, T)> {
        slots.states
    }
}
