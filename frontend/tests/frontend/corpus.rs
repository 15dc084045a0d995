//! Where the corpora are, and how an expected text is compared or written.

use std::path::{Path, PathBuf};

use estiba_frontend::{Dockerfile, SourceText};

pub(crate) fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/frontend").join(name)
}

/// The files or folders of a corpus, by name.
pub(crate) fn cases(name: &str) -> Vec<PathBuf> {
    let mut cases: Vec<PathBuf> = std::fs::read_dir(folder(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(!cases.is_empty(), "{name}");
    cases
}

pub(crate) fn read(path: &Path) -> SourceText {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    SourceText::new("Dockerfile", bytes).unwrap()
}

/// Parses a text that has no errors.
pub(crate) fn parse(source: &SourceText) -> Dockerfile {
    let parsed = estiba_frontend::parse(source);
    let errors: Vec<String> =
        parsed.diagnostics.iter().filter(|d| d.is_error()).map(|d| d.render(source, false)).collect();
    assert!(errors.is_empty(), "{}", errors.join("\n"));
    parsed.dockerfile
}

/// Compares with a golden file; `ESTIBA_BLESS=1` writes it instead.
pub(crate) fn golden(path: &Path, found: &str) {
    if std::env::var_os("ESTIBA_BLESS").is_some() {
        std::fs::write(path, found).unwrap();
        return;
    }
    let expected = std::fs::read_to_string(path).unwrap_or_default();
    assert!(expected == found, "{} differs; found:\n{found}", path.display());
}
