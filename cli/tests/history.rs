//! `estiba history`.

use crate::runner::Env;

#[test]
fn one_row_an_instruction() {
    let Some(env) = Env::with_busybox() else { return };
    env.write("a", "a");
    let built = env.build("FROM busybox\nCOPY a /a\nENV A=1\n", &["-t", "app"]);
    assert_eq!(built.code, 0, "{built:#?}");
    let history = env.ok(&["history", "--no-trunc", "--format", "{{.CreatedBy}}|{{.Size}}", "app"]);
    let lines: Vec<_> = history.lines().collect();
    assert_eq!(lines.len(), 3, "{history}");
    assert!(lines[0].contains("ENV A=1") && lines[0].ends_with("|0B"), "{history}");
    assert!(lines[1].contains("COPY") && !lines[1].ends_with("|0B"), "{history}");
    assert!(env.ok(&["history", "app"]).starts_with("IMAGE"));
}
