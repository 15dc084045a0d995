//! `estiba delete`.

use crate::copy::odd;
use crate::registry::serve::Server;
use crate::runner::Env;

#[test]
fn tags_and_images() {
    let env = Env::new();
    odd(&env);
    let server = Server::start(&env, &[]);
    let name = format!("{}/app", server.address);
    let digest = env.ok(&["copy", "-q", "oci:odd:one", &format!("{name}:1")]).trim().to_owned();
    for tag in ["2", "3"] {
        env.ok(&["copy", "-q", "oci:odd:one", &format!("{name}:{tag}")]);
    }
    assert_eq!(env.ok(&["delete", &format!("{name}:1")]), format!("Untagged: {name}:1\n"));
    assert_eq!(env.ok(&["tags", &name]), "2\n3\n");
    let again = env.fails(1, &["delete", &format!("docker://{name}:1")]);
    assert!(again.contains("404") && again.contains("has the tags 3, 2") | again.contains("did you mean"), "{again}");
    assert_eq!(env.ok(&["delete", "--manifest", &format!("{name}:2")]), format!("Deleted: {name}@{digest}\n"));
    assert_eq!(env.ok(&["tags", &name]), "");
    env.fails(1, &["manifest", "inspect", &format!("{name}@{digest}")]);
    let bare = env.fails(125, &["delete", &name]);
    assert!(bare.contains("which one?") && bare.contains(&format!("`{name}:latest`")), "{bare}");
    assert!(env.fails(125, &["delete", "--tag-only", &format!("{name}@{digest}")]).contains("is no tag"));
    assert!(env.fails(125, &["delete", "store:app"]).contains("works on registries"));
}

#[test]
fn where_deleting_is_off() {
    let env = Env::new();
    odd(&env);
    env.write("r.toml", "[storage]\ndelete = false\n");
    let server = Server::start(&env, &["--config", "r.toml"]);
    let name = format!("{}/app", server.address);
    let digest = env.ok(&["copy", "-q", "oci:odd:one", &name]).trim().to_owned();
    assert!(
        env.fails(1, &["delete", &format!("{name}:latest")])
            .contains("this registry deletes no tags, or nothing at all")
    );
    assert!(env.fails(1, &["delete", &format!("{name}@{digest}")]).contains("deleting is switched off"));
    assert_eq!(env.ok(&["tags", &name]), "latest\n");
}
