//! `estiba rmi`.

use crate::runner::Env;

#[test]
fn names_go_one_by_one_and_the_image_with_the_last() {
    let Some(env) = Env::with_busybox() else { return };
    env.ok(&["tag", "busybox", "other"]);
    let id = env.ok(&["images", "-q", "busybox"]).trim().to_owned();
    assert!(env.fails(125, &["rmi", &id]).contains("several names"));
    assert_eq!(env.ok(&["rmi", "other"]), "Untagged: other:latest\n");
    let last = env.ok(&["rmi", "busybox"]);
    assert!(last.starts_with("Untagged: busybox:latest\nDeleted: sha256:"), "{last}");
    assert_eq!(env.ok(&["images", "-q"]), "");
    env.fails(1, &["rmi", "busybox"]);
    env.ok(&["rmi", "-f", "busybox"]);
}
