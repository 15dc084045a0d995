//! Cache mounts that travel with a cache.

use crate::runner::Env;

const DOCKERFILE: &str = "FROM busybox\nARG ROUND\n\
    RUN --mount=type=cache,id=kept,target=/c echo $ROUND >> /c/rounds && cat /c/rounds > /seen\n";

fn round(env: &Env, round: &str, cache: &str, more: &[&str]) -> String {
    let argument = format!("ROUND={round}");
    let (to, from) = (format!("type=local,dest={cache},mode=max"), format!("type=local,src={cache}"));
    let arguments = ["-t", "app", "--build-arg", &argument, "--cache-to", &to, "--cache-from", &from];
    let said = env.build(DOCKERFILE, &[&arguments, more].concat());
    assert_eq!(said.code, 0, "{said:?}");
    said.stderr
}

#[test]
fn a_mount_comes_where_it_is_not_and_only_then() {
    let (Some(here), Some(there)) = (Env::with_busybox(), Env::with_busybox()) else { return };
    let cache = here.work().parent().unwrap().join("cache");
    let cache = cache.to_str().unwrap();
    round(&here, "one", cache, &[]);
    let said = round(&there, "two", cache, &[]);
    assert!(said.contains("cache mount kept: 2 paths came"), "{said}");
    assert_eq!(there.ok(&["run", "--rm", "app", "cat", "/seen"]), "one\ntwo\n");
    // What was used since stays as it is; who asks for no mounts gets none.
    let said = round(&there, "three", cache, &[]);
    assert!(!said.contains("paths came"), "{said}");
    assert_eq!(there.ok(&["run", "--rm", "app", "cat", "/seen"]), "one\ntwo\nthree\n");
    let Some(other) = Env::with_busybox() else { return };
    let from = format!("type=local,src={cache},cache-mounts=false");
    assert_eq!(other.build(DOCKERFILE, &["-t", "app", "--build-arg", "ROUND=x", "--cache-from", &from]).code, 0);
    assert_eq!(other.ok(&["run", "--rm", "app", "cat", "/seen"]), "x\n");
}
