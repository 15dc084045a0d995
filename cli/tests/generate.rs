//! `estiba generate`: units of systemd.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use crate::runner::Env;

const WEB: &str = "[Unit]\nDescription=The web\n[Container]\nImage=localhost/web\nExec=httpd -f\nPublishPort=8080:80\nVolume=data.volume:/data\n\
                   [Install]\nWantedBy=default.target\n";

#[test]
fn a_link_among_systemds_generators_makes_units_of_files() {
    let env = Env::new();
    env.write("units/web.container", WEB);
    env.write("units/web.container.d/10-more.conf", "[Container]\nEnvironment=MORE=1\n");
    env.write("units/data.volume", "[Volume]\n");
    env.write("units/wrong.container", "[Container]\nImage=x\nImagee=x\n");
    env.write("units/notes.txt", "no unit");
    let target = env.work().join("generated");
    fs::create_dir(&target).unwrap();
    let link = env.work().join("estiba-system-generator");
    symlink(env!("CARGO_BIN_EXE_estiba"), &link).unwrap();
    let output = Command::new(&link)
        .args([&target, &target, &target])
        .env("ESTIBA_UNIT_DIRS", env.work().join("units"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "one of them is wrong: {said}");
    assert!(said.contains("wrong.container: [Container] has no key `Imagee`"), "{said}");
    let web = fs::read_to_string(target.join("web.service")).unwrap();
    for part in
        ["ExecStart=", " run ", "--env MORE=1", "systemd-data:/data", "Requires=data-volume.service", "httpd -f\n"]
    {
        assert!(web.contains(part), "{part} is not in {web}");
    }
    assert_eq!(
        fs::read_link(target.join("default.target.wants/web.service")).unwrap().to_str(),
        Some("../web.service")
    );
    assert!(target.join("data-volume.service").is_file() && !target.join("wrong.service").exists());
    let verified = Command::new("systemd-analyze")
        .args(["verify", "--man=no", "--recursive-errors=no"])
        .args([target.join("web.service"), target.join("data-volume.service")])
        .output();
    match verified {
        Ok(verified) => {
            let said = String::from_utf8_lossy(&verified.stderr);
            assert!(!said.contains("web.service:") && !said.contains("Unknown"), "{said}\n{web}");
        }
        Err(_) => fixtures::skip("systemd-analyze is not here: the units were not verified"),
    }
}

#[test]
fn descriptions_are_shown_without_being_written() {
    let env = Env::new();
    env.write("units/web.container", "[Container]\nImage=localhost/web\n");
    let said = env.ok(&["generate", "quadlet", "--dry-run", "--dir", "units"]);
    assert!(said.starts_with("# web.service\n") && said.contains("[X-Container]"), "{said}");
    assert!(env.fails(125, &["generate", "quadlet", "--dir", "units"]).contains("where to?"));
}

#[test]
fn a_container_becomes_a_unit() {
    let Some(env) = Env::with_busybox() else { return };
    env.ok(&[
        "create",
        "--name",
        "web",
        "--network=none",
        "-e",
        "A=5%",
        "--stop-timeout=3",
        "busybox",
        "sleep",
        "1000",
    ]);
    let said = env.ok(&["generate", "systemd", "--name", "web"]);
    for part in
        ["start --attach --sig-proxy=false web\n", "stop -i -t 3 web\n", "Restart=on-failure", "TimeoutStopSec=63"]
    {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    let said = env.ok(&["generate", "systemd", "--new", "--restart-policy=always", "web"]);
    let expected = "run --name web --replace --rm -d --cgroups=split --sdnotify=conmon --log-driver=passthrough \
                    --network=none -e A=5%% --stop-timeout=3 busybox sleep 1000\n";
    assert!(said.contains(expected) && said.contains("Restart=always"), "{said}");
    let path = env.ok(&["generate", "systemd", "--name", "--files", "web"]);
    assert!(path.ends_with("container-web.service\n"), "{path}");
    assert!(fs::read_to_string(path.trim()).unwrap().contains("[Install]"));
    assert!(env.fails(1, &["generate", "systemd", "nobody"]).contains("nobody"));
    assert!(env.fails(125, &["generate", "systemd", "--wants", "a\nExecStartPre=/x", "web"]).contains("does not fit"));
    env.ok(&["rm", "web"]);
}
