//! `estiba tag`.

use crate::runner::Env;

#[test]
fn a_name_and_an_id_both_serve() {
    let Some(env) = Env::with_busybox() else { return };
    let id = env.ok(&["images", "-q"]).trim().to_owned();
    env.ok(&["tag", &id, "by-id"]);
    env.ok(&["tag", "by-id", "localhost:5000/a/b:c"]);
    assert_eq!(env.ok(&["images", "-q", "--no-trunc", "by-id"]), env.ok(&["images", "-q", "--no-trunc", "busybox"]));
}

#[test]
fn mistakes() {
    let Some(env) = Env::with_busybox() else { return };
    let error = env.fails(1, &["tag", "busybax", "x"]);
    assert!(error.contains("did you mean `busybox`?") && error.contains("estiba pull busybax"), "{error}");
    assert!(env.fails(1, &["tag", "busybox", "Upper"]).contains("upper"));
}
