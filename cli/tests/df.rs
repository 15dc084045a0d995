//! `estiba df`.

use crate::runner::Env;

#[test]
fn rows_and_forms() {
    let Some(env) = Env::with_busybox() else { return };
    let table = env.ok(&["df"]);
    assert!(table.starts_with("TYPE"), "{table}");
    assert!(env.ok(&["df", "--format", "{{.Type}}={{.TotalCount}}"]).contains("Images=1"));
}
