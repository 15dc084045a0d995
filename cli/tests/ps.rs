//! `estiba ps`, and `inspect` of containers.

use crate::runner::Env;

#[test]
fn what_runs_and_what_ran() {
    let Some(env) = Env::with_busybox() else { return };
    assert_eq!(env.ok(&["ps"]).lines().count(), 1);
    env.ok(&["run", "-d", "--name", "up", "--network", "none", "-l", "app=web", "busybox", "sleep", "600"]);
    env.fails(3, &["run", "--name", "down", "--network", "none", "busybox", "sh", "-c", "exit 3"]);
    env.ok(&["create", "--name", "new", "--network", "none", "busybox", "echo", "a \"b\"\u{1b}[2J"]);
    let table = env.ok(&["ps"]);
    assert!(table.starts_with("CONTAINER ID   IMAGE     COMMAND"), "{table}");
    assert!(table.contains("\"sleep 600\"") && table.contains(" Up ") && !table.contains("down"), "{table}");
    let all = env.ok(&["ps", "-a", "--no-trunc", "--format", "{{.Names}}|{{.State}}|{{.Command}}"]);
    let lines: Vec<_> = all.lines().collect();
    assert_eq!(lines[0], r#"new|created|"echo a \"b\"\x1b[2J""#);
    assert_eq!(lines[2], r#"up|running|"sleep 600""#);
    assert!(env.ok(&["ps", "-a", "--format", "{{.Status}}", "--filter", "name=down"]).starts_with("Exited (3) "));
    for (filter, expected) in [
        ("name=^up$", "up"),
        ("name=p", "up"),
        ("label=app", "up"),
        ("label=app=web", "up"),
        ("label=app=db", ""),
        ("status=exited", "down"),
        ("exited=3", "down"),
        ("exited=4", ""),
        ("status=created", "new"),
        ("ancestor=busybox", "new down up"),
        ("since=up", "new down"),
        ("before=down", "up"),
        ("network=host", ""),
        ("health=none", "new down up"),
    ] {
        let names = env.ok(&["ps", "-a", "--filter", filter, "--format", "{{.Names}}"]);
        assert_eq!(names.split_whitespace().collect::<Vec<_>>().join(" "), expected, "{filter}");
    }
    let both = ["ps", "-a", "--filter", "name=up", "--filter", "name=new", "--format", "{{.Names}}"];
    assert_eq!(env.ok(&both), "new\nup\n");
    assert_eq!(env.ok(&["ps", "-l", "--format", "{{.Names}}"]), "new\n");
    assert_eq!(env.ok(&["ps", "-n", "2", "--format", "{{.Names}}"]), "new\ndown\n");
    assert_eq!(env.ok(&["ps", "-q"]).trim().len(), 12);
    assert_eq!(env.ok(&["ps", "-q", "--no-trunc"]).trim().len(), 64);
    let json: serde_json::Value = serde_json::from_str(env.ok(&["ps", "--format", "json"]).trim()).unwrap();
    assert_eq!((&json["Names"], &json["Labels"]), (&"up".into(), &"app=web".into()));
    assert!(env.fails(125, &["ps", "--filter", "colour=red"]).contains("unknown filter"));
    assert!(env.fails(125, &["ps", "--filter", "status=odd"]).contains("running"));
    assert!(env.ok(&["ps", "-s"]).contains("(virtual "));
}

#[test]
fn a_container_is_told_as_docker_tells_it() {
    let Some(env) = Env::with_busybox() else { return };
    let options = ["--name", "c1", "--network", "none", "-e", "A=1", "--restart", "on-failure:3", "-v", "/tmp:/t:ro"];
    env.ok(&[&["run", "-d"], &options[..], &["--entrypoint", "sleep", "busybox", "600"]].concat());
    let template = "{{.Name}} {{.Path}} {{.Args}} {{.State.Status}} {{.State.Running}} {{.HostConfig.RestartPolicy.Name}}:{{.HostConfig.RestartPolicy.MaximumRetryCount}} {{.Config.Entrypoint}} {{.Config.Cmd}} {{.HostConfig.NetworkMode}}";
    let expected = "/c1 sleep [600] running true on-failure:3 [sleep] [600] none\n";
    assert_eq!(env.ok(&["inspect", "-f", template, "c1"]), expected);
    assert_eq!(env.ok(&["inspect", "-f", "{{json .HostConfig.Binds}}", "c1"]), "[\"/tmp:/t:ro\"]\n");
    assert_ne!(env.ok(&["inspect", "-f", "{{.State.Pid}}", "c1"]), "0\n");
    let mounts = "{{range .Mounts}}{{.Type}} {{.Source}} {{.Destination}} {{.RW}}{{end}}";
    assert_eq!(env.ok(&["container", "inspect", "-f", mounts, "c1"]), "bind /tmp /t false\n");
    let json: serde_json::Value = serde_json::from_str(&env.ok(&["inspect", "-s", "c1", "busybox"])).unwrap();
    assert!(json[0]["SizeRw"].is_u64() && json[1]["RepoTags"].is_array(), "{json}");
    assert!(env.fails(1, &["container", "inspect", "busybox"]).contains("no such container"));
    env.fails(1, &["image", "inspect", "c1"]);
    env.ok(&["stop", "-t", "0", "c1"]);
    let ended = env.ok(&["inspect", "-f", "{{.State.Pid}} {{.State.ExitCode}} {{.State.Running}}", "c1"]);
    assert_eq!(ended, "0 137 false\n");
}
