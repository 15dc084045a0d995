//! `estiba login` and `logout`, against a registry with passwords.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::registry::serve::Server;
use crate::runner::{Env, Said};

/// A registry where ann, whose password is `secret`, may do everything, and nobody else anything.
fn guarded(env: &Env) -> Server {
    let made = env.run_with(&["registry", "htpasswd", "ann", "--file", "people", "--bcrypt=4"], b"secret\n");
    assert_eq!(made.code, 0, "{made:#?}");
    env.write(
        "policy.toml",
        "[[rule]]\nwho = { user = [\"ann\"] }\nrepositories = [\"**\"]\nallow = [\"pull\", \"push\", \"update\"]\n",
    );
    let config = format!(
        "[auth]\nanonymous = \"none\"\nhtpasswd = \"{0}/people\"\npolicy = \"{0}/policy.toml\"\n",
        env.work().display()
    );
    env.write("registry.toml", config);
    Server::start(env, &["--config", "registry.toml"])
}

fn login(env: &Env, at: &str, password: &str) -> Said {
    env.run_with(&["login", "-u", "ann", "--password-stdin", at], password.as_bytes())
}

#[test]
fn a_login_is_kept_if_it_is_right() {
    let Some(env) = Env::with_busybox() else { return };
    let server = guarded(&env);
    let at = server.address.as_str();
    let name = format!("{at}/app");
    let refused = env.fails(1, &["push", "busybox", &name]);
    assert!(refused.contains(&format!("estiba login {at}")), "{refused}");
    let wrong = login(&env, at, "wrong\n");
    assert!(wrong.code == 1 && wrong.stderr.contains("does not take this name and password"), "{wrong:#?}");
    assert!(env.fails(1, &["login", "--get-login", at]).contains("not logged in"));
    let right = login(&env, at, "secret\n");
    assert_eq!((right.code, right.stdout.as_str()), (0, "Login Succeeded\n"), "{right:#?}");
    assert!(!right.stderr.contains("warning"), "{right:#?}");
    assert_eq!(env.ok(&["login", "--get-login", at]), "ann\n");
    let file = right.stderr.trim().strip_prefix("kept in ").map(|path| fs::metadata(path).unwrap());
    assert_eq!(file.unwrap().permissions().mode() & 0o777, 0o600, "nobody else reads it");
    env.ok(&["push", "-q", "busybox", &name]);
    env.ok(&["pull", "-q", &name]);
    assert!(env.ok(&["logout", at]).contains(at));
    env.fails(1, &["pull", "-q", &format!("{at}/app")]);
    assert_eq!(env.ok(&["logout", at]), format!("Not logged in at {at}\n"));
}

#[test]
fn credentials_may_come_with_the_call() {
    let Some(env) = Env::with_busybox() else { return };
    let server = guarded(&env);
    let name = format!("{}/app", server.address);
    env.ok(&["push", "-q", "--creds", "ann:secret", "busybox", &name]);
    let there = Env::new();
    assert_eq!(there.ok(&["run", "--rm", "-q", "--creds", "ann:secret", &name, "echo", "in"]), "in\n");
    there.write("Dockerfile", format!("FROM {name}\nRUN echo on\n"));
    assert!(there.fails(125, &["build", "--creds", "ann:secret", "."]).contains("-t REGISTRY/NAME"));
    there.ok(&["build", "-q", "--creds", "ann:secret", "-t", &format!("{name}:built"), "."]);
    let foreign = there.fails(125, &["pull", "--creds", "ann:secret", &name, "example.com/x"]);
    assert!(foreign.contains("one registry"), "{foreign}");
    let warned = there.run(&["login", "-u", "ann", "-p", "secret", "--authfile", "auth.json", &server.address]);
    assert!(warned.code == 0 && warned.stderr.contains("--password-stdin"), "{warned:#?}");
    let mut pull = there.command(&["pull", "-q", &name]);
    let output = pull.env("REGISTRY_AUTH_FILE", there.work().join("auth.json")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let error = there.fails(125, &["login", "--password-stdin", &server.address]);
    assert!(error.contains("--username"), "{error}");
}
