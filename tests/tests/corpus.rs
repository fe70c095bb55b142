//! What fuzzing has found and kept, replayed: every file of `tests/fuzz/corpus` through the property of its target. Guided
//! fuzzing itself is `make fuzz`.

#[path = "../fuzz/src/properties/mod.rs"]
mod properties;

use std::path::PathBuf;

fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("a file of the repository").path())
        .collect();
    files.sort();
    files
        .into_iter()
        .map(|path| {
            let bytes = std::fs::read(&path).expect("a file of the repository");
            (path, bytes)
        })
        .collect()
}

#[test]
fn everything_fuzzing_has_kept_still_holds() {
    for (target, _) in properties::ALL {
        let property = properties::named(target);
        let files = corpus(target);
        assert!(files.len() >= 20, "the corpus of {target} is there");
        for (path, bytes) in files {
            let outcome = std::panic::catch_unwind(|| property(&bytes));
            assert!(outcome.is_ok(), "{} does not hold", path.display());
        }
    }
}
