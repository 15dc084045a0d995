//! `estiba save`.

use std::process::Command;

use crate::runner::Env;

fn names_in(archive: &std::path::Path) -> String {
    let output = Command::new("tar").arg("tf").arg(archive).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn both_archives_come_back_the_same() {
    let Some(env) = Env::with_busybox() else { return };
    let id = env.ok(&["images", "-q", "--no-trunc"]);
    for format in ["docker", "oci"] {
        let file = format!("{format}.tar");
        env.ok(&["save", "--format", format, "-o", &file, "busybox"]);
        let names = names_in(&env.work().join(&file));
        assert!(names.contains(if format == "oci" { "index.json" } else { "manifest.json" }), "{names}");
        env.ok(&["rmi", "busybox"]);
        let loaded = env.ok(&["load", "-i", &file]);
        assert_eq!(loaded, "Loaded image: busybox:latest\n", "{format}");
        assert_eq!(env.ok(&["images", "-q", "--no-trunc"]), id, "{format}");
    }
}

#[test]
fn an_absent_image_leaves_no_file() {
    let Some(env) = Env::with_busybox() else { return };
    env.fails(1, &["save", "-o", "out.tar", "absent"]);
    assert!(!env.work().join("out.tar").exists());
}
