//! From coordinates to a jurisdiction, offline. The coordinates are used here and kept nowhere.

use country_boundaries::{BOUNDARIES_ODBL_360X180, CountryBoundaries, LatLon};
use std::sync::OnceLock;

static BOUNDARIES: OnceLock<Option<CountryBoundaries>> = OnceLock::new();
/// Less exact than this is no place.
const ACCURACY_METRES_MAX: f64 = 5_000.0;
const METRES_A_DEGREE: f64 = 111_320.0;

/// The state (`US-NY`) or country (`FR`) where someone is, or `None` if that cannot be said: a border within the
/// stated accuracy makes it unknown, since what is unknown is denied.
pub fn jurisdiction_at(latitude: f64, longitude: f64, accuracy_metres: f64) -> Option<String> {
    let plausible =
        latitude.abs() <= 90.0 && longitude.abs() <= 180.0 && (0.0..=ACCURACY_METRES_MAX).contains(&accuracy_metres);
    if !plausible {
        return None;
    }
    let boundaries =
        BOUNDARIES.get_or_init(|| CountryBoundaries::from_reader(BOUNDARIES_ODBL_360X180).ok()).as_ref()?;
    let north = accuracy_metres / METRES_A_DEGREE;
    let east = north / latitude.to_radians().cos().max(0.01);
    let mut found: Option<String> = None;
    for (up, right) in [
        (0.0, 0.0),
        (1.0, 0.0),
        (-1.0, 0.0),
        (0.0, 1.0),
        (0.0, -1.0),
        (0.7, 0.7),
        (0.7, -0.7),
        (-0.7, 0.7),
        (-0.7, -0.7),
    ] {
        let place = LatLon::new(latitude + up * north, longitude + right * east).ok()?;
        let here = most_specific(&boundaries.ids(place))?;
        match &found {
            Some(before) if *before != here => return None,
            _ => found = Some(here),
        }
    }
    found
}

/// A state names its country too; the longer name is the state.
fn most_specific(ids: &[&str]) -> Option<String> {
    let states: Vec<&&str> = ids.iter().filter(|id| id.contains('-')).collect();
    match (states.as_slice(), ids) {
        ([state], _) => Some((**state).to_owned()),
        ([], [country]) => Some((*country).to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_on_both_sides_of_borders() {
        let place = |lat, lon, accuracy| jurisdiction_at(lat, lon, accuracy);
        assert_eq!(place(40.7484, -73.9857, 20.0).as_deref(), Some("US-NY"));
        assert_eq!(place(40.7178, -74.0431, 20.0).as_deref(), Some("US-NJ"));
        assert_eq!(place(42.3601, -71.0589, 50.0).as_deref(), Some("US-MA"));
        assert_eq!(place(36.1699, -115.1398, 50.0).as_deref(), Some("US-NV"));
        assert_eq!(place(48.8566, 2.3522, 50.0).map(|p| p[..2].to_owned()).as_deref(), Some("FR"));
        assert_eq!(place(40.7484, -73.9857, 4_500.0), None, "New Jersey is across the river");
        assert_eq!(place(38.9592, -119.9399, 500.0), None, "Stateline");
        assert_eq!(place(-45.0, -130.0, 20.0), None, "at sea");
        for nonsense in [
            (f64::NAN, 0.0, 1.0),
            (91.0, 0.0, 1.0),
            (0.0, 181.0, 1.0),
            (40.0, -74.0, -1.0),
            (40.0, -74.0, f64::INFINITY),
            (40.0, -74.0, f64::NAN),
        ] {
            assert_eq!(place(nonsense.0, nonsense.1, nonsense.2), None);
        }
    }
}
