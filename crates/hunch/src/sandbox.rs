//! A sandbox is a programme that was made as one: its database says so from its first moment and for ever. What only a
//! sandbox may do is refused everywhere else, at the start.

use anyhow::{Context, ensure};
use hunch_db::Database;
use hunch_safeguards::TownPlace;
use std::str::FromStr;

use crate::settings::Settings;

/// How exact a place is that does not say it.
const ACCURACY_METRES: f64 = 25.0;

/// Refuses what only a sandbox may do, in a programme that is none.
///
/// # Errors
/// The first setting that a programme with real members must not have.
pub async fn check(settings: &Settings, database: &Database) -> anyhow::Result<()> {
    let sandbox = hunch_people::is_sandbox(database.app()).await?;
    wanted(settings).map_or(Ok(()), |switch| {
        ensure!(
            sandbox,
            "{switch} is for a sandbox, and this programme was not made as one; take the setting away, or make a sandbox in \
             another folder: HUNCH_DATABASE__FOLDER=… HUNCH_SANDBOX__CREATE=true"
        );
        Ok(())
    })
}

/// The first setting that only a sandbox may have.
fn wanted(settings: &Settings) -> Option<&'static str> {
    let differs = |key: &str, plain: &str| settings.text(key) != plain;
    [("sandbox.create", "false"), ("sandbox.place", ""), ("clock.speed", "1"), ("push.allow_loopback_http", "false")]
        .into_iter()
        .find(|(key, plain)| differs(key, plain))
        .map(|(key, _)| key)
}

/// The town of the sandbox: `latitude,longitude` or `latitude,longitude,accuracy in metres`.
///
/// # Errors
/// When it is something else.
pub fn place(settings: &Settings) -> anyhow::Result<Option<TownPlace>> {
    let text = settings.text("sandbox.place");
    if text.is_empty() {
        return Ok(None);
    }
    let numbers: Result<Vec<f64>, _> = text.split(',').map(|part| f64::from_str(part.trim())).collect();
    let place = match numbers.as_deref() {
        Ok([latitude, longitude]) => Some((*latitude, *longitude, ACCURACY_METRES)),
        Ok([latitude, longitude, accuracy]) => Some((*latitude, *longitude, *accuracy)),
        _ => None,
    };
    let place = place.filter(|(latitude, longitude, accuracy)| {
        latitude.abs() <= 90.0 && longitude.abs() <= 180.0 && *accuracy >= 0.0
    });
    let (latitude, longitude, accuracy_metres) = place.with_context(|| {
        format!("sandbox.place = {text:?} is no place; write latitude and longitude, such as 40.7484,-73.9857")
    })?;
    Ok(Some(TownPlace { latitude, longitude, accuracy_metres }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Source;
    use hunch_db::testing::TestDb;

    fn with(key: &str, value: &str) -> Settings {
        let mut settings = Settings::load(None, std::iter::empty()).unwrap();
        settings.set(key, value.to_owned(), Source::CommandLine).unwrap();
        settings
    }

    #[tokio::test]
    async fn what_only_a_sandbox_may_do_is_refused_where_none_was_made() {
        let db = TestDb::new().await;
        let switches = [
            ("sandbox.create", "true"),
            ("sandbox.place", "40.7484,-73.9857"),
            ("clock.speed", "60"),
            ("push.allow_loopback_http", "true"),
        ];
        check(&with("clock.speed", "1"), db.db()).await.unwrap();
        for (key, value) in switches {
            let told = check(&with(key, value), db.db()).await.unwrap_err().to_string();
            assert!(
                told.starts_with(&format!("{key} is for a sandbox")) && told.contains("HUNCH_SANDBOX__CREATE=true"),
                "{told}"
            );
        }
        // As if it had been made as one.
        sqlx::query("UPDATE people.programme SET sandbox = true").execute(db.owner()).await.unwrap();
        for (key, value) in switches {
            check(&with(key, value), db.db()).await.unwrap();
        }
    }

    #[test]
    fn a_place_is_two_numbers_or_three() {
        let read = |text: &str| place(&with("sandbox.place", text));
        assert_eq!(read("").unwrap(), None);
        let town = read("40.7484, -73.9857").unwrap().unwrap();
        assert_eq!((town.latitude, town.longitude, town.accuracy_metres), (40.7484, -73.9857, 25.0));
        assert_eq!(read("40.7484,-73.9857,100").unwrap().unwrap().accuracy_metres, 100.0);
        for nonsense in ["New York", "1", "95,0", "0,181", "0,0,-1", "nan,0", "1,2,3,4"] {
            assert!(read(nonsense).is_err(), "{nonsense}");
        }
    }
}
