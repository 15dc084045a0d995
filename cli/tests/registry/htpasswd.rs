//! `estiba registry htpasswd`.

use std::os::unix::fs::PermissionsExt as _;

use crate::runner::Env;

#[test]
fn lines_are_made_changed_and_taken_out() {
    let env = Env::new();
    let make = |words: &[&str], password: &str| {
        let said = env.run_with(&[&["registry", "htpasswd"], words].concat(), password.as_bytes());
        assert_eq!(said.code, 0, "{}", said.stderr);
        said.stdout
    };
    assert!(make(&["ann"], "secret\n").starts_with("ann:$argon2id$v=19$m=19456,t=2,p=1$"));
    assert!(make(&["ann", "--bcrypt=4"], "secret").starts_with("ann:$2y$04$"));
    make(&["ann", "--file", "people", "--bcrypt=4"], "one");
    make(&["bob", "--file", "people", "--bcrypt=4"], "two");
    let path = env.work().join("people");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let before = std::fs::read_to_string(&path).unwrap();
    make(&["ann", "--file", "people", "--bcrypt=4"], "three");
    let after = std::fs::read_to_string(&path).unwrap();
    assert_eq!(after.lines().count(), 2);
    assert!(after.lines().any(|line| line.starts_with("bob:") && before.contains(line)), "{after}");
    assert_ne!(before, after);
    env.ok(&["registry", "htpasswd", "bob", "--file", "people", "--delete"]);
    assert!(!std::fs::read_to_string(&path).unwrap().contains("bob"));
    assert_eq!(std::fs::read_dir(env.work()).unwrap().count(), 1, "nothing is left beside it");
    assert!(env.fails(1, &["registry", "htpasswd", "bob", "--file", "people", "--delete"]).contains("bob"));
}

#[test]
fn what_cannot_stand_in_the_file_is_refused() {
    let env = Env::new();
    for (words, password) in
        [(&["a:b"][..], "x"), (&["ann"], ""), (&["ann", "--bcrypt=4"], &"x".repeat(73)), (&["ann", "--bcrypt=40"], "x")]
    {
        let said = env.run_with(&[&["registry", "htpasswd"], words].concat(), password.as_bytes());
        assert_eq!((said.code, said.stdout.as_str()), (1, ""), "{words:?}");
    }
    env.write("people", "ann:plain\n");
    let said = env.run_with(&["registry", "htpasswd", "bob", "--file", "people"], b"x");
    assert!(said.code == 1 && said.stderr.contains("people:1: only bcrypt and argon2"), "{said:?}");
}
