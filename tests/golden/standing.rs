//! What stands under `tests/golden`, and the comparison with it.

use std::path::{Path, PathBuf};

/// Set to write what was seen over what stands.
const BLESS: &str = "BLESS";

/// What stands of a text for good, under `tests/golden`; with `BLESS=1` what is seen is written there.
#[track_caller]
pub(crate) fn check(name: &str, seen: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    let seen = neutral(seen);
    if std::env::var_os(BLESS).is_some() {
        std::fs::create_dir_all(file.parent().expect("below a folder")).expect("a folder");
        std::fs::write(&file, &seen).unwrap_or_else(|why| panic!("{}: {why}", file.display()));
    }
    let stands = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(stands == seen, "{} differs; BLESS=1 rewrites it. Seen:\n{seen}\nStands:\n{stands}", file.display());
}

/// What differs between machines and is no part of an answer: where the repository lies.
fn neutral(text: &str) -> String {
    text.replace(&PathBuf::from(env!("CARGO_MANIFEST_DIR")).display().to_string(), "/repository")
}
