//! The hard limit on what the store takes, `estiba config`, and what `df` and `prune` say of it.

use std::fs;
use std::process::Command;

use crate::runner::Env;

/// Bytes that `du` counts below the store.
fn du(env: &Env) -> u64 {
    let said = Command::new("du").args(["-s", "-B1"]).arg(env.root()).output().unwrap();
    String::from_utf8(said.stdout).unwrap().split_whitespace().next().unwrap().parse().unwrap()
}

/// The sum of what `df` says.
fn df(env: &Env) -> u64 {
    env.ok(&["df", "--format", "{{.Bytes}}"]).lines().map(|line| line.parse::<u64>().unwrap()).sum()
}

#[test]
fn df_adds_up_to_what_du_says() {
    let Some(env) = Env::with_busybox() else { return };
    env.write("a", "a".repeat(300_000));
    let dockerfile = "FROM busybox\nCOPY a /a\nRUN --mount=type=cache,target=/cache ln /a /b && cp /a /cache/kept\n";
    assert_eq!(env.build(dockerfile, &["-t", "app"]).code, 0);
    env.ok(&["tag", "app", "again"]);
    let (said, counted) = (df(&env), du(&env));
    // The index is open while it is counted, and its log with it.
    assert!(said.abs_diff(counted) <= 64 << 10, "df {said}, du {counted}");
    let rows = env.ok(&["df"]);
    for kind in ["Images", "Build cache", "Cache mounts", "Logs", "Other"] {
        assert!(rows.contains(kind), "{rows}");
    }
    let items = env.ok(&["df", "-v"]);
    assert!(items.contains("/cache") && items.contains("app:latest"), "{items}");
    assert!(env.ok(&["df", "-v", "--format", "json"]).lines().all(|line| line.starts_with('{')));
}

#[test]
fn the_limit_is_set_shown_and_checked() {
    let env = Env::new();
    assert_eq!(env.ok(&["config"]), "store.limit = none\n");
    env.ok(&["config", "store.limit", "20GB"]);
    assert_eq!(env.ok(&["config", "store.limit"]), "20GB\n");
    assert!(env.ok(&["df"]).contains("of 21.5GB in use"));
    env.ok(&["config", "store.limit", "none"]);
    assert!(!env.ok(&["df"]).contains("in use\n"));
    assert!(env.fails(125, &["config", "store.limit", "much"]).contains("not a size"));
    assert!(env.fails(125, &["config", "store.size", "1g"]).contains("unknown setting"));
    fs::write(env.root().join("config.toml"), "[store]\nlimits = \"1g\"\n").unwrap();
    let said = env.run(&["config"]);
    assert!(said.code != 0 && said.stderr.contains("config.toml"), "{said:?}");
}

#[test]
fn a_run_that_outgrows_the_limit_is_stopped() {
    let Some(env) = Env::with_busybox() else { return };
    env.ok(&["config", "store.limit", "96m"]);
    let said = env.build("FROM busybox\nRUN dd if=/dev/zero of=/big bs=1M count=4000\n", &[]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.stderr.contains("limit of 100663296 bytes"), "{said:?}");
    assert!(du(&env) < 96 << 20, "what it wrote is gone: {}", du(&env));
    assert_eq!(env.build("FROM busybox\nRUN echo small > /small\n", &[]).code, 0);
}

#[test]
fn what_was_used_longest_ago_makes_room() {
    let Some(env) = Env::with_busybox() else { return };
    env.ok(&["config", "store.limit", "64m"]);
    for round in 0..6u8 {
        if round >= 3 {
            // What is as young as the running build is never given up, and times are whole seconds.
            std::thread::sleep(std::time::Duration::from_millis(2100));
        }
        env.write("a", vec![b'a' + round; 12 << 20]);
        let said = env.build("FROM busybox\nCOPY a /a\n", &["-t", "app"]);
        assert_eq!(said.code, 0, "round {round}: {said:?}");
        assert!(du(&env) <= 64 << 20, "round {round}: {}", du(&env));
    }
    assert_eq!(env.ok(&["run", "--rm", "app", "head", "-c1", "/a"]), "f");
    env.write("a", vec![b'z'; 80 << 20]);
    let said = env.build("FROM busybox\nCOPY a /a\n", &["-t", "app"]);
    assert!(said.code == 1 && said.stderr.contains("limit of 67108864 bytes"), "{said:?}");
    assert!(du(&env) <= 64 << 20);
    assert_eq!(env.ok(&["run", "--rm", "app", "head", "-c1", "/a"]), "f", "what has a name stays");
}

#[test]
fn an_archive_that_claims_a_terabyte_is_refused_at_once() {
    let Some(env) = Env::with_busybox() else { return };
    let huge = fs::File::create(env.work().join("huge")).unwrap();
    if huge.set_len(1 << 43).is_err() {
        return;
    }
    drop(huge);
    let made = Command::new("tar").args(["-cSf", "a.tar", "huge"]).current_dir(env.work()).status();
    if !made.is_ok_and(|status| status.success()) {
        return;
    }
    fs::remove_file(env.work().join("huge")).unwrap();
    let before = du(&env);
    let said = env.build("FROM busybox\nADD a.tar /\n", &[]);
    assert!(said.code == 1 && said.stderr.contains("its files claim 8796093022208 bytes"), "{said:?}");
    assert!(du(&env) < before + (1 << 20));
}

#[test]
fn prune_takes_sizes_kinds_and_mounts() {
    let Some(env) = Env::with_busybox() else { return };
    let dockerfile = "FROM busybox\nRUN --mount=type=cache,id=one,target=/c dd if=/dev/urandom of=/c/f bs=1M count=3\n\
                      RUN --mount=type=cache,id=two,target=/c dd if=/dev/urandom of=/c/f bs=1M count=3\n";
    assert_eq!(env.build(dockerfile, &["-t", "app"]).code, 0);
    let mounts = |env: &Env| env.ok(&["df", "--format", "{{.Type}}={{.TotalCount}}"]);
    let cache = |env: &Env| mounts(env).lines().find(|line| line.starts_with("Build cache")).map(str::to_owned);
    let before = cache(&env);
    env.ok(&["prune", "-af", "--filter", "id=one"]);
    assert!(mounts(&env).contains("Cache mounts=1"), "{}", mounts(&env));
    assert_eq!(cache(&env), before, "only the mount went");
    env.ok(&["prune", "-f", "--max-used-space", "1g"]);
    assert!(mounts(&env).contains("Cache mounts=1"), "nothing had to go");
    let pruned = env.ok(&["prune", "-f", "--max-used-space", "1m", "--reserved-space", "1k"]);
    assert!(pruned.contains("cache mounts"), "{pruned}");
    assert!(mounts(&env).contains("Cache mounts=0"), "{}", mounts(&env));
    assert!(env.fails(125, &["prune", "-f", "--filter", "type=none"]).contains("unknown type"));
    assert!(env.fails(125, &["prune", "-f", "--min-free-space", "x"]).contains("not a size"));
}
