//! `estiba doctor`.

use crate::runner::Env;

#[test]
fn the_rung_is_named() {
    let env = Env::new();
    let said = env.run(&["doctor"]);
    assert!(said.stdout.contains("privileges: "), "{said:#?}");
    let json: serde_json::Value = serde_json::from_str(&env.run(&["doctor", "--format", "json"]).stdout).unwrap();
    assert_eq!(json["Works"] == true, said.code == 0, "{json}");
}

#[test]
fn damage_is_found() {
    let Some(env) = Env::with_busybox() else { return };
    std::fs::remove_dir_all(env.root().join("blobs/sha256")).unwrap();
    std::fs::create_dir(env.root().join("blobs/sha256")).unwrap();
    let said = env.run(&["doctor"]);
    assert!(said.stdout.contains("is damaged") && said.stdout.contains("estiba rmi"), "{said:#?}");
}
