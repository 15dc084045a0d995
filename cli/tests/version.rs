//! `estiba version`.

use crate::runner::Env;

#[test]
fn scripts_get_what_they_ask() {
    let env = Env::new();
    let version = env!("CARGO_PKG_VERSION");
    assert!(env.ok(&["version"]).starts_with(&format!("estiba {version}")));
    assert_eq!(env.ok(&["version", "--format", "{{.Server.Version}}"]), format!("{version}\n"));
    let json: serde_json::Value = serde_json::from_str(&env.ok(&["version", "-f", "json"])).unwrap();
    assert_eq!(json["Client"]["Os"], "linux");
}
