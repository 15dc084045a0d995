//! `estiba images`.

use crate::runner::Env;

#[test]
fn the_table_and_its_forms() {
    let Some(env) = Env::with_busybox() else { return };
    env.ok(&["tag", "busybox", "team/tool:1"]);
    let table = env.ok(&["images"]);
    let head: Vec<_> =
        table.lines().next().unwrap().split("  ").filter(|part| !part.is_empty()).map(str::trim).collect();
    assert_eq!(head, ["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"]);
    assert_eq!(table.lines().count(), 3, "{table}");
    assert_eq!(env.ok(&["images", "--format", "{{.Repository}}:{{.Tag}}"]), "busybox:latest\nteam/tool:1\n");
    assert_eq!(env.ok(&["images", "team/*", "--format", "{{.Repository}}"]), "team/tool\n");
    let ids = env.ok(&["images", "-q"]);
    assert_eq!(ids.lines().count(), 1, "one image has one id: {ids}");
    assert_eq!(ids.trim().len(), 12);
    let json = env.ok(&["images", "--format", "json"]);
    let first: serde_json::Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    assert_eq!(first["Repository"], "busybox");
}

#[test]
fn filters() {
    let Some(env) = Env::with_busybox() else { return };
    assert_eq!(env.ok(&["images", "-q", "--filter", "dangling=true"]), "");
    assert_eq!(env.ok(&["images", "-q", "--filter", "reference=busy*"]).lines().count(), 1);
    assert_eq!(env.build("FROM busybox\nCOPY Dockerfile /\n", &["-t", "newer"]).code, 0);
    for (filter, expected) in [
        ("since=busybox", "newer\n"),
        ("before=newer", "busybox\n"),
        ("until=1h", "busybox\n"),
        ("until=2001-01-01", "busybox\n"),
    ] {
        assert_eq!(env.ok(&["images", "--filter", filter, "--format", "{{.Repository}}"]), expected, "{filter}");
    }
    assert!(env.fails(1, &["images", "--filter", "since=nothing"]).contains("not in the store"));
    assert!(env.fails(125, &["images", "--filter", "until=soon"]).contains("not a time"));
    assert!(env.fails(125, &["images", "--filter", "x=y"]).contains("unknown filter"));
    assert!(env.fails(125, &["images", "--format", "{{.Idd}}"]).contains("did you mean `.ID`"));
}
