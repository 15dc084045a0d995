//! `estiba prune`.

use crate::runner::Env;

#[test]
fn what_images_need_stays() {
    let Some(env) = Env::with_busybox() else { return };
    env.write("a", "a".repeat(100_000));
    assert_eq!(env.build("FROM busybox\nCOPY a /a\n", &["-t", "kept"]).code, 0);
    env.write("a", "b".repeat(100_000));
    assert_eq!(env.build("FROM busybox\nCOPY a /a\n", &[]).code, 0, "an image without a name");
    assert_eq!(env.ok(&["images", "-q", "--filter", "dangling=true"]).lines().count(), 1);
    let counted = env.ok(&["prune", "--all", "--dry-run"]);
    assert!(counted.contains("would remove ") && !counted.contains(": 0B"), "{counted}");
    let old = env.ok(&["prune", "--all", "--dry-run", "--filter", "until=1h"]);
    assert!(!old.contains("would remove"), "{old}");
    assert_eq!(env.ok(&["images", "-q", "--filter", "dangling=true"]).lines().count(), 1, "nothing went");
    let pruned = env.ok(&["prune", "--all", "-f"]);
    assert!(pruned.contains("Total reclaimed space: ") && !pruned.contains(": 0B"), "{pruned}");
    assert_eq!(env.ok(&["images", "--format", "{{.Repository}}"]).lines().count(), 2);
    env.ok(&["save", "-o", "kept.tar", "kept"]);
}

#[test]
fn it_asks_first() {
    let Some(env) = Env::with_busybox() else { return };
    assert!(env.fails(125, &["prune"]).contains("--force"));
    assert!(env.ok(&["prune", "--all", "--dry-run"]).contains("Total reclaimable space"));
    assert!(env.fails(125, &["prune", "-f", "--filter", "until=soon"]).contains("not a time"));
}
