//! `estiba registry fsck`, `backup`, `restore`, `import` and `retention`: what they say where there is nothing to do, or
//! nothing to do it with. What they do is tried with real registries and clients in testdata/registry.

use super::serve::Server;
use crate::runner::Env;

#[test]
fn they_need_a_registry() {
    let env = Env::new();
    for verb in [&["fsck"][..], &["backup", "copy"], &["retention"]] {
        let said = env.run(&[&["registry"], verb, &["--root", "registry"]].concat());
        assert!(said.code == 1 && said.stderr.contains("holds no registry"), "{verb:?}: {said:?}");
    }
    let said = env.run(&["registry", "restore", "absent", "--root", "registry"]);
    assert!(said.code == 1 && said.stderr.contains("is not a registry's data directory"), "{said:?}");
    let said = env.run(&["registry", "import", "absent", "--root", "other"]);
    assert!(said.code == 1 && said.stderr.contains("absent"), "{said:?}");
    let said = env.run(&["registry", "import", ".", "--to", "UPPER", "--root", "other"]);
    assert!(said.code == 1 && said.stderr.contains("UPPER"), "{said:?}");
}

#[test]
fn an_empty_registry_is_sound_and_can_be_copied() {
    let env = Env::new();
    let run = |arguments: &[&str]| env.run(&[&["registry"], arguments].concat());
    let sound = "read 0 objects, 0B\neverything is sound\n";
    let nothing = "0 objects, 0B; new: 0 objects, 0B; removed: 0 objects\n";
    let server = Server::start(&env, &[]);
    assert_eq!(run(&["fsck", "--root", "registry"]).stdout, sound);
    assert_eq!(run(&["backup", "copy", "--root", "registry"]).stdout, nothing);
    let said = run(&["fsck", "--rebuild", "--root", "registry"]);
    assert!(said.code == 1 && said.stderr.contains("--rebuild needs the data directory for itself"), "{said:?}");
    assert_eq!(run(&["retention", "--root", "registry"]).stdout, "0 tags went\n");
    assert_eq!(server.stop().0, Some(0));
    assert_eq!(run(&["fsck", "--root", "registry"]).stdout, sound);
    assert_eq!(run(&["restore", "copy", "--root", "new"]).stdout, "restored 0 objects, 0B\n");
    assert_eq!(run(&["fsck", "--root", "new"]).stdout, sound);
}
