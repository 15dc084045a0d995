//! `estiba registry policy check`.

use crate::runner::Env;

const POLICY: &str = "\
[[rule]]
who = { group = [\"dev\"] }
repositories = [\"team/**\"]
allow = [\"pull\", \"push\", \"update\"]

[[rule]]
who = { claim = { ref = \"refs/pull/**\" } }
repositories = [\"**\"]
deny = [\"push\"]

[[immutable]]
repositories = [\"team/**\"]
tags = [\"v*\"]
";

#[test]
fn decisions_name_the_rule() {
    let env = Env::new();
    env.write("p.toml", POLICY);
    let cases: [(&[&str], i32, &str); 7] = [
        (&["--user", "ann", "--group", "dev", "team/app", "push"], 0, "allowed by p.toml:1\n"),
        (&["--user", "ann", "team/app", "push"], 1, "denied: nothing in p.toml allows it\n"),
        (&["team/app", "pull"], 1, "denied: nothing in p.toml allows it\n"),
        (&["--group", "dev", "--claim", "ref=refs/pull/1/merge", "team/app", "push"], 1, "denied by p.toml:6\n"),
        (&["--group", "dev", "team/app", "update", "--tag", "latest"], 0, "allowed by p.toml:1\n"),
        (
            &["--group", "dev", "team/app", "update", "--tag", "v1"],
            1,
            "denied by p.toml:11: the tag is immutable once it is there\n",
        ),
        (&["--group", "dev", "team/app", "push", "--tag", "v1"], 0, "allowed by p.toml:1\n"),
    ];
    for (words, code, expected) in cases {
        let said = env.run(&[&["registry", "policy", "check", "--policy", "p.toml"], words].concat());
        assert_eq!((said.code, said.stdout.as_str()), (code, expected), "{words:?} {}", said.stderr);
    }
}

#[test]
fn the_configuration_names_groups_and_the_file() {
    let env = Env::new();
    env.write("p.toml", POLICY);
    env.write("r.toml", "[auth]\npolicy = \"p.toml\"\nanonymous = \"pull\"\n[auth.groups]\ndev = [\"ann\"]\n");
    let check = ["registry", "policy", "check", "--config", "r.toml"];
    assert_eq!(env.ok(&[&check[..], &["--user", "ann", "team/app", "push"]].concat()), "allowed by p.toml:1\n");
    let everybody = env.ok(&[&check[..], &["other", "pull"]].concat());
    assert_eq!(everybody, "allowed to everybody by [auth] anonymous\n");
    let said = env.run(&["registry", "policy", "check", "other", "pull"]);
    assert!(said.code == 125 && said.stderr.contains("--policy"), "{said:?}");
}

#[test]
fn files_are_checked() {
    let env = Env::new();
    env.write("p.toml", POLICY);
    assert_eq!(env.ok(&["registry", "policy", "check", "p.toml"]), "p.toml: 3 rules\n");
    env.write("q.toml", POLICY.replace("\"update\"", "\"upd\""));
    let error = env.fails(1, &["registry", "policy", "check", "q.toml"]);
    assert!(error.contains("q.toml:4: `upd` is none of pull, push, update, delete"), "{error}");
    assert!(env.fails(1, &["registry", "policy", "check", "absent.toml"]).contains("absent.toml"));
    let error = env.fails(125, &["registry", "policy", "check", "--policy", "p.toml", "team/app", "fly"]);
    assert!(error.contains("`fly` is none of"), "{error}");
}
