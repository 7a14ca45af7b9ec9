//! The arrows between crates point one way: `hunch → http → capabilities → ledger, log, exchange, db → messages →
//! kernel`. A crate that is not in the list below is refused, so that a new one gets its place.

#![cfg(test)]

use std::collections::BTreeMap;

use crate::workspace;

/// From the ground up. Inside a layer arrows are allowed; cargo itself refuses circles.
const LAYERS: &[&[&str]] = &[
    &["kernel"],
    &["messages"],
    &["db", "log", "ledger", "exchange"],
    &[
        "treasury",
        "markets",
        "trading",
        "safeguards",
        "vault",
        "people",
        "operators",
        "loyalty",
        "engage",
        "messaging",
        "learning",
        "evaluation",
    ],
    &["http"],
    &["hunch"],
];

/// Crates beside the layers, and all that each may know of us.
const APART: &[(&str, &[&str])] = &[
    // The real exchange and what stands in for it speak a protocol to each other, never Rust.
    ("kalshi", &["kernel", "exchange"]),
    ("exchange-sim", &["kernel"]),
    // Recomputes everything from the rows; shares no code with what wrote them.
    ("audit", &["kernel", "db"]),
    // Uses the public API only.
    ("town", &["kernel"]),
    // Calls the readers of bytes from outside.
    ("fuzz", &["kernel", "exchange", "kalshi", "messaging", "loyalty", "http", "evaluation"]),
    // Drives the real crates, so it may know them all.
    ("sim", &["*"]),
    ("xtask", &[]),
];

/// Our crates with what each depends on outside its tests, names without the prefix.
fn arrows() -> BTreeMap<String, Vec<String>> {
    let metadata = workspace::metadata(false).unwrap();
    let short = |name: &str| name.strip_prefix("hunch-").unwrap_or(name).to_owned();
    let packages = metadata["packages"].as_array().unwrap();
    let ours: Vec<&str> = packages.iter().map(|package| package["name"].as_str().unwrap()).collect();
    let arrows_of = |package: &serde_json::Value| {
        let dependencies = package["dependencies"].as_array().unwrap().iter();
        dependencies
            .filter(|dependency| dependency["kind"].is_null())
            .map(|dependency| dependency["name"].as_str().unwrap())
            .filter(|name| ours.contains(name))
            .map(short)
            .collect()
    };
    packages.iter().map(|package| (short(package["name"].as_str().unwrap()), arrows_of(package))).collect()
}

fn layer_of(name: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&name))
}

#[test]
fn arrows_point_one_way() {
    let mut wrong = Vec::new();
    for (from, targets) in arrows() {
        let apart = APART.iter().find(|(name, _)| *name == from).map(|(_, may)| *may);
        let Some(layer) = layer_of(&from).or(apart.map(|_| usize::MAX)) else {
            wrong.push(format!("{from} has no place in xtask/src/graph.rs"));
            continue;
        };
        for to in targets {
            let fine = match apart {
                Some(may) => may.contains(&"*") || may.contains(&to.as_str()),
                // Only the executable knows the crates that stand apart.
                None => layer_of(&to).map_or(from == "hunch", |below| below <= layer),
            };
            if !fine {
                wrong.push(format!("{from} → {to}"));
            }
        }
    }
    assert!(wrong.is_empty(), "these arrows point the wrong way: {wrong:#?}");
}

/// What wires the crates together names it: the executable, and the simulation, which lives the same wiring. The
/// fuzzer reads what the exchange may say.
#[test]
fn only_wiring_knows_the_real_exchange() {
    let known_by: Vec<String> = arrows()
        .into_iter()
        .filter(|(_, targets)| targets.iter().any(|to| to == "kalshi"))
        .map(|(from, _)| from)
        .collect();
    assert_eq!(known_by, ["fuzz", "hunch", "sim"]);
}

/// Permits that nobody was judged for exist in tests only.
#[test]
fn forged_permits_stay_in_tests() {
    let metadata = workspace::metadata(false).unwrap();
    let mut wrong = Vec::new();
    for package in metadata["packages"].as_array().unwrap() {
        for dependency in package["dependencies"].as_array().unwrap() {
            let features = dependency["features"].as_array().unwrap();
            if dependency["name"] == "hunch-safeguards" && dependency["kind"] != "dev" && !features.is_empty() {
                wrong.push(package["name"].to_string());
            }
        }
    }
    assert!(wrong.is_empty(), "these ask for forged permits outside their tests: {wrong:?}");
}

/// Planted mistakes exist in tests, and in the simulation's own build when asked for; never in what is shipped.
#[test]
fn planted_mistakes_stay_in_the_simulation_and_in_tests() {
    let metadata = workspace::metadata(false).unwrap();
    for package in metadata["packages"].as_array().unwrap() {
        for dependency in package["dependencies"].as_array().unwrap() {
            assert!(
                dependency["kind"] == "dev"
                    || !dependency["features"].as_array().unwrap().iter().any(|feature| feature == "seeded-bugs"),
                "{} asks for planted mistakes",
                package["name"]
            );
        }
        let features = package["features"].as_object().unwrap();
        let own = ["hunch-sim", "hunch-kernel"].iter().any(|name| package["name"] == *name);
        assert!(own || !features.contains_key("seeded-bugs"), "{}", package["name"]);
        let default = features.get("default").and_then(|d| d.as_array().cloned()).unwrap_or_default();
        assert!(!default.iter().any(|feature| feature == "seeded-bugs"), "{}", package["name"]);
    }
}
