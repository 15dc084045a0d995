//! `estiba registry status`.

use super::serve::Server;
use crate::runner::Env;

#[test]
fn it_asks_the_server_that_runs() {
    let env = Env::new();
    let said = env.run(&["registry", "status", "--root", "registry"]);
    assert_eq!(said.code, 1);
    assert_eq!(said.stdout, format!("no registry runs on {}\n", env.work().join("registry").display()));
    assert!(!env.work().join("registry").exists(), "looking makes nothing");
    let server = Server::start(&env, &[]);
    let text = env.ok(&["registry", "status", "--root", "registry"]);
    assert!(text.starts_with("State:      ready\nVersion:    "), "{text}");
    assert!(text.contains(&format!("Listens on: http://{}\n", server.address)), "{text}");
    let json = env.ok(&["registry", "status", "--root", "registry", "--format", "json"]);
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&value["draining"], &value["bytes"]), (&false.into(), &0.into()));
    assert_eq!(server.stop().0, Some(0));
    assert_eq!(env.run(&["registry", "status", "--root", "registry"]).code, 1);
}
