//! `estiba man`.

use crate::runner::{Env, files_below};

#[test]
fn a_page_for_every_verb() {
    let env = Env::new();
    assert!(env.ok(&["man"]).contains(".TH estiba 1"));
    env.ok(&["man", "pages"]);
    let pages = files_below(&env.work().join("pages"));
    for page in ["estiba.1", "estiba-build.1", "estiba-run.1", "estiba-prune.1"] {
        assert!(pages.contains(&page.to_owned()), "{page} is not among {pages:?}");
    }
}
