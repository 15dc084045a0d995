//! `estiba import`.

use std::process::Command;

use crate::runner::Env;

#[test]
fn a_tar_becomes_an_image() {
    let Some(busybox) = fixtures::busybox() else { return };
    let env = Env::new();
    fixtures::write_rootfs(&busybox, &env.work().join("rootfs")).unwrap();
    let status =
        Command::new("tar").args(["czf", "rootfs.tgz", "-C", "rootfs", "."]).current_dir(env.work()).status().unwrap();
    assert!(status.success());
    let id = env.ok(&["import", "-c", "CMD [\"sh\"]", "-c", "ENV A=1", "rootfs.tgz", "base:1"]);
    assert!(id.starts_with("sha256:"), "{id}");
    assert_eq!(env.ok(&["inspect", "-f", "{{json .Config.Cmd}} {{.Id}}", "base:1"]), format!("[\"sh\"] {id}"));
    assert!(env.fails(125, &["import", "-c", "RUN x", "rootfs.tgz"]).contains("RUN has no place here"));
}
