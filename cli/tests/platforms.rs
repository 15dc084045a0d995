//! `--platform`: images for other processors and for several at once; who runs their programs, and what is said where nobody
//! does.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use fixtures::User;
use serde_json::Value;
use tempfile::TempDir;

use crate::registry::serve::Server;
use crate::runner::Env;

/// Compiles here, for whichever platform is wanted: no program of another processor runs.
const CROSS: &str = "\
FROM --platform=$BUILDPLATFORM busybox AS build
ARG TARGETPLATFORM TARGETOS TARGETARCH TARGETVARIANT BUILDPLATFORM
RUN echo \"$BUILDPLATFORM made $TARGETPLATFORM: $TARGETOS $TARGETARCH $TARGETVARIANT\" > /made && uname -m >> /made
FROM scratch
COPY --from=build /made /made
";

const ALL: &str = "linux/amd64,linux/arm64,linux/arm/v7";
const FOLDERS: [&str; 3] = ["linux_amd64", "linux_arm64", "linux_arm_v7"];

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn made(folder: &str) -> String {
    let (platform, words) = match folder {
        "linux_arm64" => ("linux/arm64", "linux arm64 "),
        "linux_arm_v7" => ("linux/arm/v7", "linux arm v7"),
        _ => ("linux/amd64", "linux amd64 "),
    };
    let machine = std::env::consts::ARCH;
    let host = if machine == "aarch64" { "linux/arm64" } else { "linux/amd64" };
    format!("{host} made {platform}: {words}\n{machine}\n")
}

#[test]
fn several_platforms_make_an_index() {
    let Some(env) = Env::with_busybox() else { return };
    let args = ["--platform", ALL, "-t", "app", "--iidfile", "id", "--metadata-file", "told"];
    let said = env.build(CROSS, &args);
    assert_eq!(said.code, 0, "{said:#?}");
    for name in ["[linux/amd64->arm64 build 2/2] RUN", "[linux/arm/v7 stage-1 1/1] COPY"] {
        assert!(said.stderr.contains(name), "{name}: {}", said.stderr);
    }
    let id = fs::read_to_string(env.work().join("id")).unwrap();
    let told = json(&fs::read_to_string(env.work().join("told")).unwrap());
    assert_eq!(told["containerimage.digest"], Value::from(id.clone()), "the id of several images is their index");
    assert_eq!(told["containerimage.descriptor"]["mediaType"], "application/vnd.oci.image.index.v1+json");
    // Nothing changes: nothing runs, and the names stay.
    let again = env.build(CROSS, &args);
    assert!(again.stderr.contains("CACHED") && !again.stderr.contains("DONE"), "{}", again.stderr);
    assert_eq!(fs::read_to_string(env.work().join("id")).unwrap(), id);
    for (platform, architecture) in [("linux/arm64", "arm64"), ("linux/arm/v7", "arm"), ("linux/amd64", "amd64")] {
        let shown = env.ok(&["inspect", "--platform", platform, "-f", "{{.Architecture}}", "app"]);
        assert_eq!(shown.trim(), architecture);
        let shown = env.ok(&["history", "--platform", platform, "app"]);
        assert!(shown.contains("COPY /made /made"), "{shown}");
    }
    assert_eq!(env.ok(&["images", "app"]).lines().count(), 2);
    assert!(env.fails(1, &["inspect", "--platform", "linux/s390x", "app"]).contains("linux/arm/v7"));
    env.ok(&["rmi", "app"]);
    assert_eq!(env.ok(&["images", "app"]).lines().count(), 1);
}

#[test]
fn every_output_takes_several_platforms() {
    let Some(env) = Env::with_busybox() else { return };
    let outputs = ["-o", "out", "-o", "type=tar,dest=out.tar", "-o", "type=oci,dest=oci,tar=false"];
    let more = ["-o", "type=docker,dest=docker.tar", "-t", "app", "--platform", ALL];
    let said = env.build(CROSS, &[&outputs[..], &more].concat());
    assert_eq!(said.code, 0, "{said:#?}");
    let listed = Command::new("tar").arg("tf").arg(env.work().join("out.tar")).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    for folder in FOLDERS {
        assert_eq!(fs::read_to_string(env.work().join("out").join(folder).join("made")).unwrap(), made(folder));
        assert!(listed.contains(&format!("{folder}/made")), "{listed}");
    }
    let index = json(&fs::read_to_string(env.work().join("oci/index.json")).unwrap());
    let [entry] = &index["manifests"].as_array().unwrap()[..] else { panic!("{index}") };
    let blob = |digest: &Value| env.work().join("oci/blobs/sha256").join(&digest.as_str().unwrap()[7..]);
    let nested = json(&fs::read_to_string(blob(&entry["digest"])).unwrap());
    let children = nested["manifests"].as_array().unwrap();
    assert_eq!(children.len(), 3, "{nested}");
    for child in children {
        let manifest = json(&fs::read_to_string(blob(&child["digest"])).unwrap());
        let config = json(&fs::read_to_string(blob(&manifest["config"]["digest"])).unwrap());
        assert_eq!(config["architecture"], child["platform"]["architecture"]);
        assert!(blob(&manifest["layers"][0]["digest"]).exists());
    }
    // What was written is read again, and a named index is saved whole.
    let other = Env::new();
    other.ok(&["load", "-i", env.work().join("docker.tar").to_str().unwrap()]);
    assert_eq!(env.build(CROSS, &["-t", "app", "--platform", ALL]).code, 0);
    env.ok(&["save", "--format", "oci", "-o", "saved.tar", "app"]);
    let listed = Command::new("tar").arg("tf").arg(env.work().join("saved.tar")).output().unwrap();
    let blobs = String::from_utf8(listed.stdout).unwrap().lines().filter(|line| line.len() > 70).count();
    assert_eq!(blobs, 1 + 3 * 3, "the index; manifest, config and layer of each");
    env.ok(&["save", "--platform", "linux/arm64", "--format", "oci", "-o", "one.tar", "app"]);
}

