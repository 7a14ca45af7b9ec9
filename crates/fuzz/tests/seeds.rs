//! Where searches start, and what once broke something: all of it holds.

use hunch_fuzz::TARGETS;
use std::fs;
use std::path::Path;

#[test]
fn every_seed_holds() {
    for target in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target.name);
        let mut seeds = 0;
        for entry in fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            let path = entry.unwrap().path();
            println!("{}", path.display());
            (target.run)(&fs::read(&path).unwrap());
            seeds += 1;
        }
        assert!(seeds > 1, "{} has no seeds", target.name);
    }
}
