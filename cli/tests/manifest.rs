//! `estiba manifest`.

use serde_json::Value;

use crate::copy::odd;
use crate::registry::serve::Server;
use crate::runner::Env;

#[test]
fn documents_are_shown_as_they_are() {
    let env = Env::new();
    let digest = odd(&env);
    let server = Server::start(&env, &[]);
    let name = format!("{}/app:1", server.address);
    env.ok(&["copy", "-q", "-a", "oci:odd:multi", &name]);
    let raw = env.ok(&["manifest", "inspect", "--raw", &name]);
    assert_eq!(oci::Digest::sha256(raw.as_bytes()).to_string(), digest);
    let shown = env.ok(&["manifest", "inspect", &name]);
    assert!(shown.starts_with("{\n   \"manifests\": [\n      {\n"), "{shown}");
    let odd = env.ok(&["manifest", "inspect", "--platform", "linux/s390x", &name]);
    assert!(odd.contains("\"x-odd\": 1e2"), "{odd}");
    let config = env.ok(&["manifest", "inspect", "--config", "--platform", "linux/s390x", &name]);
    assert!(config.contains("\"architecture\": \"s390x\""), "{config}");
    let verbose: Value = serde_json::from_str(&env.ok(&["manifest", "inspect", "-v", &name])).unwrap();
    let entries = verbose.as_array().unwrap();
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[1]["Descriptor"]["platform"]["architecture"], "s390x");
    assert_eq!(entries[1]["OCIManifest"]["schemaVersion"], 2);
    assert_eq!(env.ok(&["manifest", "inspect", "--raw", "oci:odd:multi"]), raw);
    let absent = env.fails(1, &["manifest", "inspect", &format!("{}/app:2", server.address)]);
    assert!(absent.contains("has the tags 1") || absent.contains("did you mean"), "{absent}");
}

#[test]
fn an_index_is_made_changed_and_removed() {
    let env = Env::new();
    odd(&env);
    let server = Server::start(&env, &[]);
    let at = |name: &str| format!("{}/{name}", server.address);
    env.ok(&["copy", "-q", "oci:odd:multi", &at("app:host")]);
    env.ok(&["copy", "-q", "oci:odd:one", &at("app:s390x")]);
    let list = at("app:1");
    let made = env.ok(&["manifest", "create", "--annotation", "team=core", &list, &at("app:host"), &at("app:s390x")]);
    assert_eq!(made, format!("Created manifest list {list}\n"));
    let index = |env: &Env| -> Value {
        serde_json::from_str(&env.ok(&["manifest", "inspect", "--raw", &format!("store:{list}")])).unwrap()
    };
    let platform = |entry: &Value| entry["platform"]["architecture"].as_str().unwrap().to_owned();
    let first = index(&env);
    assert_eq!(platform(&first["manifests"][0]), oci::Platform::host().architecture);
    assert_eq!(platform(&first["manifests"][1]), "s390x");
    assert_eq!(first["annotations"]["team"], "core");
    let again = env.fails(1, &["manifest", "create", &list, &at("app:host")]);
    assert!(again.contains("is there already") && again.contains("--amend"), "{again}");
    env.ok(&["manifest", "create", "--amend", &list, &at("app:host")]);
    assert_eq!(index(&env), first);
    env.ok(&["manifest", "annotate", "--arch", "arm", "--variant", "v7", "--annotation", "a=b", &list, "linux/s390x"]);
    let second = index(&env);
    assert_eq!(
        (platform(&second["manifests"][1]).as_str(), &second["manifests"][1]["platform"]["variant"]),
        ("arm", &"v7".into())
    );
    assert_eq!(second["manifests"][1]["annotations"]["a"], "b");
    let digest = second["manifests"][1]["digest"].as_str().unwrap();
    env.ok(&["manifest", "remove", &list, &digest[..15]]);
    assert_eq!(index(&env)["manifests"].as_array().unwrap().len(), 1);
    let absent = env.fails(1, &["manifest", "remove", &list, digest]);
    assert!(absent.contains("the index lists no") && absent.contains("it lists"), "{absent}");
    env.ok(&["manifest", "add", "--os", "linux", "--arch", "riscv64", &list, &at("app:s390x")]);
    assert_eq!(platform(&index(&env)["manifests"][1]), "riscv64");
    assert_eq!(env.ok(&["manifest", "rm", &list]), format!("Removed manifest list {list}\n"));
    env.fails(1, &["manifest", "inspect", &format!("store:{list}")]);
}

#[test]
fn an_index_goes_to_a_registry_after_its_images() {
    let Some(env) = Env::with_busybox() else { return };
    odd(&env);
    let server = Server::start(&env, &[]);
    let at = |name: &str| format!("{}/{name}", server.address);
    let foreign = env.ok(&["copy", "-q", "oci:odd:one", &at("there/app:s390x")]);
    env.ok(&["manifest", "create", &at("app:1"), "busybox", &at("there/app:s390x")]);
    let said = env.run(&["manifest", "push", &at("app:1")]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let digest = said.stdout.trim().rsplit_once('@').unwrap().1.to_owned();
    let index: Value = serde_json::from_str(&env.ok(&["manifest", "inspect", &at("app:1")])).unwrap();
    let entries = index["manifests"].as_array().unwrap();
    assert_eq!(entries.len(), 2);
    // What came of a registry is there byte for byte.
    assert_eq!(entries[1]["digest"].as_str(), Some(foreign.trim()));
    assert_eq!(entries[1]["platform"]["architecture"], "s390x");
    assert_eq!(env.ok(&["copy", "-q", "-a", &at("app:1"), "oci:all"]), format!("{digest}\n"));
    let elsewhere = env.ok(&["manifest", "push", "-q", "--rm", &at("app:1"), &at("copy:2")]);
    assert_eq!(elsewhere, format!("{digest}\n"));
    assert!(env.fails(1, &["manifest", "push", &at("app:1")]).contains("no index is called so"));
}
