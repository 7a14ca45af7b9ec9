//! What the programme says to members is true today. Each phrase here was or would be a promise that nothing keeps; whoever builds
//! what it promises takes it off the list.

use std::fs;
use std::path::{Path, PathBuf};

/// (what would be said, why it is not so).
const NOT_SO: &[(&str, &str)] = &[
    ("in shops", "no shop takes points yet"),
    ("at the till with points", "no shop takes points yet"),
    ("pay with points", "no shop takes points yet"),
    ("spend your points", "no shop takes points yet"),
    ("spend points", "no shop takes points yet"),
    ("redeem", "there are no rewards yet"),
    ("rewards", "there are no rewards yet"),
    ("on the house", "an offer gives points and nothing else"),
    ("double points", "an offer gives a fixed number of points"),
    ("for free", "an offer gives points and nothing else"),
    ("refer a friend", "nobody earns for a friend yet"),
];

/// Where sentences for members stand: the pages, the API's document, and the sources that speak to them.
fn said() -> Vec<(String, String)> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut files: Vec<PathBuf> =
        fs::read_dir(crates.join("http/assets")).unwrap().map(|f| f.unwrap().path()).collect();
    for source in [
        "safeguards/src/denial.rs",
        "safeguards/src/protect.rs",
        "messaging/src/copy.rs",
        "engage/src/consume/reaction.rs",
        "town/src/names.rs",
    ] {
        files.push(crates.join(source));
    }
    let mut said: Vec<(String, String)> =
        files.iter().map(|file| (file.display().to_string(), fs::read_to_string(file).unwrap())).collect();
    said.push(("the API's document".to_owned(), hunch_http::openapi_json()));
    said
}

fn untrue(text: &str) -> Option<&'static (&'static str, &'static str)> {
    let text = text.to_lowercase();
    NOT_SO.iter().find(|(phrase, _)| text.contains(phrase))
}

#[test]
fn nothing_is_promised_that_is_not_kept() {
    for (place, text) in said() {
        assert_eq!(untrue(&text), None, "{place}");
    }
    let before = "You have excluded yourself from staking. Your points can still be used in shops.";
    assert_eq!(untrue(before).map(|(phrase, _)| *phrase), Some("in shops"), "the list finds what was said before");
}
