//! `estiba load`.

use crate::runner::Env;

#[test]
fn standard_input_and_folders() {
    let Some(env) = Env::with_busybox() else { return };
    env.ok(&["save", "-o", "a.tar", "busybox"]);
    let bytes = std::fs::read(env.work().join("a.tar")).unwrap();
    let said = env.run_with(&["load"], &bytes);
    assert_eq!((said.code, said.stdout.as_str()), (0, "Loaded image: busybox:latest\n"), "{said:#?}");
    env.ok(&["save", "--format", "oci-dir", "-o", "dir", "busybox"]);
    assert_eq!(env.ok(&["load", "-i", "dir", "--tag", "again"]), "Loaded image: again:latest\n");
}

#[test]
fn what_is_not_an_archive_is_refused() {
    let env = Env::new();
    for bytes in [&b"hello"[..], &[0; 10_240], &[0x1f, 0x8b, 8, 0, 1, 2, 3]] {
        let said = env.run_with(&["load"], bytes);
        assert_eq!(said.code, 1, "{said:#?}");
        assert!(said.stderr.starts_with("error: "), "{said:#?}");
    }
    assert!(env.fails(1, &["load", "-i", "absent.tar"]).contains("absent.tar"));
}