#[test]
fn an_index_is_pushed_whole() {
    let Some(env) = Env::with_busybox() else { return };
    let server = Server::start(&env, &[]);
    let name = format!("{}/team/app:1", server.address);
    let said = env.build(CROSS, &["--platform", ALL, "-t", &name, "--push"]);
    assert_eq!(said.code, 0, "{said:#?}");
    let shown = json(&env.ok(&["manifest", "inspect", &name]));
    let platforms: Vec<_> = shown["manifests"].as_array().unwrap().iter().map(|one| &one["platform"]).collect();
    assert_eq!(platforms.len(), 3, "{shown}");
    assert_eq!(platforms[2]["variant"], "v7");
    // A base for several platforms, and an image for all of them.
    let on = env.build(&format!("FROM {name}\nCOPY Dockerfile /d\n"), &["--all-platforms", "--pull", "-t", "on"]);
    assert_eq!(on.code, 0, "{on:#?}");
    assert_eq!(env.ok(&["inspect", "--platform", "linux/arm/v7", "-f", "{{.Architecture}}", "on"]).trim(), "arm");
    let other = Env::new();
    other.ok(&["pull", "--platform", "linux/arm64", &name]);
    assert_eq!(other.ok(&["inspect", "-f", "{{.Architecture}}", &name]).trim(), "arm64");
}

#[test]
fn platforms_are_read_as_docker_reads_them() {
    let env = Env::new();
    env.write("f", "f");
    let file = "FROM scratch\nCOPY f /\n";
    assert_eq!(env.build(file, &["-t", "a", "--platform", "linux/arm64"]).code, 0);
    assert_eq!(env.ok(&["inspect", "--platform", "linux/arm64", "-f", "{{.Architecture}}", "a"]).trim(), "arm64");
    env.write("Dockerfile", file);
    let mut command = env.command(&["build", "-q", "-t", "b", "."]);
    assert!(command.env("DOCKER_DEFAULT_PLATFORM", "linux/s390x").status().unwrap().success());
    assert_eq!(env.ok(&["inspect", "-f", "{{.Architecture}}", "b"]).trim(), "s390x");
    assert_eq!(env.build(file, &["-t", "c", "--os", "linux", "--arch", "arm", "--variant", "v6"]).code, 0);
    assert_eq!(env.ok(&["inspect", "-f", "{{.Architecture}}/{{.Variant}}", "c"]).trim(), "arm/v6");
    let bad = env.build(file, &["--platform", "linux/amd64,what?"]);
    assert!(bad.stderr.contains("`what?` is not a platform"), "{}", bad.stderr);
}

/// A layout of the foreign busybox.
fn foreign_layout(dir: &Path) -> Option<PathBuf> {
    let busybox = fixtures::foreign_busybox("arm64")?;
    Some(fixtures::Image::busybox(&busybox).architecture("arm64").layout_in(dir, "arm").unwrap())
}

const FOREIGN: &str = "\
FROM --platform=linux/arm64 arm AS base_arm64
COPY f /f

FROM base_arm64 AS tool_arm64
RUN uname -m > /machine && sh -c 'cat /f' >> /machine

FROM base_arm64
COPY --from=tool_arm64 /machine /machine
";

