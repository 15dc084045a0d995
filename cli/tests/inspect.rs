//! `estiba inspect`.

use crate::runner::Env;

#[test]
fn the_shape_is_dockers() {
    let Some(env) = Env::with_busybox() else { return };
    let all: serde_json::Value = serde_json::from_str(&env.ok(&["inspect", "busybox"])).unwrap();
    let one = &all[0];
    assert_eq!(one["RepoTags"], serde_json::json!(["busybox:latest"]));
    assert!(one["Id"].as_str().unwrap().starts_with("sha256:"));
    assert_eq!(one["Os"], "linux");
    assert_eq!(one["Config"]["Cmd"], serde_json::json!(["sh"]));
    assert_eq!(one["RootFS"]["Layers"].as_array().unwrap().len(), 1);
    assert!(one["Size"].as_u64().unwrap() > 100_000);
}

#[test]
fn templates() {
    let Some(env) = Env::with_busybox() else { return };
    assert_eq!(
        env.ok(&["inspect", "-f", "{{index .RepoTags 0}} {{.Os}} {{.Config.Entrypoint}}", "busybox"]),
        "busybox:latest linux []\n"
    );
    assert_eq!(env.ok(&["inspect", "-f", "{{json .Config.Cmd}}", "busybox"]), "[\"sh\"]\n");
    assert_eq!(env.ok(&["image", "inspect", "-f", "{{len .RootFS.Layers}}", "busybox"]), "1\n");
    assert!(env.fails(1, &["inspect", "absent"]).contains("not in the store"));
}