#[test]
fn what_would_need_an_emulator_is_said_before_anything_starts() {
    if cfg!(target_arch = "aarch64") {
        return;
    }
    let Some(env) = Env::with_busybox() else { return };
    let Some(layout) = foreign_layout(&env.work()) else { return };
    if env.ok(&["doctor", "--format", "json"]).contains("by qemu") {
        return fixtures::skip("an emulator is installed here");
    }
    env.ok(&["load", "-q", "--tag", "arm", "-i", layout.to_str().unwrap()]);
    env.write("f", "f\n");
    let file = FOREIGN
        .replace("FROM base_arm64 AS tool", "FROM busybox AS first\nRUN echo ran > /ran\nFROM base_arm64 AS tool");
    let file = file.replace("COPY --from=tool_arm64", "COPY --from=first /ran /ran\nCOPY --from=tool_arm64");
    let said = env.build(&file, &[]);
    assert_eq!(said.code, 1, "{said:#?}");
    for words in [
        "[tool_arm64 1/1] RUN",
        "it runs programs for linux/arm64, and this machine has no emulator for them (qemu-aarch64-static)",
        "Dockerfile:7",
        ">>> RUN uname",
        "apt-get install qemu-user-static",
        "FROM --platform=$BUILDPLATFORM",
    ] {
        assert!(said.stderr.contains(words), "{words}: {}", said.stderr);
    }
    assert!(!said.stderr.contains("DONE"), "nothing started: {}", said.stderr);
    // A stage that runs nothing needs nobody.
    let said = env.build(&file, &["--target", "base_arm64", "-t", "copied"]);
    assert_eq!(said.code, 0, "{said:#?}");
    let said = env.fails(125, &["run", "--rm", "--platform", "linux/arm64", "copied", "true"]);
    assert!(said.contains("no emulator for them (qemu-aarch64-static)"), "{said}");
    assert!(env.ok(&["doctor"]).contains("; not arm64"));
}

/// A user with the binary, the emulator on the PATH, and the foreign base.
struct Home {
    user: Option<User>,
    dir: TempDir,
    binary: PathBuf,
}

impl Home {
    fn new(user: Option<User>, qemu: &Path) -> Option<Self> {
        let dir = match &user {
            Some(user) => user.temp_dir().unwrap(),
            None => tempfile::tempdir().unwrap(),
        };
        let install = |file: &Path, into: &Path| match &user {
            Some(user) => user.install(file, into).unwrap(),
            None => {
                let to = into.join(file.file_name().unwrap());
                assert!(Command::new("cp").arg(file).arg(&to).status().unwrap().success());
                to
            }
        };
        for folder in ["path", "context"] {
            fs::create_dir(dir.path().join(folder)).unwrap();
        }
        let binary = install(Path::new(env!("CARGO_BIN_EXE_estiba")), dir.path());
        install(qemu, &dir.path().join("path"));
        fs::write(dir.path().join("context/f"), "f\n").unwrap();
        foreign_layout(dir.path())?;
        Some(Self { user, dir, binary })
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = match &self.user {
            Some(user) => user.command("env"),
            None => Command::new("env"),
        };
        let path = format!("PATH={}:/usr/bin:/bin:/usr/sbin:/sbin", self.path("path"));
        command.arg(path).arg(format!("ESTIBA_ROOT={}", self.path("store"))).arg(&self.binary).args(arguments);
        command.output().unwrap()
    }

    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{:?} {arguments:?}: {output:#?}", self.user);
        String::from_utf8(output.stdout).unwrap()
    }
}

/// Programs for arm64 run, in a build and in a container, and what they made is there.
fn emulated(user: Option<User>) {
    let Some(qemu) = fixtures::qemu("aarch64") else { return };
    let Some(home) = Home::new(user, &qemu) else { return };
    let doctor = home.ok(&["doctor"]);
    if !doctor.contains("by qemu") {
        return fixtures::skip("a kernel before 6.7 lets nobody register an emulator for itself");
    }
    home.ok(&["load", "-q", "--tag", "arm", "-i", &home.path("arm")]);
    fs::write(home.dir.path().join("context/Dockerfile"), FOREIGN).unwrap();
    home.ok(&["build", "-q", "-t", "app", &home.path("context")]);
    assert_eq!(home.ok(&["inspect", "-f", "{{.Architecture}}", "app"]).trim(), "arm64");
    let ran = home.ok(&[
        "run",
        "--rm",
        "--platform",
        "linux/arm64",
        "app",
        "sh",
        "-c",
        "cat /machine; uname -m; exec -a printf /bin/busybox called",
    ]);
    assert_eq!(ran, "aarch64\nf\naarch64\ncalled", "programs know the name they were called by");
    // Other users than root, and a program that is executed by one that was emulated.
    let users =
        "FROM arm\nRUN adduser -D u 2>/dev/null || true\nUSER 33:33\nRUN id -u > /tmp/id && sh -c 'cat /tmp/id'\n";
    fs::write(home.dir.path().join("context/Dockerfile"), users).unwrap();
    home.ok(&["build", "-q", "--platform", "linux/arm64", "-t", "user", &home.path("context")]);
    assert_eq!(home.ok(&["run", "--rm", "user", "cat", "/tmp/id"]), "33\n");
    // The host has learnt nothing.
    assert!(!Path::new("/proc/sys/fs/binfmt_misc/estiba-arm64").exists());
}

#[test]
fn arm64_end_to_end_as_root() {
    if rustix::process::geteuid().is_root() && cfg!(target_arch = "x86_64") {
        emulated(None);
    }
}

#[test]
fn arm64_end_to_end_with_subordinate_ids() {
    let Some(user) = User::subordinate().filter(|_| cfg!(target_arch = "x86_64")) else { return };
    emulated(Some(user));
}

#[test]
fn arm64_end_to_end_with_a_single_id() {
    let Some(user) = User::plain().filter(|_| cfg!(target_arch = "x86_64")) else { return };
    emulated(Some(user));
}
